"""The table of counts by region, target class and predicted class."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dealias.metrics.functional import packed
from dealias.metrics.functional.bands import (
    Protocol,
    check_band_width,
    check_protocol,
    check_tensor,
    dilate,
    label_edges,
)
from dealias.text import list_pixels

INTERIOR, PREDS_BAND, TARGET_BAND, BOTH_BANDS = range(4)

_MOST_LISTED = 10_000
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class LabelRangeError(ValueError):
    """A label map holds labels that are neither a class nor void.

    Attributes:
        argument: "preds" or "target".
        pixels: number of pixels of each invalid label, for the 10,000 smallest labels.
        expected: description of the valid labels.
    """

    def __init__(self, argument: str, pixels: dict[int, int], expected: str) -> None:
        self.argument = argument
        self.pixels = pixels
        self.expected = expected
        super().__init__(f"{argument}: {self.detail}")

    @property
    def detail(self) -> str:
        """Describe the valid labels, and the invalid ones with their numbers of pixels."""
        return f"expected {self.expected}, got {list_pixels(list(self.pixels.items()))}"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.argument, self.pixels, self.expected)


@dataclass(frozen=True)
class HardPixelCounts:
    """Counts of any number of images, from which all hard-pixel metrics are computed.

    Counts of several images are added with ``+``.

    Attributes:
        confusion: int64 `[4, C, C]`, pixels by region (0 interior, 1 predicted band only, 2 target
            band only, 3 both bands), target class and predicted class. Pixels with a void target
            are left out.
        edges: int64 `[4]`, void included: predicted edge pixels outside the target band; predicted
            edge pixels + pixels of the predicted band; target edge pixels outside the predicted
            band; target edge pixels + pixels of the target band.
    """

    confusion: Tensor
    edges: Tensor

    def __add__(self, other: HardPixelCounts) -> HardPixelCounts:
        return HardPixelCounts(self.confusion + other.confusion, self.edges + other.edges)

    @classmethod
    def zeros(cls, num_classes: int, device: torch.device | None = None) -> HardPixelCounts:
        """Return the counts of no images."""
        return cls(
            torch.zeros(4, num_classes, num_classes, dtype=torch.int64, device=device),
            torch.zeros(4, dtype=torch.int64, device=device),
        )


def banded_confusion(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    band_width: int = 15,
    protocol: Protocol = "paper",
) -> Tensor:
    """Count the pixels of label maps by region, target class and predicted class.

    Arguments are those of :func:`count_hard_pixels`.

    Returns:
        int64 `[4, C, C]`, the `confusion` of :class:`HardPixelCounts`, summed over the batch.

    >>> target = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    >>> preds = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    >>> banded_confusion(preds, target, num_classes=2, band_width=1).sum((1, 2)).tolist()
    [5, 1, 1, 1]
    """
    return count_hard_pixels(
        preds,
        target,
        num_classes=num_classes,
        ignore_index=ignore_index,
        band_width=band_width,
        protocol=protocol,
    ).confusion


def count_hard_pixels(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    band_width: int = 15,
    protocol: Protocol = "paper",
) -> HardPixelCounts:
    """Count everything that the hard-pixel metrics are computed from.

    A band is the edges of a label map (:func:`label_edges`) dilated by a square.

    Args:
        preds: predicted classes, integers `[H, W]` or `[B, H, W]`, each 0 .. C - 1.
        target: target classes, of the same shape and device, each 0 .. C - 1 or `ignore_index`.
        num_classes: number of classes C.
        ignore_index: the void label of `target`, outside 0 .. C - 1. Void pixels are not counted,
            but their borders are edges under "paper".
        band_width: odd side in pixels of the square that dilates edges into bands.
        protocol: "paper" is the published evaluation with its gaps: an edge is missed where labels
            cancel out in the Laplacian or differ by 256, and borders with void are edges. "exact"
            corrects all of these.

    Returns:
        Counts on the device of `preds`, summed over the batch; zeros for an empty batch.

    Raises:
        LabelRangeError: a label anywhere in the maps is neither a class nor void.
        ValueError: the arguments are not tensors, their shapes or devices differ, a rank or dtype
            is wrong, or an option is invalid.

    Source: Chen, Gu and Fu, "When Semantic Segmentation Meets Frequency Aliasing", ICLR 2024.
    """
    [counts] = count_band_widths(
        preds,
        target,
        num_classes=num_classes,
        ignore_index=ignore_index,
        band_widths=[band_width],
        protocol=protocol,
    )
    return counts


def count_band_widths(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    band_widths: Sequence[int],
    protocol: Protocol = "paper",
) -> list[HardPixelCounts]:
    """Count as :func:`count_hard_pixels` does for several band widths, in one pass over the pixels.

    Args:
        preds: see :func:`count_hard_pixels`, also for the other arguments and for errors.
        target: label maps.
        num_classes: number of classes C.
        ignore_index: void label of `target`.
        band_widths: odd widths in pixels, in non-descending order.
        protocol: "paper" or "exact".

    Returns:
        The counts at each width.

    >>> row = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]])
    >>> counts = count_band_widths(row, row, num_classes=2, band_widths=[1, 3, 5])
    >>> [int(one.confusion[3].sum()) for one in counts]  # pixels in both bands
    [2, 4, 6]
    """
    for band_width in band_widths:
        check_options(num_classes, ignore_index, band_width, protocol)
    if any(wide > wider for wide, wider in itertools.pairwise(band_widths)):
        raise ValueError(f"band_widths: expected widths that do not fall, got {list(band_widths)}")
    check_pair(preds, target)
    counts = [HardPixelCounts.zeros(num_classes, preds.device) for _ in band_widths]
    if preds.numel() == 0 or not counts:
        return counts
    preds = preds.detach().reshape(-1, *preds.shape[-2:])
    target = target.detach().reshape(-1, *target.shape[-2:])
    if preds.device.type != "cpu":
        for place, band_width in enumerate(band_widths):
            cells, edges = _count_dense(preds, target, protocol, ignore_index, band_width)
            counts[place] = HardPixelCounts(tally(num_classes, ignore_index, *cells), edges)
        return counts
    for p, t in zip(preds.numpy(), target.numpy(), strict=True):
        found = packed.count_image(p, t, protocol, ignore_index, band_widths)
        for place, (parts, numbers) in enumerate(found):
            table = tally(num_classes, ignore_index, *map(torch.from_numpy, parts))
            counts[place] += HardPixelCounts(table, torch.tensor(numbers))
    return counts


def check_options(
    num_classes: int, ignore_index: int, band_width: int = 15, protocol: str = "paper"
) -> None:
    """Raise ValueError unless the options are valid for :func:`count_hard_pixels`."""
    if type(num_classes) is not int or num_classes < 1:
        raise ValueError(f"num_classes: expected a positive integer, got {num_classes!r}")
    if type(ignore_index) is not int:
        raise ValueError(f"ignore_index: expected an integer, got {ignore_index!r}")
    if ignore_index in range(num_classes):
        raise ValueError(
            f"ignore_index: expected a label outside 0..{num_classes - 1}, "
            f"got {ignore_index}, which is a class"
        )
    check_band_width(band_width)
    check_protocol(protocol)


def check_pair(preds: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are integer label maps of one shape on one device."""
    for argument, labels in (("preds", preds), ("target", target)):
        check_tensor(argument, labels)
        if labels.dtype not in _INTEGERS:
            raise ValueError(f"{argument}: expected integer labels, got {labels.dtype}")
        if labels.ndim not in (2, 3):
            raise ValueError(
                f"{argument}: expected shape [H, W] or [B, H, W], got {list(labels.shape)}"
            )
    if preds.shape != target.shape:
        raise ValueError(
            f"preds and target: expected one shape, "
            f"got {list(preds.shape)} and {list(target.shape)}"
        )
    if preds.device != target.device:
        raise ValueError(
            f"preds and target: expected one device, got {preds.device} and {target.device}"
        )


def _count_dense(
    preds: Tensor, target: Tensor, protocol: Protocol, ignore_index: int, band_width: int
) -> tuple[list[Tensor], Tensor]:
    """Return region, target and preds of each pixel, and the edge counts, on any device."""
    preds_edges = label_edges(preds, protocol=protocol)
    target_edges = label_edges(target, protocol=protocol, ignore_index=ignore_index)
    preds_band, target_band = dilate(preds_edges, band_width), dilate(target_edges, band_width)
    edges = [
        (preds_edges & ~target_band).sum(),
        preds_edges.sum() + preds_band.sum(),
        (target_edges & ~preds_band).sum(),
        target_edges.sum() + target_band.sum(),
    ]
    region = preds_band * PREDS_BAND + target_band * TARGET_BAND
    return [region.flatten(), target.flatten(), preds.flatten()], torch.stack(edges)


def tally(
    num_classes: int,
    ignore_index: int,
    region: Tensor,
    target: Tensor,
    preds: Tensor,
    pixels: Tensor | None = None,
) -> Tensor:
    """Add up the table of counts, int64 `[4, C, C]`.

    Args:
        num_classes: number of classes C.
        ignore_index: void label of the target.
        region: integers `[N]`, the region of each cell.
        target: integers `[N]`, the target class of each cell.
        preds: integers `[N]`, the predicted class of each cell.
        pixels: int64 `[N]`, the number of pixels of each cell; None for one each.

    Raises:
        LabelRangeError: a label is neither a class nor void.
    """
    check_labels(preds, target, num_classes, ignore_index, pixels)
    region, target, preds = region.long(), target.long(), preds.long()
    known = target != ignore_index
    cell = ((region * num_classes + target) * num_classes + preds)[known]
    weights = None if pixels is None else pixels[known].double()  # exact below 2**53
    counts = torch.bincount(cell, weights=weights, minlength=4 * num_classes * num_classes)
    return counts.long().view(4, num_classes, num_classes)


def check_labels(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int,
    pixels: Tensor | None = None,
) -> None:
    """Raise LabelRangeError unless every label is a class or, in the target, void."""
    preds, target = preds.long(), target.long()
    classes = f"labels 0..{num_classes - 1}"
    outside = (preds < 0) | (preds >= num_classes)
    _check_range("preds", preds, pixels, outside, classes)
    outside = ((target < 0) | (target >= num_classes)) & (target != ignore_index)
    _check_range("target", target, pixels, outside, f"{classes} or void {ignore_index}")


def _check_range(
    argument: str, labels: Tensor, pixels: Tensor | None, outside: Tensor, expected: str
) -> None:
    if not outside.any():
        return
    found, index = torch.unique(labels[outside], return_inverse=True)
    weights = torch.ones_like(index) if pixels is None else pixels[outside]
    totals = torch.zeros_like(found).index_add_(0, index, weights)
    listed = zip(found[:_MOST_LISTED].tolist(), totals[:_MOST_LISTED].tolist(), strict=True)
    raise LabelRangeError(argument, dict(listed), expected)
