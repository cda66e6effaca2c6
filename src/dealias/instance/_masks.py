"""Masks as run lengths, the form that COCO keeps them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from torch import Tensor

Rle = dict[str, Any]


class MaskError(ValueError):
    """A segmentation is broken."""


def read_segmentation(segmentation: Any, height: int, width: int) -> Rle:
    """Read a segmentation of an annotation file.

    Args:
        segmentation: polygons as lists [x0, y0, x1, y1, ...], whose union counts; or run lengths
            {"size": [height, width], "counts": ...}, compressed or not.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        Compressed run lengths.

    Raises:
        MaskError: neither; less than three points, coordinates that are no numbers or far outside
            the image; run lengths of another size, negative, or of another sum than height x width.

    What isn't well formed never gets to the decoder, which trusts its input.
    """
    if isinstance(segmentation, dict):
        return _from_run_lengths(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError(f"expected polygons or run lengths, got {_shown(segmentation)}")
    for polygon in segmentation:
        _check_polygon(polygon, height, width)
    rle: Rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return rle


def encode_masks(masks: Tensor) -> list[Rle]:
    """Run lengths of masks [N, H, W], zero outside."""
    flipped = (masks != 0).to("cpu", torch.uint8).mT.contiguous().numpy()  # (N, W, H)
    return [*coco_mask.encode(flipped.transpose(2, 1, 0))] if len(flipped) else []


def decode_masks(rles: Sequence[Rle], height: int, width: int) -> Tensor:
    """Masks uint8 [N, H, W] of run lengths, 0 or 1.

    Raises:
        ValueError: run lengths of another size.
    """
    for rle in rles:
        if tuple(rle["size"]) != (height, width):
            raise ValueError(f"masks: expected size [{height}, {width}], got {rle['size']}")
    if not rles:
        return torch.zeros(0, height, width, dtype=torch.uint8)
    masks: NDArray[np.uint8] = coco_mask.decode(list(rles))  # (H, W, N)
    return torch.from_numpy(np.ascontiguousarray(masks.transpose(2, 0, 1)))


def box_of_mask(rle: Rle) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a mask in pixels, right and bottom outside."""
    left, top, width, height = (float(value) for value in coco_mask.toBbox(rle))
    return left, top, left + width, top + height


def mask_in_box(rle: Rle) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """A mask within its box, and where that is: rows and columns."""
    left, top, right, bottom = map(int, box_of_mask(rle))
    place = slice(top, bottom), slice(left, right)
    inside: NDArray[np.bool_] = coco_mask.decode(rle)[place].astype(bool)
    return inside, place


def mask_area(rle: Rle) -> int:
    """Pixels of a mask."""
    return int(coco_mask.area(rle))


def _check_polygon(polygon: Any, height: int, width: int) -> None:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise MaskError(
            f"expected a polygon of three points or more as [x0, y0, x1, y1, ...], "
            f"got {_shown(polygon)}"
        )
    for index, value in enumerate(polygon):
        size = height if index % 2 else width
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # Slightly outside is common; the work of the decoder grows with the distance.
        if not number or not -size <= value <= 2 * size:
            raise MaskError(
                f"expected coordinates in or near the image of {width}x{height}, "
                f"got {_shown(value)}"
            )


def _from_run_lengths(rle: dict[str, Any], height: int, width: int) -> Rle:
    if rle.get("size") != [height, width]:
        raise MaskError(
            f"expected run lengths of size [{height}, {width}], got {_shown(rle.get('size'))}"
        )
    counts = rle.get("counts")
    compressed = isinstance(counts, str)
    runs = _decompress(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise MaskError(f"expected run lengths from 0 on, got {_shown(counts)}")
    if sum(runs) != height * width:
        raise MaskError(f"expected run lengths that add up to {height * width}, got {sum(runs)}")
    if compressed:
        return {"size": [height, width], "counts": str(counts).encode("ascii")}
    plain: Rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return plain


def _decompress(counts: str) -> list[int]:
    """Run lengths of COCO's text form.

    A number is spread over characters from "0" on, five bits each, the lowest first; 32 is set in
    all but the last, and 16 in the last of a negative one. From the fourth on, numbers are
    differences to the run two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise MaskError(f"expected run lengths as text, got the character {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if shift > 60:
            raise MaskError("expected run lengths of at most 60 bits")
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise MaskError("expected run lengths as text, got one that breaks off")
    return runs


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
