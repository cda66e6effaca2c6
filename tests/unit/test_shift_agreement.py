"""Shift agreement against hand-worked cases, a slow oracle and networks whose answer is known."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from dealias.metrics import ShiftAgreement
from dealias.metrics.functional import (
    AGREEMENT,
    LabelRangeError,
    compare_shift,
    count_shifts,
    draw_offsets,
    label_edges,
    shift_agreement,
    shifted_windows,
)

OFFSETS = [(0, 1), (1, 0), (2, 3), (-1, 2), (3, -3), (-2, -1), (0, 0)]


def random_maps(seed, *shape, classes=3):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, classes, shape))


def compare_slowly(preds, shifted, offset, border):
    """Pixel by pixel, as the definition says it."""
    height, width = preds.shape
    changed, compared = np.zeros((2, height, width), bool)
    for y, x in itertools.product(range(height), range(width)):
        other = (y - offset[0], x - offset[1])
        inside = [
            border <= place < length - border
            for pixel in ((y, x), other)
            for place, length in zip(pixel, (height, width), strict=True)
        ]
        if all(inside):
            compared[y, x] = True
            changed[y, x] = preds[y, x] != shifted[other]
    return changed, compared


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("border", [0, 1, 2])
def test_compared_as_the_definition_says(offset, border):
    preds, shifted = random_maps(0, 2, 11, 13)
    changed, compared = compare_shift(preds, shifted, offset, border=border)
    expected = compare_slowly(preds.numpy(), shifted.numpy(), offset, border)
    np.testing.assert_array_equal(changed, expected[0])
    np.testing.assert_array_equal(compared, expected[1])
    assert not (changed & ~compared).any()


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_scene_that_is_labelled_by_itself_agrees(offset):
    """If the label of a point does not depend on the window, nothing changes."""
    scene = random_maps(1, 40, 50)
    windows = shifted_windows(40, 50, [offset, (3, 4)])
    reference, shifted = (
        scene[top : top + windows.size[0], left : left + windows.size[1]]
        for top, left in (windows.reference, windows.shifted[0])
    )
    changed, compared = compare_shift(reference, shifted, offset)
    assert compared.any()
    assert not changed.any()
    rolled = torch.roll(scene, [-step for step in offset], (-2, -1))
    changed, compared = compare_shift(scene, rolled, offset, circular=True)
    assert compared.all()
    assert not changed.any()


def count_slowly(preds, changed, compared, target, num_classes, void, width):
    """One pixel at a time; the bands by the distance to an edge."""
    found = np.zeros((3, 2, num_classes), np.int64)
    bands = []
    for labels in (preds, target):
        edges = np.argwhere(label_edges(labels, ignore_index=void).numpy())
        reach = width // 2
        bands.append(lambda y, x, e=edges, r=reach: (abs(e - [y, x]).max(1) <= r).any())
    for y, x in itertools.product(*map(range, preds.shape)):
        here = [int(compared[y, x]), int(compared[y, x]) - int(changed[y, x])]
        found[0, :, preds[y, x]] += here
        if bands[0](y, x):
            found[1, :, preds[y, x]] += here
        if bands[1](y, x) and target[y, x] != void:
            found[2, :, target[y, x]] += here
    return found


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("times", [1, 5])
def test_counted_as_a_slow_oracle_counts(width, times):
    preds = torch.zeros(12, 14, dtype=torch.int64)
    preds[3:9, 4:10] = 1
    preds[5:7, 6:8] = 2
    target = torch.roll(preds, 1, 0)
    target[:2, :3] = 255
    compared = random_maps(2, 12, 14, classes=times + 1)
    changed = torch.minimum(compared, random_maps(3, 12, 14, classes=times + 1))
    counts = count_shifts(preds, changed, compared, num_classes=4, target=target, band_width=width)
    expected = count_slowly(preds, changed, compared, target, 4, 255, width)
    np.testing.assert_array_equal(counts, expected)
    scores = shift_agreement(counts)
    total = compared.sum().item()
    assert scores["agreement"].item() == pytest.approx(1 - changed.sum().item() / total)
    assert scores["agreement_per_class"].isnan().tolist() == [False, False, False, True]
    unknown = count_shifts(preds, changed, compared, num_classes=4, band_width=width)
    assert torch.equal(unknown[:2], counts[:2])
    assert shift_agreement(unknown)["agreement_target_band"].isnan()


class OnMps(torch.Tensor):
    """A tensor of a device without float64."""

    device = torch.device("mps")

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs or {})
        assert getattr(found, "dtype", None) != torch.float64
        return found


def test_a_device_without_float64():
    counts = torch.arange(1, 25).reshape(3, 2, 4)
    found = shift_agreement(counts.as_subclass(OnMps))
    assert tuple(name for name in found if not name.endswith("per_class")) == AGREEMENT
    for name, expected in shift_agreement(counts).items():
        torch.testing.assert_close(found[name].as_subclass(torch.Tensor), expected.float())


@pytest.mark.parametrize(
    "options",
    [
        {"border": 2},
        {"band_width": 31},
        {"protocol": "exact"},
        {"circular": True},
    ],
)
def test_a_collection_keeps_metrics_of_other_options_apart(options):
    """It merges those whose states are equal after the first batch, as after one of no images."""
    metrics = {"plain": ShiftAgreement(3, band_width=1)}
    metrics["other"] = ShiftAgreement(3, **{"band_width": 1} | options)
    alone = {name: metric.clone() for name, metric in metrics.items()}
    collection = MetricCollection(metrics, compute_groups=True)
    for count in (0, 2):
        preds, shifted = (random_maps(seed, count, 40, 9) for seed in (0, 1))
        preds[:, :20] = 0
        for updated in (collection, *alone.values()):
            updated.update(preds, shifted, (0, 1), preds)
    assert len(collection.compute_groups) == 2
    for name, metric in alone.items():
        assert torch.equal(collection[name].counts, metric.counts)
    assert not torch.equal(*(metric.counts for metric in alone.values()))


class Equivariant(nn.Module):
    """Stride 1 and circular padding: what it says of a pixel moves with the image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.Conv2d(8, 4, 5, padding=2, padding_mode="circular"),
        )

    def forward(self, x):
        return self.layers(x)


def test_an_equivariant_network_agrees_exactly():
    image = torch.rand(1, 3, 24, 30)
    metric = ShiftAgreement(4, circular=True)
    network = Equivariant().eval().double()
    with torch.inference_mode():
        for offset in draw_offsets(8, largest=20, seed=3):
            rolled = torch.roll(image, [-step for step in offset], (-2, -1))
            metric.update(network(image.double()), network(rolled.double()), offset)
    scores = metric.compute()
    assert scores["agreement"] == 1
    assert scores["agreement_preds_band"] == 1
    assert scores["agreement_target_band"].isnan()


def test_a_network_that_samples_every_second_pixel():
    """It gives each pair of columns the class of the first; stripes of a pixel flip at odd shifts.

    Columns 0 1 0 1 ... become all 0; shifted by one they become all 1. Stripes of two pixels,
    0 0 1 1, stay as they are; shifted by one, 0 1 1 0, the pairs become 0 0 1 1: half of all
    columns change.
    """

    def network(image):
        return image[..., ::2].repeat_interleave(2, -1)

    for stripe, offset, agreement in ((1, 1, 0), (1, 2, 1), (2, 1, 0.5), (2, 2, 1), (2, 4, 1)):
        image = (torch.arange(16) // stripe % 2).expand(1, 8, 16).contiguous()
        rolled = torch.roll(image, -offset, -1)
        metric = ShiftAgreement(2, circular=True)
        metric.update(network(image), network(rolled), (0, offset))
        assert metric.compute()["agreement"] == agreement, (stripe, offset)


class TestOffsets:
    def test_uniform_and_never_none(self):
        drawn = draw_offsets(20_000, largest=1)
        found, times = np.unique(drawn, axis=0, return_counts=True)
        assert len(found) == 8
        assert not (found == 0).all(1).any()
        assert abs(times - 2500).max() < 5 * 2500**0.5

    def test_an_image_has_its_own(self):
        assert draw_offsets(5, name="a") == draw_offsets(5, name="a")
        assert draw_offsets(5, name="a") != draw_offsets(5, name="b")
        assert draw_offsets(5, name="a") != draw_offsets(5, name="a", seed=1)
        assert np.abs(draw_offsets(1000, name="\udcff")).max() == 32

    @pytest.mark.parametrize(
        "options", [{"count": 0}, {"largest": 0}, {"seed": -1}, {"count": 1.5}]
    )
    def test_out_of_range(self, options):
        with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected an integer"):
            draw_offsets(**options)


@pytest.mark.parametrize("offsets", [[(1, 2)], [(-5, 3), (2, -7)], [(0, 0)]])
def test_windows_lie_in_the_image_and_differ_by_the_offsets(offsets):
    windows = shifted_windows(30, 40, offsets)
    for (top, left), (dy, dx) in zip(windows.shifted, offsets, strict=True):
        assert (top - windows.reference[0], left - windows.reference[1]) == (dy, dx)
        assert 0 <= top <= 30 - windows.size[0]
        assert 0 <= left <= 40 - windows.size[1]


def test_the_least_image():
    with pytest.raises(ValueError, match=r"at least 4 x 7 pixels .* got 1 x 1"):
        shifted_windows(1, 1, [(1, -2)])
    shifted_windows(4, 7, [(1, -2)])
    with pytest.raises(ValueError, match="got 4 x 6"):
        shifted_windows(4, 6, [(1, -2)])
    with pytest.raises(ValueError, match=r"at least 8 x 11 .* got 8 x 10"):
        shifted_windows(8, 10, [(1, -2)], border=2)
    with pytest.raises(ValueError, match=r"at least 34 x 36 .* got 33 x 36"):
        shifted_windows(33, 36, [(1, -2)], multiple=32)
    assert shifted_windows(34, 40, [(1, -2)], multiple=32).size == (32, 32)
    with pytest.raises(ValueError, match="expected at least one, got none"):
        shifted_windows(8, 10, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shifted": torch.zeros(4, 5).long()}, r"shifted: expected label maps of shape \[4, 4\]"),
        ({"preds": [[1]]}, "preds: expected a tensor"),
        ({"border": -1}, "border: expected 0 or more"),
        ({"border": 2}, "windows that overlap beyond a border of 2"),
        ({"offset": (4, 0)}, "windows that overlap"),
    ],
)
def test_what_can_not_be_compared(change, message):
    good = {"preds": torch.zeros(4, 4).long(), "shifted": torch.zeros(4, 4).long()}
    with pytest.raises(ValueError, match=message):
        compare_shift(**good | {"offset": (1, 1)} | change)


def test_labels_that_are_no_classes():
    preds = torch.full((4, 4), 3)
    once = torch.ones(4, 4).long()
    with pytest.raises(LabelRangeError, match=r"preds: expected labels 0\.\.2, got 3 \(16 px\)"):
        count_shifts(preds, once, once, num_classes=3)
    with pytest.raises(LabelRangeError, match="target: expected"):
        count_shifts(preds, once, once, num_classes=4, target=preds + 1)
    with pytest.raises(ValueError, match="changed: expected the shape of preds"):
        count_shifts(preds, once[:2], once, num_classes=4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
@pytest.mark.parametrize("ignore_index", [-100, 300, 2**16 + 7])
def test_a_void_label_that_the_dtype_does_not_hold(dtype, ignore_index):
    target = torch.tensor([[7, 7, 156, 156, 44, 44]])
    once = torch.ones(1, 6, dtype=torch.int64)
    options = {"num_classes": 200, "ignore_index": ignore_index, "band_width": 1}
    counts = count_shifts(target, 0 * once, once, target=target.to(dtype), **options)
    assert counts[2, 0, [7, 156, 44]].tolist() == [1, 2, 1]  # where labels meet
    with pytest.raises(LabelRangeError, match=r"target: expected .* got 156 \(2 px\)"):
        count_shifts(
            target.clamp(max=9),
            0 * once,
            once,
            target=target.to(dtype),
            **options | {"num_classes": 150},
        )


def test_more_classes_than_the_dtype_holds():
    preds = torch.tensor([[0, 3, 255]], dtype=torch.uint8)
    once = torch.ones(1, 3, dtype=torch.int64)
    counts = count_shifts(preds, 0 * once, once, num_classes=256, target=preds, ignore_index=-1)
    assert counts[0, 1, [0, 3, 255]].tolist() == [1, 1, 1]


@pytest.mark.parametrize("offset", [(1.5, 2), (1,), (1, 2, 3), None, ("1", 2)])
@pytest.mark.parametrize("circular", [False, True])
def test_what_is_no_offset(offset, circular):
    preds = torch.zeros(4, 4).long()
    with pytest.raises(ValueError, match=r"^offset: expected two integers"):
        ShiftAgreement(2, circular=circular).update(preds, preds, offset)
    with pytest.raises(ValueError, match=r"^offset: expected two integers"):
        shifted_windows(40, 40, [(0, 1), offset])


class TestMetric:
    def test_tables_add_up(self):
        preds, shifted, target = random_maps(5, 3, 6, 10, 12)
        whole, parts = (ShiftAgreement(3, band_width=3, border=1) for _ in range(2))
        whole.update(preds, shifted, (1, -2), target)
        for row in range(6):
            parts.update(preds[row], shifted[row], (1, -2), target[row])
        assert torch.equal(whole.counts, parts.counts)
        assert whole.compute_per_class()["agreement_per_class"].shape == (3,)
        assert set(whole.compute()) == {
            "agreement",
            "agreement_preds_band",
            "agreement_target_band",
        }

    def test_logits(self):
        logits = torch.randn(2, 3, 8, 8)
        metric, other = ShiftAgreement(3), ShiftAgreement(3)
        metric.update(logits, logits.flip(-1), (0, 1))
        other.update(logits.argmax(1), logits.flip(-1).argmax(1), (0, 1))
        assert torch.equal(metric.counts, other.counts)
        with pytest.raises(ValueError, match="preds: expected logits of shape"):
            metric.update(logits[:, :2], logits, (0, 1))
        with pytest.raises(ValueError, match="shifted: expected logits without NaN"):
            metric.update(logits, logits * float("nan"), (0, 1))

    @pytest.mark.parametrize("border", [-1, 1.0])
    def test_a_border_out_of_range(self, border):
        with pytest.raises(ValueError, match="border: expected an integer"):
            ShiftAgreement(3, border=border)
