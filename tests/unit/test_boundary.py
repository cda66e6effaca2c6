import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from dealias.metrics.functional import (
    boundary_f_counts,
    boundary_f_score,
    boundary_iou,
    boundary_iou_counts,
)
from helpers import VOID, random_maps


def eroded_rim(mask, distance):
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
    return mask & ~eroded[1:-1, 1:-1].astype(bool)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (37, 53), (90, 64)])
@pytest.mark.parametrize("distance", [None, 1, 3, 7])
def test_boundary_iou_against_eroding_each_class(shape, distance, device):
    preds, target = random_maps(0, *shape, classes=4)
    counts = boundary_iou_counts(
        preds.to(device), target.to(device), num_classes=4, distance=distance
    )
    pixels = distance or max(1, round(0.02 * np.hypot(*shape)))
    known = target.numpy() != VOID
    for label in range(4):
        rims = [eroded_rim(maps.numpy() == label, pixels) & known for maps in (preds, target)]
        assert counts[0, label] == (rims[0] & rims[1]).sum()
        assert counts[1, label] == (rims[0] | rims[1]).sum()


@pytest.mark.parametrize("tolerance", [1, 2.5, 6, 0.02])
def test_boundary_f_score_against_distance_transforms(tolerance, device):
    preds, target = random_maps(1, 40, 61, classes=4)
    counts = boundary_f_counts(
        preds.to(device), target.to(device), num_classes=4, tolerance=tolerance
    ).cpu()
    radius = tolerance if tolerance >= 1 else np.ceil(tolerance * np.hypot(40, 61))
    known = target.numpy() != VOID
    rims = []
    for maps in (preds.numpy().astype(int), target.numpy().astype(int)):
        rim = np.zeros(maps.shape, bool)
        for axis in (0, 1):
            first, second = [slice(None)] * 2, [slice(None)] * 2
            first[axis], second[axis] = slice(None, -1), slice(1, None)
            a, b = maps[tuple(first)], maps[tuple(second)]
            differs = (a != b) & (a != VOID) & (b != VOID)
            rim[tuple(first)] |= differs
            rim[tuple(second)] |= differs
        rims.append(rim & known)
    for label in range(4):
        found = rims[0] & (preds.numpy() == label)
        wanted = rims[1] & (target.numpy() == label)
        near_wanted = ndimage.distance_transform_edt(~wanted) <= radius
        near_found = ndimage.distance_transform_edt(~found) <= radius
        assert counts[:, label].tolist() == [
            found.sum(),
            (found & near_wanted).sum(),
            wanted.sum(),
            (wanted & near_found).sum(),
        ]


def test_boundary_f_score_of_counts():
    counts = torch.tensor([[10, 4, 0, 0, 5], [5, 0, 0, 0, 5], [10, 4, 4, 0, 5], [10, 0, 0, 0, 5]])
    expected = torch.tensor([2 * 0.5 * 1 / 1.5, 0, 0, torch.nan, 1]).double()
    torch.testing.assert_close(boundary_f_score(counts), expected, equal_nan=True)


def test_a_perfect_prediction_scores_one():
    _, target = random_maps(2, 30, 30, classes=3)
    preds = target.masked_fill(target == VOID, 0)
    known = target.masked_fill(target == VOID, 0)
    assert boundary_iou(boundary_iou_counts(preds, known, num_classes=3)).tolist() == [1, 1, 1]
    assert boundary_f_score(boundary_f_counts(preds, known, num_classes=3)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (boundary_iou_counts, {"distance": 0}, "distance: expected at least 1 pixel, got 0"),
        (boundary_iou_counts, {"dilation_ratio": 0.0}, "dilation_ratio"),
        (boundary_f_counts, {"tolerance": 0}, "tolerance: expected a positive number, got 0"),
        (boundary_f_counts, {"tolerance": float("nan")}, "tolerance"),
        (boundary_f_counts, {"num_classes": 1}, r"preds: expected labels 0\.\.0, got 1"),
        (boundary_iou_counts, {"num_classes": 1}, r"preds: expected labels 0\.\.0, got 1"),
    ],
)
def test_bad_options(function, options, message):
    preds, target = random_maps(3, 10, 10, classes=2)
    with pytest.raises(ValueError, match=message):
        function(preds, target, **{"num_classes": 2, **options})
