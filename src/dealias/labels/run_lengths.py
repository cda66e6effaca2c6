"""Read COCO's run lengths, plain and compressed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dealias.text import shorten


class RunLengthError(ValueError):
    """Run lengths are malformed."""


def read_run_lengths(rle: Mapping[str, Any], height: int, width: int) -> list[int]:
    """Read the run lengths of a mask, column by column, starting with a run outside.

    Args:
        rle: {"size": [height, width], "counts": ...}, with plain counts or compressed text or
            bytes.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Raises:
        RunLengthError: the run lengths have another size, are negative or do not add up to height x
            width.

    >>> read_run_lengths({"size": [2, 3], "counts": "132"}, 2, 3)
    [1, 3, 2]
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, (list, tuple, np.ndarray)) or list(size) != [height, width]:
        raise RunLengthError(
            f"expected run lengths of size [{height}, {width}], got {shorten(rle.get('size'))}"
        )
    text = counts.decode("latin-1") if isinstance(counts, bytes) else counts
    if isinstance(text, str):
        runs: Any = _decompress(text)
    else:
        runs = counts.tolist() if isinstance(counts, np.ndarray) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise RunLengthError(f"expected run lengths from 0 on, got {shorten(counts)}")
    if sum(runs) != height * width:
        raise RunLengthError(
            f"expected run lengths that add up to {height * width}, got {sum(runs)}"
        )
    return runs


def _decompress(counts: str) -> list[int]:
    """Decode COCO's compressed run lengths.

    A number is stored in characters from "0" on, five bits each, lowest bits first. The bit of
    value 32 is set in all characters but the last, and the bit of value 16 in the last one of a
    negative number. From the fourth on, numbers are differences to the run two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise RunLengthError(f"expected run lengths as text, got the character {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if shift > 60:
            raise RunLengthError("expected run lengths of at most 60 bits")
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise RunLengthError("expected run lengths as text, got one that breaks off")
    return runs
