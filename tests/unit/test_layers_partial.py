"""Filters of a strength between nothing and all."""

import copy
import pickle

import pytest
import torch
from torch import nn

from dealias.layers import AdaptiveBlur, BlurFilter, DealiasingFilter, PartialFilter, set_strength
from dealias.layers.partial import clamp_to_unit

X = torch.randn(2, 8, 10, 12, generator=torch.Generator().manual_seed(0))
FILTERS = [DealiasingFilter(0.25), BlurFilter(), AdaptiveBlur(8, groups=4)]


def learned(values, module=None) -> PartialFilter:
    partial = PartialFilter(module or BlurFilter(), "learned", channels=8)
    with torch.no_grad():
        partial.strength.copy_(torch.as_tensor(values))
    return partial


@pytest.mark.parametrize("module", FILTERS, ids=lambda m: type(m).__name__)
def test_the_ends_are_exact(module):
    assert torch.equal(PartialFilter(module, 0.0)(X), X)
    assert torch.equal(PartialFilter(module, 1)(X), module(X))
    assert torch.equal(learned(torch.zeros(8), module)(X), X)
    assert torch.equal(learned(torch.ones(8), module)(X), module(X))


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_part_of_the_way(strength):
    blur = BlurFilter()
    expected = (1 - strength) * X + strength * blur(X)
    torch.testing.assert_close(PartialFilter(blur, strength)(X), expected)


def test_learned_strengths_are_of_channels_and_start_at_nothing():
    assert torch.equal(PartialFilter(BlurFilter(), "learned", channels=8).strength, torch.zeros(8))
    values = torch.linspace(0, 1, 8)
    blurred = BlurFilter()(X)
    expected = X + values[:, None, None] * (blurred - X)
    torch.testing.assert_close(learned(values)(X), expected)
    # Values that left the range count as its ends.
    torch.testing.assert_close(learned(values * 9 - 4)(X), learned((values * 9 - 4).clamp(0, 1))(X))


def test_gradients():
    partial = learned(torch.linspace(0.1, 0.8, 8)).double()
    x = X[:1, :, :4, :5].double().requires_grad_()
    assert torch.autograd.gradcheck(partial, (x,))
    assert torch.autograd.gradcheck(
        lambda s: torch.func.functional_call(partial, {"strength": s}, (x,)),
        (partial.strength.detach().clone().requires_grad_(),),
    )
    assert list(dict(PartialFilter(BlurFilter(), 0.5).named_parameters())) == []


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.3),
        lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0),
    ],
    ids=["sgd", "adamw"],
)
@pytest.mark.parametrize(("start", "target"), [(-0.7, 0.6), (1.8, 0.4), (0.5, 0.0), (0.5, 1.0)])
def test_values_outside_come_back(optimizer, start, target):
    values = nn.Parameter(torch.full((3,), start))
    steps = optimizer([values])
    for _ in range(300):
        steps.zero_grad()
        (clamp_to_unit(values) - target).square().sum().backward()
        steps.step()
    torch.testing.assert_close(values.clamp(0, 1), torch.full((3,), target), atol=0.05, rtol=0)


def test_no_gradient_leads_further_out():
    values = torch.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    (clamp_to_unit(values) * torch.tensor([1.0, 1.0, -1.0, -1.0])).sum().backward()
    assert values.grad.tolist() == [0, 0, 0, 0]
    assert clamp_to_unit(torch.tensor([-1.0, 0.3, 2.0])).tolist() == pytest.approx([0, 0.3, 1])


def test_copies_and_state_dicts_keep_the_strength():
    for partial in (PartialFilter(BlurFilter(), 0.3), learned(torch.linspace(0, 1, 8))):
        for other in (copy.deepcopy(partial), pickle.loads(pickle.dumps(partial))):
            assert torch.equal(other(X), partial(X))
        fresh = PartialFilter(
            BlurFilter(), "learned" if partial.learned else 0.9, channels=X.shape[1]
        )
        fresh.load_state_dict(partial.state_dict())
        assert torch.equal(fresh(X), partial(X))


@pytest.mark.parametrize("strength", [0.5, "learned"])
@pytest.mark.parametrize("module", FILTERS, ids=lambda m: type(m).__name__)
def test_dtypes_layouts_and_autocast(module, strength):
    partial = PartialFilter(copy.deepcopy(module), strength, channels=8)
    if strength == "learned":
        nn.init.constant_(partial.strength, 0.5)
    expected = partial(X)
    last = partial(X.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 0.1), (torch.float16, 0.02)):
        result = copy.deepcopy(partial).to(dtype)(X.to(dtype))
        assert result.dtype == dtype
        torch.testing.assert_close(result.float(), expected, atol=tolerance, rtol=tolerance)
    with torch.autocast("cpu", torch.bfloat16):
        for x in (X, X.bfloat16()):
            result = partial(x)
            assert result.dtype == x.dtype
            torch.testing.assert_close(result.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.filterwarnings("ignore")  # TorchScript is on its way out, and says so
@pytest.mark.parametrize("partial", [PartialFilter(BlurFilter(), 0.3), learned([0.3] * 8)])
def test_a_trace_can_be_saved(partial, tmp_path):
    traced = torch.jit.trace(partial, X)
    traced.save(tmp_path / "filter.pt")
    torch.testing.assert_close(torch.jit.load(tmp_path / "filter.pt")(X), partial(X))


def test_set_strength_leaves_learned_ones():
    net = nn.Sequential(
        PartialFilter(BlurFilter(), 0.0), learned([0.25] * 8), PartialFilter(BlurFilter(), 0.2)
    )
    assert set_strength(net, 0.75) == 2
    assert [m.strength.detach().max().item() for m in net] == [0.75, 0.25, 0.75]
    assert set_strength(nn.ReLU(), 1) == 0


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), True, None, "learnt", "0.5"])
def test_what_is_no_strength(strength):
    message = r"strength: expected a number in \[0, 1\] or 'learned', got "
    with pytest.raises(ValueError, match=message):
        PartialFilter(BlurFilter(), strength)
    with pytest.raises(ValueError, match=message):
        set_strength(nn.ReLU(), strength)


def test_learned_strengths_that_can_not_be():
    with pytest.raises(ValueError, match="channels: expected a number"):
        PartialFilter(BlurFilter(), "learned")
    with pytest.raises(ValueError, match=r"strength: expected a number in \[0, 1\], got 'learned'"):
        set_strength(nn.ReLU(), "learned")


def test_it_shows_its_strength():
    assert repr(PartialFilter(nn.Identity(), 0.25)).startswith("PartialFilter(\n  strength=0.25\n")
    assert "learned" in repr(learned([0] * 8))
