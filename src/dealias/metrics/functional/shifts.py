"""Shift agreement: does a prediction stay the same when the camera moves by a few pixels?

A network that samples its feature maps predicts differently if the same scene falls differently on
the sampling grid. Measuring this needs no target. Names in the literature are consistency (Zhang,
"Making Convolutional Networks Shift-Invariant Again", ICML 2019) and mASSC (Zou et al., "Delving
Deeper into Anti-aliasing in ConvNets", BMVC 2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dealias.metrics.functional.bands import Protocol, check_tensor, dilate, label_edges
from dealias.metrics.functional.counts import check_labels, check_options, check_pair
from dealias.metrics.functional.hard_pixel_scores import ratio
from dealias.text import shorten

Offset = tuple[int, int]

# Rows of the table of :func:`count_shifts`.
ALL, PREDS_BAND, TARGET_BAND = range(3)
AGREEMENT = ("agreement", "agreement_preds_band", "agreement_target_band")  # their names


class Windows(NamedTuple):
    """Positions of windows of one size in an image that differ by given offsets.

    Attributes:
        size: height and width of all windows.
        reference: top and left of the window that the others are compared with.
        shifted: top and left of the window for each offset.
    """

    size: tuple[int, int]
    reference: tuple[int, int]
    shifted: tuple[tuple[int, int], ...]


def draw_offsets(
    count: int = 5, *, largest: int = 32, seed: int = 0, name: str = ""
) -> list[Offset]:
    """Draw offsets uniformly from the integers in [-largest, largest]^2 except (0, 0).

    Args:
        count: number of offsets, at least 1.
        largest: largest offset in pixels along an axis, at least 1.
        seed: random seed, not negative.
        name: name of the image: each image has its own offsets, whatever the order of images.

    Returns:
        (dy, dx) of each offset, in pixels.

    Raises:
        ValueError: an argument is out of range.

    >>> draw_offsets(2, seed=1, name="a") == draw_offsets(2, seed=1, name="a")
    True
    """
    for argument, value, least in (("count", count, 1), ("largest", largest, 1), ("seed", seed, 0)):
        if type(value) is not int or value < least:
            raise ValueError(f"{argument}: expected an integer of at least {least}, got {value!r}")
    key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    random = np.random.default_rng([seed, *key])
    side = 2 * largest + 1
    drawn = random.integers(0, side * side - 1, count)
    drawn += drawn >= side * side // 2  # skip the middle, which is (0, 0)
    return [(int(place) // side - largest, int(place) % side - largest) for place in drawn]


def shifted_windows(
    height: int,
    width: int,
    offsets: Sequence[Offset],
    *,
    largest: int = 0,
    border: int = 0,
    multiple: int = 1,
) -> Windows:
    """Place windows in an image: one for each offset, and a reference to compare them with.

    The window of offset (dy, dx) lies dy pixels below and dx pixels to the right of the reference,
    like the view of a camera that moved. All windows lie inside the image.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        offsets: (dy, dx) of each offset, in pixels.
        largest: leave room for offsets of this many pixels, so that images with other offsets have
            windows of the same size.
        border: pixels at the sides of the windows that are not compared.
        multiple: cut the sides of the windows to multiples of this many pixels, for networks that
            need it.

    Raises:
        ValueError: there are no offsets, an offset is not a pair of integers, or the image is too
            small.

    >>> shifted_windows(100, 200, [(4, -8)])
    Windows(size=(92, 184), reference=(4, 8), shifted=((8, 0),))
    """
    if not offsets:
        raise ValueError("offsets: expected at least one, got none")
    for offset in offsets:
        _check_offset(offset)
    margins = [max(largest, *(abs(offset[axis]) for offset in offsets)) for axis in (0, 1)]
    size = [
        (n - 2 * m) // multiple * multiple for n, m in zip((height, width), margins, strict=True)
    ]
    if any(side - most <= 2 * border for side, most in zip(size, margins, strict=True)):
        least = [most + -(-(most + 2 * border + 1) // multiple) * multiple for most in margins]
        raise ValueError(
            f"offsets: expected an image of at least {least[0] + margins[0]} x "
            f"{least[1] + margins[1]} pixels for offsets of up to {margins[0]} and {margins[1]}, "
            f"got {height} x {width}"
        )
    top, left = margins
    return Windows(
        (size[0], size[1]), (top, left), tuple((top + dy, left + dx) for dy, dx in offsets)
    )


def compare_shift(
    preds: Tensor, shifted: Tensor, offset: Offset, *, circular: bool = False, border: int = 0
) -> tuple[Tensor, Tensor]:
    """Compare the prediction for a window with that for a window displaced by `offset`.

    Args:
        preds: label maps, integers `[..., H, W]`.
        shifted: label maps of the same shape, of which pixel (y, x) shows the same point as pixel
            (y + dy, x + dx) of `preds`.
        offset: (dy, dx) in pixels.
        circular: the image was rolled by -offset instead, so that every pixel has a counterpart.
        border: pixels at the sides of both windows that are not compared; ignored if circular.

    Returns:
        Bool tensors with the shape of `preds`: where the label changed, and where it was compared.

    Raises:
        ValueError: the arguments are not tensors, their shapes differ, the offset is not a pair of
            integers, the border is negative, or no pixel can be compared.

    >>> preds = torch.tensor([[0, 0, 1, 1]])
    >>> changed, compared = compare_shift(preds, torch.tensor([[0, 0, 1, 1]]), (0, 1))
    >>> changed.int().tolist(), compared.int().tolist()
    ([[0, 0, 1, 0]], [[0, 1, 1, 1]])
    """
    check_tensor("preds", preds)
    check_tensor("shifted", shifted)
    if preds.ndim < 2 or preds.shape != shifted.shape:
        raise ValueError(
            f"shifted: expected label maps of shape {list(preds.shape)}, as preds, "
            f"got {list(shifted.shape)}"
        )
    _check_offset(offset)
    if circular:
        back = torch.roll(shifted, offset, (-2, -1))
        return back != preds, torch.ones_like(preds, dtype=torch.bool)
    if border < 0:
        raise ValueError(f"border: expected 0 or more, got {border}")
    own: list[Any] = [...]
    other: list[Any] = [...]
    for length, step in zip(preds.shape[-2:], offset, strict=True):
        first, last = border + max(step, 0), length - border + min(step, 0)
        if first >= last:
            raise ValueError(
                f"offset: expected windows that overlap beyond a border of {border} pixels, got "
                f"{tuple(offset)} for {preds.shape[-2]} x {preds.shape[-1]} pixels"
            )
        own.append(slice(first, last))
        other.append(slice(first - step, last - step))
    changed = torch.zeros_like(preds, dtype=torch.bool)
    compared = torch.zeros_like(changed)
    compared[tuple(own)] = True
    changed[tuple(own)] = preds[tuple(own)] != shifted[tuple(other)]
    return changed, compared


def count_shifts(
    preds: Tensor,
    changed: Tensor,
    compared: Tensor,
    *,
    num_classes: int,
    target: Tensor | None = None,
    ignore_index: int = 255,
    band_width: int = 15,
    protocol: Protocol = "paper",
) -> Tensor:
    """Count unstable pixels by region and class.

    Args:
        preds: label maps of the reference, integers `[H, W]` or `[B, H, W]` in 0 .. C - 1.
        changed: number of shifts in which each pixel changed its label, with the shape of `preds`;
            bool for a single shift.
        compared: number of shifts in which each pixel was compared, likewise.
        num_classes: number of classes C.
        target: label maps of the same shape, for the band of the target; None if not known.
        ignore_index: void label of the target; void pixels do not count in the band of the target.
        band_width: odd side in pixels of the square that dilates edges into bands.
        protocol: see :func:`label_edges`.

    Returns:
        int64 `[3, 2, C]`: compared and unchanged pixels by region (all pixels, band of the
        prediction, band of the target) and class. The class is that of the prediction, except in
        the band of the target, where it is that of the target. Tables of several images are added
        up.

    Raises:
        LabelRangeError: a label is neither a class nor, in the target, void.
        ValueError: see :func:`count_hard_pixels`; or shapes differ.
    """
    check_options(num_classes, ignore_index, band_width, protocol)
    known = preds if target is None else target
    check_pair(preds, known)
    for name, value in (("changed", changed), ("compared", compared)):
        if value.shape != preds.shape:
            raise ValueError(
                f"{name}: expected the shape of preds, {list(preds.shape)}, got {list(value.shape)}"
            )
    check_labels(preds, known, num_classes, ignore_index)
    times = torch.stack([compared.long(), compared.long() - changed.long()])
    found = torch.zeros(3, 2, num_classes, dtype=torch.int64, device=preds.device)
    band = dilate(label_edges(preds, protocol=protocol), band_width)
    found[ALL] = _sum_by_class(preds, times, num_classes)
    found[PREDS_BAND] = _sum_by_class(preds, times * band, num_classes)
    if target is not None:
        edges = label_edges(target, protocol=protocol, ignore_index=ignore_index)
        inside = dilate(edges, band_width) & (target.long() != ignore_index)
        classes = torch.where(inside, target, 0)
        found[TARGET_BAND] = _sum_by_class(classes, times * inside, num_classes)
    return found


def shift_agreement(counts: Tensor) -> dict[str, Tensor]:
    """Compute the agreement of each region and class from the counts of :func:`count_shifts`.

    Args:
        counts: int64 `[3, 2, C]`.

    Returns:
        float64 (float32 on MPS) by name: those of `AGREEMENT`, and the same with "_per_class"
        `[C]`, all in [0, 1]; NaN where nothing was compared.
    """
    scores: dict[str, Tensor] = {}
    for name, (compared, unchanged) in zip(AGREEMENT, counts, strict=True):
        scores[name] = ratio(unchanged.sum(), compared.sum())
        scores[f"{name}_per_class"] = ratio(unchanged, compared)
    return scores


def _sum_by_class(classes: Tensor, times: Tensor, num_classes: int) -> Tensor:
    flat = classes.reshape(-1).long()
    sums = torch.zeros(2, num_classes, dtype=torch.int64, device=classes.device)
    return sums.index_add_(1, flat, times.reshape(2, -1))


def _check_offset(offset: Offset) -> None:
    """Raise ValueError unless an offset is a pair (dy, dx) of whole pixels."""
    whole = isinstance(offset, Sequence) and len(offset) == 2
    if not whole or not all(isinstance(step, int | np.integer) for step in offset):
        raise ValueError(f"offset: expected two integers (dy, dx), got {shorten(offset)}")
