"""Masks as run-length encodings, COCO's format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from torch import Tensor

from dealias.labels import RunLengthError, read_run_lengths
from dealias.text import shorten

_LONGEST_OUTLINE = 2**22  # pixels
Rle = dict[str, Any]


class MaskError(ValueError):
    """A segmentation is malformed."""


def read_segmentation(
    segmentation: Any, height: int, width: int, *, dropped: list[str] | None = None
) -> Rle:
    """Read a segmentation from an annotation file or from memory.

    The input is fully checked here, because the decoder trusts it.

    Args:
        segmentation: polygons as lists [x0, y0, x1, y1, ...], of which the union is taken; run
            lengths {"size": [height, width], "counts": ...}, plain or compressed to text or bytes;
            or a mask, an array or tensor of bool or integers `[H, W]`, zero outside.
        height: height of the image in pixels.
        width: width of the image in pixels.
        dropped: list to which descriptions of polygons that are left out are added. A polygon is
            left out if it has fewer than three points, an odd number of coordinates or a coordinate
            that is not finite, as long as another polygon is valid. If None, such polygons are
            errors.

    Returns:
        Compressed run lengths.

    Raises:
        MaskError: the segmentation has none of these forms; no polygon is valid; coordinates are
            not numbers or are far outside the image, or an outline is too long to draw; run lengths
            have another size, are negative or do not add up to height x width; or a mask has
            another size.
    """
    if isinstance(segmentation, (np.ndarray, Tensor)):
        return _from_mask(torch.as_tensor(segmentation), height, width)
    if isinstance(segmentation, Mapping):
        return _from_run_lengths(segmentation, height, width)
    if not isinstance(segmentation, (list, tuple)) or not segmentation:
        raise MaskError(f"expected polygons or run lengths, got {shorten(segmentation)}")
    whole, broken = [], []
    for entry in segmentation:
        polygon = entry.tolist() if isinstance(entry, np.ndarray) else entry
        problem = _problem(polygon, height, width)
        if problem is None:
            whole.append(list(polygon))
        elif dropped is None:
            raise MaskError(problem)
        else:
            broken.append(problem)
    if dropped is not None:
        if not whole:
            raise MaskError(broken[0])
        dropped += broken
    rle: Rle = coco_mask.merge(coco_mask.frPyObjects(whole, height, width))
    return rle


def encode_masks(masks: Tensor) -> list[Rle]:
    """Encode masks `[N, H, W]`, zero outside, as run lengths."""
    flipped = (masks != 0).to("cpu", torch.uint8).mT.contiguous().numpy()  # [N, W, H]
    return [*coco_mask.encode(flipped.transpose(2, 1, 0))] if len(flipped) else []


def decode_masks(rles: Sequence[Rle], height: int, width: int) -> Tensor:
    """Decode run lengths to masks, uint8 `[N, H, W]`, 0 or 1.

    Raises:
        ValueError: the run lengths have another size.
    """
    for rle in rles:
        if tuple(rle["size"]) != (height, width):
            raise ValueError(f"masks: expected size [{height}, {width}], got {rle['size']}")
    if not rles:
        return torch.zeros(0, height, width, dtype=torch.uint8)
    masks: NDArray[np.uint8] = coco_mask.decode(list(rles))  # [H, W, N]
    return torch.from_numpy(np.ascontiguousarray(masks.transpose(2, 0, 1)))


def box_of_mask(rle: Rle) -> tuple[float, float, float, float]:
    """Return a mask's (left, top, right, bottom) in pixels; right and bottom are exclusive."""
    left, top, width, height = (float(value) for value in coco_mask.toBbox(rle))
    return left, top, left + width, top + height


def mask_in_box(rle: Rle) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return the part of a mask inside its box, and the rows and columns of the box."""
    left, top, right, bottom = map(int, box_of_mask(rle))
    place = slice(top, bottom), slice(left, right)
    inside: NDArray[np.bool_] = coco_mask.decode(rle)[place].astype(bool)
    return inside, place


def mask_area(rle: Rle) -> int:
    """Count the pixels of a mask."""
    return int(coco_mask.area(rle))


def _problem(polygon: Any, height: int, width: int) -> str | None:
    """Describe why a polygon is left out; None if it is valid.

    Raises:
        MaskError: the polygon is malformed but may cover pixels, so it can't be left out.
    """
    points = (
        f"expected a polygon of three points or more as [x0, y0, x1, y1, ...], "
        f"got {shorten(polygon)}"
    )
    if not isinstance(polygon, (list, tuple)):
        raise MaskError(points)
    finite = True
    for index, value in enumerate(polygon):
        size = height if index % 2 else width
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if type(value) is float and not math.isfinite(value):
            finite = False
        # Points slightly outside are common, but the decoder's work grows with the distance.
        elif not number or not -size <= value <= 2 * size:
            raise MaskError(_far(value, height, width))
    if len(polygon) < 6 or len(polygon) % 2:
        return points
    if finite and _length(polygon) > _LONGEST_OUTLINE:
        raise MaskError(f"expected an outline of at most {_LONGEST_OUTLINE:,} pixels, got a longer")
    return None if finite else _far(next(v for v in polygon if not math.isfinite(v)), height, width)


def _length(polygon: Sequence[float]) -> float:
    """Return a measure of the outline's length, with which the decoder's memory grows."""
    points = np.array(polygon, np.float64).reshape(-1, 2)
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(1)
    return float(steps.sum()) + len(points)


def _far(value: Any, height: int, width: int) -> str:
    return f"expected coordinates in or near the image of {width}x{height}, got {shorten(value)}"


def _from_mask(mask: Tensor, height: int, width: int) -> Rle:
    if mask.shape != (height, width) or mask.is_floating_point() or mask.is_complex():
        raise MaskError(
            f"expected a mask of bool or integers of shape [{height}, {width}], "
            f"got {mask.dtype} {list(mask.shape)}"
        )
    return encode_masks(mask[None])[0]


def _from_run_lengths(rle: Mapping[str, Any], height: int, width: int) -> Rle:
    try:
        runs = read_run_lengths(rle, height, width)
    except RunLengthError as error:
        raise MaskError(str(error)) from error
    counts = rle["counts"]
    if isinstance(counts, (str, bytes)):
        text = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
        return {"size": [height, width], "counts": text}
    plain: Rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return plain
