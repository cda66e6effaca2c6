"""The table of counts: region x target class x predicted class."""

from __future__ import annotations

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

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class LabelRangeError(ValueError):
    """A label map holds labels that are neither a class nor void.

    Attributes:
        argument: "preds" or "target".
        pixels: number of pixels of each such label.
    """

    def __init__(self, argument: str, pixels: dict[int, int], expected: str) -> None:
        self.argument = argument
        self.pixels = pixels
        self.expected = expected
        super().__init__(f"{argument}: {self.detail}")

    @property
    def detail(self) -> str:
        """The offending labels, how many pixels each, and what was expected."""
        return f"expected {self.expected}, got {list_pixels(list(self.pixels.items()))}"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.argument, self.pixels, self.expected)


@dataclass(frozen=True)
class HardPixelCounts:
    """All that the hard-pixel metrics need to know of any number of images.

    Counts of several images add up with ``+``.

    Attributes:
        confusion: int64 [4, C, C], pixels by region (0 interior, 1 predicted band only,
            2 target band only, 3 both bands), target class and predicted class. Pixels whose
            target is void are left out.
        edges: int64 [4], void included: predicted edge pixels outside the target band;
            predicted edge pixels + pixels of the predicted band; target edge pixels outside
            the predicted band; target edge pixels + pixels of the target band.
    """

    confusion: Tensor
    edges: Tensor

    def __add__(self, other: HardPixelCounts) -> HardPixelCounts:
        return HardPixelCounts(self.confusion + other.confusion, self.edges + other.edges)

    @classmethod
    def zeros(cls, num_classes: int, device: torch.device | None = None) -> HardPixelCounts:
        """The counts of no image."""
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

    The confusion part of :func:`count_hard_pixels`, which documents the arguments.

    Returns:
        int64 tensor [4, C, C]: region 0 interior, 1 predicted band only, 2 target band only,
        3 both; rows are target classes, columns predicted ones. Summed over a batch.

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
    """Count everything that the hard-pixel metrics are made of.

    A band is the edges of a label map (:func:`label_edges`) dilated by a square.

    Args:
        preds: predicted classes, (H, W) or (N, H, W), any integer dtype, each 0 .. C - 1.
        target: target classes, same shape and device; each 0 .. C - 1 or `ignore_index`.
        num_classes: C, the number of classes.
        ignore_index: the void label of `target`, outside 0 .. C - 1. Void pixels are not counted,
            but their borders are edges under "paper".
        band_width: side in pixels of the square that dilates edges into bands; odd.
        protocol: "paper" is the published evaluation, quirks included: labels that cancel in the
            Laplacian, or of which one is 256 more than the other, hide an edge, and borders with
            void make a band. "exact" mends all.

    Returns:
        Counts on the device of `preds`, summed over the batch; zeros for an empty one.

    Raises:
        LabelRangeError: labels that are neither a class nor void, wherever they are.
        ValueError: no tensors, shapes or devices that differ, a wrong rank or dtype, a bad option.

    Source: Chen, Gu and Fu, "When Semantic Segmentation Meets Frequency Aliasing", ICLR 2024.
    """
    check_options(num_classes, ignore_index, band_width, protocol)
    check_pair(preds, target)
    counts = HardPixelCounts.zeros(num_classes, preds.device)
    if preds.numel() == 0:
        return counts
    preds = preds.detach().reshape(-1, *preds.shape[-2:])
    target = target.detach().reshape(-1, *target.shape[-2:])
    if preds.device.type != "cpu":
        cells, edges = _count_dense(preds, target, protocol, ignore_index, band_width)
        return HardPixelCounts(tally(num_classes, ignore_index, *cells), edges)
    for p, t in zip(preds.numpy(), target.numpy(), strict=True):
        found, numbers = packed.count_image(p, t, protocol, ignore_index, band_width)
        cells = [torch.from_numpy(part) for part in found]
        counts += HardPixelCounts(tally(num_classes, ignore_index, *cells), torch.tensor(numbers))
    return counts


def check_options(
    num_classes: int, ignore_index: int, band_width: int = 15, protocol: str = "paper"
) -> None:
    """Raise ValueError for options that :func:`count_hard_pixels` can't take."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes: expected a positive integer, got {num_classes!r}")
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
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
                f"{argument}: expected shape (H, W) or (N, H, W), got {tuple(labels.shape)}"
            )
    if preds.shape != target.shape:
        raise ValueError(
            f"preds and target: expected one shape, "
            f"got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    if preds.device != target.device:
        raise ValueError(
            f"preds and target: expected one device, got {preds.device} and {target.device}"
        )


def _count_dense(
    preds: Tensor, target: Tensor, protocol: Protocol, ignore_index: int, band_width: int
) -> tuple[list[Tensor], Tensor]:
    """Region, target and preds of each pixel, and edge counts, of a batch on any device."""
    p_edges = label_edges(preds, protocol=protocol)
    t_edges = label_edges(target, protocol=protocol, ignore_index=ignore_index)
    p_band, t_band = dilate(p_edges, band_width), dilate(t_edges, band_width)
    edges = [
        (p_edges & ~t_band).sum(),
        p_edges.sum() + p_band.sum(),
        (t_edges & ~p_band).sum(),
        t_edges.sum() + t_band.sum(),
    ]
    region = p_band * PREDS_BAND + t_band * TARGET_BAND
    return [region.flatten(), target.flatten(), preds.flatten()], torch.stack(edges)


def tally(
    num_classes: int,
    ignore_index: int,
    region: Tensor,
    target: Tensor,
    preds: Tensor,
    pixels: Tensor | None = None,
) -> Tensor:
    """Add up cells of `pixels` each, or single pixels, into int64 [4, C, C]; all are (n,).

    Raises:
        LabelRangeError: a label that is neither a class nor void.
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
    """Raise LabelRangeError unless all labels are classes, or void in the target."""
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
    raise LabelRangeError(
        argument, dict(zip(found.tolist(), totals.tolist(), strict=True)), expected
    )
