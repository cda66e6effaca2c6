"""Losses by name and by class, with void, weights and what is refused."""

import pytest
import torch
from torch.nn import functional

from dealias.engine import LossError, Losses

VOID = 255


@pytest.fixture
def scores():
    return torch.randn(2, 3, 8, 10, requires_grad=True)


@pytest.fixture
def target():
    labels = torch.randint(0, 3, (2, 8, 10))
    labels[:, :2] = VOID
    return labels


def losses(asked, **options):
    return Losses(asked, ignore_index=VOID, num_classes=3, **options)


def own(name, **options):
    return {"class_path": f"own_losses.{name}", **options}


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "focal", "jaccard", "lovasz", "tversky"])
def test_void_pixels_have_no_part_in_any_loss(name, scores, target):
    loss = losses([name])
    value = loss(scores, target)
    (gradient,) = torch.autograd.grad(value, scores)
    assert (gradient[:, :, :2] == 0).all()
    assert (gradient[:, :, 2:] != 0).any()
    changed = scores.detach().clone()
    changed[:, :, :2] += 3 * torch.randn(2, 3, 2, 10)
    torch.testing.assert_close(loss(changed, target), value)


@pytest.mark.parametrize("asked", ["cross_entropy", "dice", "focal", "lovasz"])
def test_a_batch_of_void_counts_as_nothing(asked, scores):
    value = losses([asked])(scores, torch.full((2, 8, 10), VOID))
    value.backward()
    assert value == 0
    assert (scores.grad == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [0.5, 0.0, 2.0]])
def test_cross_entropy_is_that_of_torch(smoothing, weights, scores, target):
    found = losses(None, class_weights=weights, label_smoothing=smoothing)(scores, target)
    expected = functional.cross_entropy(
        scores,
        target,
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=VOID,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(found, expected)


def test_terms_add_up_by_their_weights(scores, target):
    parts = [losses([name])(scores, target) for name in ("cross_entropy", "dice")]
    both = losses(["cross_entropy", {"name": "dice", "weight": 0.5}])
    torch.testing.assert_close(both(scores, target), parts[0] + 0.5 * parts[1])


def test_arguments_reach_a_loss_by_name(scores, target):
    plain, sharper = (
        losses([{"name": "focal", "init_args": {"gamma": gamma}}])(scores, target)
        for gamma in (0.0, 3.0)
    )
    assert sharper < plain


def test_ones_own_class_and_function(scores, target):
    expected = functional.cross_entropy(scores, target, ignore_index=VOID)
    for name, options in (
        ("Doubled", {"init_args": {"factor": 2.0}}),
        ("doubled", {"init_args": {"factor": 2.0}}),
    ):
        found = losses([own(name, **options)])(scores, target)
        torch.testing.assert_close(found, 2 * expected)


def test_a_loss_that_does_not_know_void_is_refused_where_there_is_void(scores, target):
    loss = losses([own("blind")])
    loss(scores, target.clamp_max(2))
    with pytest.raises(LossError, match=r"losses.0: own_losses.blind has no argument ignore_index"):
        loss(scores, target)


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ([], {}, r"model.losses: expected a list of losses, got \[\]"),
        ("dice", {}, "model.losses: expected a list of losses, got dice"),
        (["dise"], {}, "losses.0: expected one of dice.*, got 'dise'"),
        ([{"name": ["dice"]}], {}, "losses.0: expected one of .*, got "),
        ([{"weight": 2}], {}, "losses.0: expected a name or a mapping of name or class_path"),
        ([{"name": "dice", "class_path": "a.B"}], {}, "losses.0: expected a name or a mapping"),
        ([{"name": "dice", "factor": 2}], {}, "losses.0: expected a name or a mapping"),
        ([{"name": "dice", "weight": 0}], {}, "losses.0.weight: expected a factor over 0, got 0"),
        ([{"name": "dice", "weight": True}], {}, "losses.0.weight: expected a factor over 0"),
        ([{"name": "dice", "init_args": [1]}], {}, "losses.0.init_args: expected a mapping"),
        ([{"name": "dice", "init_args": {"smoth": 1}}], {}, "losses.0: .*no such argument 'smoth'"),
        (
            [{"name": "dice", "init_args": {"ignore_index": 0}}],
            {},
            "losses.0.init_args.ignore_index: expected 255, the label of void in the data",
        ),
        (
            [{"name": "cross_entropy", "init_args": {"weight": [1]}}],
            {},
            "losses.0.init_args: expected none for cross_entropy; class_weights",
        ),
        (["dice"], {"class_weights": [1, 1, 1]}, "class_weights: is for cross_entropy"),
        (["dice"], {"label_smoothing": 0.1}, "label_smoothing: is for cross_entropy"),
        (None, {"label_smoothing": 1.0}, r"label_smoothing: expected a share in \[0, 1\)"),
        (None, {"class_weights": [1.0, 2.0]}, "class_weights: expected 3, one a class, got 2"),
        (None, {"class_weights": [1.0, -1.0, 1.0]}, "class_weights: expected weights from 0 on"),
        (None, {"class_weights": [0.0, 0.0, 0.0]}, "class_weights: expected weights from 0 on"),
        (None, {"class_weights": [1.0, float("nan"), 1.0]}, "class_weights: expected weights"),
        ([{"class_path": "no_such.Loss"}], {}, "losses.0: no_such.Loss: No module named"),
        ([{"class_path": "own_losses.Learned"}], {}, "losses.0: .*Learned has parameters"),
    ],
)
def test_what_is_refused(asked, options, message):
    with pytest.raises(LossError, match=message) as caught:
        losses(asked, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vector", r"losses.0: own_losses.vector: expected a scalar, got a tensor of \[2, 3\]"),
        ("nothing", "losses.0: own_losses.nothing: expected a scalar, got None"),
        ("failing", "losses.0: own_losses.failing: IndexError: so it is"),
    ],
)
def test_a_loss_that_is_no_number_is_refused(name, message, scores, target):
    with pytest.raises(LossError, match=message):
        losses([own(name)])(scores, target)
