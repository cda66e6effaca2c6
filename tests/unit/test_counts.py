import numpy as np
import pytest
import torch

from dealias.metrics.functional import (
    HardPixelCounts,
    LabelRangeError,
    banded_confusion,
    count_hard_pixels,
    dilate,
    label_edges,
)
from dealias.metrics.functional.counts import _count_dense, tally
from helpers import VOID, exact_edges, paper_edges, random_maps, slow_counts

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 64), (17, 65), (40, 130)]


def test_a_case_worked_by_hand(device):
    # Bands of 3 pixels: the prediction's edge is between columns 3 and 4, the target's
    # between 5 and 6. Columns:   0  1  2  3  4  5  6  7  8  9
    target = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1, 1, 255]], device=device)
    preds = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1]], device=device)
    counts = count_hard_pixels(preds, target, num_classes=2, band_width=3, protocol="exact")
    # P covers 2..5, T covers 4..7: only P 2, 3; only T 6, 7; both 4, 5; interior 0, 1, 8.
    assert counts.confusion.tolist() == [
        [[2, 0], [0, 1]],
        [[2, 0], [0, 0]],
        [[0, 0], [0, 2]],
        [[0, 2], [0, 0]],
    ]
    assert counts.edges.tolist() == [1, 2 + 4, 1, 2 + 4]


def test_paper_bands_include_borders_with_void_and_exact_ones_do_not():
    target = torch.tensor([[0, 0, 0, VOID]])
    edges = {p: label_edges(target, protocol=p, ignore_index=VOID) for p in ("paper", "exact")}
    assert edges["paper"].tolist() == [[False, False, True, True]]
    assert edges["exact"].tolist() == [[False] * 4]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blocks", [True, False])
def test_edges_against_the_oracles(shape, blocks, device):
    _, target = random_maps(0, *shape, classes=5, blocks=blocks)
    found = label_edges(target.to(device), protocol="paper").cpu()
    assert (found.numpy() == paper_edges(target)).all()
    found = label_edges(target.to(device), protocol="exact", ignore_index=VOID).cpu()
    assert (found.numpy() == exact_edges(target, VOID)).all()


@pytest.mark.parametrize("protocol", ["paper", "exact"])
@pytest.mark.parametrize("width", [1, 3, 15, 41])
@pytest.mark.parametrize("shape", SHAPES)
def test_counts_against_the_oracle(shape, width, protocol, device):
    preds, target = random_maps(1, *shape, classes=4)
    counts = count_hard_pixels(
        preds.to(device), target.to(device), num_classes=4, band_width=width, protocol=protocol
    )
    confusion, edges = slow_counts(preds, target, 4, width, protocol)
    assert counts.confusion.tolist() == confusion
    assert counts.edges.tolist() == edges


def test_a_band_wider_than_a_word_and_than_the_image():
    preds, target = random_maps(2, 30, 300, classes=3)
    preds[:, 20:], target[:, 20:] = 1, 1
    for width in (129, 141, 301, 701):
        counts = count_hard_pixels(preds, target, num_classes=3, band_width=width)
        assert counts.confusion.tolist() == slow_counts(preds, target, 3, width)[0]


def test_dense_counts_equal_the_packed_ones():
    preds, target = random_maps(3, 50, 70, classes=6)
    packed = count_hard_pixels(preds, target, num_classes=6)
    cells, edges = _count_dense(preds[None], target[None], "paper", VOID, 15)
    assert torch.equal(tally(6, VOID, *cells), packed.confusion)
    assert torch.equal(edges, packed.edges)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_integer_dtypes_give_what_bytes_give(dtype, device):
    preds, target = (x.to(device) for x in random_maps(4, 20, 33, classes=7))
    expected = banded_confusion(preds, target, num_classes=7)
    assert torch.equal(banded_confusion(preds.to(dtype), target.to(dtype), num_classes=7), expected)


def test_more_classes_than_a_byte_holds():
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.integers(0, 300, (12, 40)))
    preds = torch.from_numpy(rng.integers(0, 300, (12, 40)))
    target[0, :3] = -1
    for protocol in ("paper", "exact"):
        table = banded_confusion(
            preds, target, num_classes=300, ignore_index=-1, band_width=3, protocol=protocol
        )
        expected, _ = slow_counts(preds, target, 300, 3, protocol, void=-1)
        assert table.tolist() == expected


def test_a_batch_is_the_sum_of_its_images(device):
    pairs = [random_maps(seed, 24, 31, classes=5) for seed in range(3)]
    preds, target = (torch.stack(maps).to(device) for maps in zip(*pairs, strict=True))
    single = [count_hard_pixels(p.to(device), t.to(device), num_classes=5) for p, t in pairs]
    total = single[0] + single[1] + single[2]
    batch = count_hard_pixels(preds, target, num_classes=5)
    assert torch.equal(batch.confusion, total.confusion)
    assert torch.equal(batch.edges, total.edges)


def test_non_contiguous_maps_count_like_their_copies():
    preds, target = random_maps(5, 40, 60, classes=4)
    views = preds.T[::2], target.T[::2]
    copies = [view.contiguous() for view in views]
    assert torch.equal(
        banded_confusion(*views, num_classes=4), banded_confusion(*copies, num_classes=4)
    )


def test_an_empty_batch_and_all_void_count_nothing():
    empty = torch.zeros(0, 8, 8, dtype=torch.uint8)
    assert banded_confusion(empty, empty, num_classes=3).tolist() == [[[0] * 3] * 3] * 4
    void = torch.full((8, 8), VOID, dtype=torch.uint8)
    counts = count_hard_pixels(torch.zeros_like(void), void, num_classes=3)
    assert counts.confusion.sum() == 0
    assert counts.edges.tolist() == [0, 0, 0, 0]


def test_inputs_are_left_alone():
    preds, target = random_maps(6, 20, 20, classes=4)
    before = preds.clone(), target.clone()
    count_hard_pixels(preds, target, num_classes=4)
    assert torch.equal(preds, before[0])
    assert torch.equal(target, before[1])


def test_zeros_are_neutral():
    preds, target = random_maps(7, 20, 20, classes=4)
    counts = count_hard_pixels(preds, target, num_classes=4)
    total = HardPixelCounts.zeros(4) + counts
    assert torch.equal(total.confusion, counts.confusion)
    assert torch.equal(total.edges, counts.edges)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_labels_out_of_range_are_named_and_counted(dtype, device):
    preds = torch.zeros(4, 5, dtype=dtype, device=device)
    target = preds.clone()
    target[0, :3] = 9
    target[1, 0] = 200
    with pytest.raises(
        LabelRangeError, match=r"target: .*0\.\.2 or void 255.* 9 \(3 px\), 200 \(1 px\)"
    ) as e:
        banded_confusion(preds, target, num_classes=3)
    assert e.value.pixels == {9: 3, 200: 1}
    with pytest.raises(LabelRangeError, match=r"preds: .*255 \(2 px\)"):
        banded_confusion(
            preds.index_fill(1, torch.tensor([1], device=device), 255)[:2], preds[:2], num_classes=3
        )


def test_a_wrong_prediction_is_refused_on_void_too():
    target = torch.full((2, 2), VOID)
    with pytest.raises(LabelRangeError, match=r"7 \(4 px\)"):
        banded_confusion(torch.full((2, 2), 7), target, num_classes=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 0}, "num_classes: expected a positive integer, got 0"),
        ({"num_classes": 2.0}, "num_classes"),
        ({"ignore_index": 1}, "ignore_index: expected a label outside 0..2, got 1"),
        ({"ignore_index": None}, "ignore_index: expected an integer"),
        ({"band_width": 4}, "band_width: expected an odd positive integer, got 4"),
        ({"band_width": -1}, "band_width"),
        ({"band_width": True}, "band_width"),
        ({"protocol": "official"}, "protocol: expected 'paper' or 'exact', got 'official'"),
    ],
)
def test_bad_options(changes, message):
    maps = torch.zeros(4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=message):
        banded_confusion(maps, maps, **{"num_classes": 3, **changes})


@pytest.mark.parametrize(
    ("preds", "target", "message"),
    [
        (
            torch.zeros(4, 4),
            torch.zeros(4, 4).long(),
            "preds: expected integer labels, got torch.float32",
        ),
        (torch.zeros(4, 4).long(), torch.zeros(4, 4).bool(), "target: expected integer labels"),
        (torch.zeros(4).long(), torch.zeros(4).long(), r"got \[4\]"),
        (
            torch.zeros(4, 4).long(),
            torch.zeros(4, 5).long(),
            r"one shape, got \[4, 4\] and \[4, 5\]",
        ),
        (torch.zeros(1, 4, 4).long(), torch.zeros(4, 4).long(), "one shape"),
    ],
)
def test_bad_tensors(preds, target, message):
    with pytest.raises(ValueError, match=message):
        banded_confusion(preds, target, num_classes=3)


def test_dilation_is_a_square_and_checks_its_width():
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask[0, 0] = mask[4, 3] = True
    expected = torch.zeros_like(mask)
    expected[:2, :2] = expected[3:, 2:5] = True
    assert torch.equal(dilate(mask, 3), expected)
    with pytest.raises(ValueError, match="band_width"):
        dilate(mask, 2)
