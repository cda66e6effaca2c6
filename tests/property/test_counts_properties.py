import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dealias.metrics.functional import count_hard_pixels, error_pixels, error_shares, scores
from dealias.metrics.functional.counts import _count_dense, tally
from helpers import VOID, random_maps

maps = st.builds(
    random_maps,
    seed=st.integers(0, 10_000),
    height=st.integers(1, 40),
    width=st.integers(1, 140),
    classes=st.integers(2, 9),
    blocks=st.booleans(),
)
protocols = st.sampled_from(["paper", "exact"])
widths = st.integers(0, 40).map(lambda radius: 2 * radius + 1)


@settings(max_examples=150)
@given(maps, widths, protocols)
def test_packed_words_and_dense_pixels_count_the_same(pair, width, protocol):
    preds, target = pair
    counts = count_hard_pixels(preds, target, num_classes=9, band_width=width, protocol=protocol)
    cells, edges = _count_dense(preds[None], target[None], protocol, VOID, width)
    assert torch.equal(counts.confusion, tally(9, VOID, *cells))
    assert torch.equal(counts.edges, edges)


@settings(max_examples=60)
@given(maps, protocols, st.sampled_from([[0], [1], [0, 1]]))
def test_flips_change_nothing(pair, protocol, dims):
    preds, target = pair
    counts = count_hard_pixels(preds, target, num_classes=9, protocol=protocol)
    flipped = count_hard_pixels(
        preds.flip(dims), target.flip(dims), num_classes=9, protocol=protocol
    )
    assert torch.equal(counts.confusion, flipped.confusion)
    assert torch.equal(counts.edges, flipped.edges)


@settings(max_examples=60)
@given(maps, protocols)
def test_every_pixel_but_void_is_counted_once_and_every_wrong_one_has_one_kind(pair, protocol):
    preds, target = pair
    table = count_hard_pixels(preds, target, num_classes=9, protocol=protocol).confusion
    known = target != VOID
    assert table.sum() == known.sum()
    wrong = (preds != target) & known
    assert sum(error_pixels(table).values()) == wrong.sum()
    if wrong.any():
        torch.testing.assert_close(sum(error_shares(table).values()), torch.ones(()).double())


@settings(max_examples=60)
@given(maps, st.permutations(range(9)))
def test_renaming_the_classes_permutes_the_exact_metrics(pair, order):
    preds, target = pair
    order = torch.tensor(order, dtype=torch.uint8)
    renamed = torch.cat([order, torch.full((256 - 9,), VOID, dtype=torch.uint8)])
    before = scores(count_hard_pixels(preds, target, num_classes=9, protocol="exact"))
    after = scores(
        count_hard_pixels(
            renamed[preds.long()], renamed[target.long()], num_classes=9, protocol="exact"
        )
    )
    for name in ("mIoU", "BIoU", "FErr", "MErr", "DErr"):
        torch.testing.assert_close(before[name], after[name], equal_nan=True)
    torch.testing.assert_close(
        before["IoU_per_class"], after["IoU_per_class"][order.long()], equal_nan=True
    )


@settings(max_examples=60)
@given(maps)
def test_a_perfect_prediction_has_no_errors(pair):
    _, target = pair
    preds = target.masked_fill(target == VOID, 0)
    result = scores(count_hard_pixels(preds, target, num_classes=9, protocol="exact"))
    for name, best in {"mIoU": 1, "BIoU": 1, "BAcc": 1, "FErr": 0, "MErr": 0, "DErr": 0}.items():
        assert result[name].isnan() or result[name] == best
