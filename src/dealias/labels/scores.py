"""Convert arrays of whole floating-point numbers, one-hot maps and scores to labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.labels.class_set import Role
from dealias.text import FileError

_LARGEST = 2.0**53  # up to which floats are exact


class ScoresError(FileError):
    """An array holds neither labels nor a one-hot map nor scores."""


def whole_numbers(path: Path, values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Convert labels stored as floating point to integers.

    Args:
        path: the file, for messages.
        values: floating point, of any shape.

    Raises:
        ScoresError: a value is not a whole number, is NaN, or is too large to be exact.
    """
    values = values.astype(np.float64, copy=False)
    wrong = ~((np.floor(values) == values) & (np.abs(values) <= _LARGEST))
    if wrong.any():
        raise ScoresError(
            path,
            f"expected whole numbers as labels, or scores [C, H, W] of all classes, got "
            f"{values[wrong][0]:g} ({int(wrong.sum()):,} px that are none)",
        )
    return values.astype(np.int64)


def labels_of_channels(path: Path, channels: NDArray[Any], role: Role) -> NDArray[np.int64]:
    """Return the class of each pixel of an array that has a channel for each class.

    A one-hot map has a 1 in the channel of the pixel's class and 0 elsewhere. Predictions may be
    floating-point scores instead: the class with the largest score counts, the first one if there
    are ties.

    Args:
        path: the file, for messages.
        channels: [C, H, W], C at least 2.
        role: as for :func:`read_label_map`.

    Returns:
        Classes [H, W].

    Raises:
        ScoresError: scores are NaN or all equal at a pixel; integers or targets are not one-hot; or
            `role` says that the predictions store other labels than classes.
    """
    if role == "stored":
        raise ScoresError(
            path, "expected labels, whose meaning --map-predictions looks up, got scores"
        )
    if channels.dtype.kind != "f" or role == "target":
        wrong = ((channels != 0) & (channels != 1)).any(0) | (channels.sum(0) != 1)
        what = "a single 1 a pixel, all else 0 (one-hot)"
        if role == "prediction":
            what += ", or floating-point scores"
    else:
        wrong = np.isnan(channels).any(0)
        wrong |= channels.max(0) == channels.min(0)
        what = "scores that are numbers and differ between classes"
    if wrong.any():
        raise ScoresError(path, f"expected {what}, got {int(wrong.sum()):,} px without")
    labels: NDArray[np.int64] = channels.argmax(0)
    return labels
