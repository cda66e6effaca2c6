"""Boundary IoU and the boundary F-score, for comparison with other work."""

import math

import torch
from torch import Tensor

from dealias.metrics.functional.bands import check_tensor, inner_boundary, label_edges
from dealias.metrics.functional.counts import check_labels, check_options, check_pair, tally
from dealias.metrics.functional.hard_pixel_scores import ratio


def boundary_iou_counts(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    distance: int | None = None,
    dilation_ratio: float = 0.02,
) -> Tensor:
    """Count the intersection and union of the inner boundaries of each class.

    Args:
        preds: as for :func:`count_hard_pixels`.
        target: as for :func:`count_hard_pixels`.
        num_classes: number of classes C.
        ignore_index: void label of `target`; void pixels are not counted.
        distance: width of the inner boundary in pixels; by default `dilation_ratio` times the
            image diagonal, rounded, at least 1.
        dilation_ratio: share of the diagonal, in (0, 1].

    Returns:
        int64 `[2, C]`, intersection and union, to be summed over images for :func:`boundary_iou`.

    Raises:
        LabelRangeError: a label is neither a class nor void.
        ValueError: invalid shapes, dtypes or options.

    The boundary of a class is its mask minus the mask eroded `distance` times by a 3x3 square, with
    the image zero-padded. Source: Cheng et al., "Boundary IoU", CVPR 2021.
    """
    check_options(num_classes, ignore_index)
    check_pair(preds, target)
    if distance is None:
        if not 0 < dilation_ratio <= 1:
            raise ValueError(f"dilation_ratio: expected a number in (0, 1], got {dilation_ratio}")
        distance = max(1, round(dilation_ratio * math.hypot(*preds.shape[-2:])))
    if type(distance) is not int or distance < 1:
        raise ValueError(f"distance: expected a number of pixels from 1 on, got {distance!r}")
    if preds.numel() == 0:
        return torch.zeros(2, num_classes, dtype=torch.int64, device=preds.device)
    in_preds, in_target = inner_boundary(preds, distance), inner_boundary(target, distance)
    region = in_preds + 2 * in_target
    table = tally(num_classes, ignore_index, region.flatten(), target.flatten(), preds.flatten())
    intersection = table[3].diagonal()
    area = (table[1] + table[3]).sum(0) + (table[2] + table[3]).sum(1)
    return torch.stack([intersection, area - intersection])


def boundary_iou(counts: Tensor) -> Tensor:
    """Compute the Boundary IoU of each class from :func:`boundary_iou_counts`.

    Returns:
        `[C]`, fractions in [0, 1]; NaN for a class without a boundary. ``nanmean()`` is the mean.

    >>> target = torch.zeros(8, 8, dtype=torch.int64)
    >>> target[:, 4:] = 1
    >>> counts = boundary_iou_counts(target, target, num_classes=3, distance=1)
    >>> boundary_iou(counts).tolist()
    [1.0, 1.0, nan]
    """
    check_tensor("counts", counts)
    return ratio(counts[0], counts[1])


def boundary_f_counts(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    tolerance: float = 0.0075,
) -> Tensor:
    """Count the boundary pixels of each class, and those matched within a tolerance.

    Args:
        preds: as for :func:`count_hard_pixels`.
        target: as for :func:`count_hard_pixels`.
        num_classes: number of classes C.
        ignore_index: void label of `target`. Borders with void are not boundaries, and predicted
            boundary pixels on void are not counted.
        tolerance: Euclidean distance in pixels if at least 1, else a share of the image diagonal,
            rounded up.

    Returns:
        int64 `[4, C]`, to be summed over images for :func:`boundary_f_score`: predicted boundary
        pixels, those of them that are matched, target boundary pixels, and those of them that are
        matched.

    Raises:
        LabelRangeError: a label is neither a class nor void.
        ValueError: invalid shapes, dtypes or options.

    A pixel is on the boundary of its class if a 4-neighbour has another label. Source: Csurka et
    al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013, with the
    tolerance of Perazzi et al. (DAVIS), CVPR 2016.
    """
    check_options(num_classes, ignore_index)
    check_pair(preds, target)
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected a positive number, got {tolerance}")
    if tolerance < 1:
        tolerance = math.ceil(tolerance * math.hypot(*preds.shape[-2:]))
    check_labels(preds, target, num_classes, ignore_index)
    if preds.numel() == 0:
        return torch.zeros(4, num_classes, dtype=torch.int64, device=preds.device)
    known = target.long() != ignore_index
    on_preds = label_edges(preds, protocol="exact") & known
    on_target = label_edges(target, protocol="exact", ignore_index=ignore_index) & known
    counts = torch.zeros(4, num_classes, dtype=torch.int64, device=preds.device)
    present = torch.cat([preds[on_preds].long(), target[on_target].long()])
    for label in torch.unique(present).tolist():
        in_preds, in_target = on_preds & (preds == label), on_target & (target == label)
        counts[0, label] = in_preds.sum()
        counts[1, label] = (in_preds & _disc_dilate(in_target, tolerance)).sum()
        counts[2, label] = in_target.sum()
        counts[3, label] = (in_target & _disc_dilate(in_preds, tolerance)).sum()
    return counts


def boundary_f_score(counts: Tensor) -> Tensor:
    """Compute the boundary F-score of each class from :func:`boundary_f_counts`.

    Returns:
        `[C]`, the harmonic mean of precision and recall over all pixels counted, in [0, 1]; 0 for a
        class with a boundary in only one of `preds` and `target`, NaN for a class with none.
    """
    check_tensor("counts", counts)
    preds, preds_matched, target, target_matched = counts
    precision, recall = ratio(preds_matched, preds), ratio(target_matched, target)
    score = 2 * precision * recall / (precision + recall)
    unmatched = (preds_matched == 0) & (target_matched == 0) & (preds + target > 0)
    return torch.where(unmatched, torch.zeros_like(score), score)


def _disc_dilate(mask: Tensor, radius: float) -> Tensor:
    """Dilate a mask `[..., H, W]` by a disc, the union of its horizontal chords."""
    height, width = mask.shape[-2:]
    reach = min(int(radius), max(height, width))
    padded = torch.nn.functional.pad(mask, (reach, reach, reach, reach))
    result = torch.zeros_like(mask)
    chord, half = padded.clone(), 0
    for row in range(reach, -1, -1):  # chords grow from the poles of the disc to its equator
        wanted = min(reach, math.isqrt(int(radius * radius) - row * row))
        while half < wanted:
            half += 1
            chord[..., half:] |= padded[..., :-half]
            chord[..., :-half] |= padded[..., half:]
        for top in {reach - row, reach + row}:
            result |= chord[..., top : top + height, reach : reach + width]
    return result
