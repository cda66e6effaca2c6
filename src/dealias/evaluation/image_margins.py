"""Store the margins of each image: as text in a result, as arrays in a file of counts.

An image has a row of 13 integers for each class that occurs in it: the class, then its numbers of
correct, target and predicted pixels in each of the four regions of the table of counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dealias.metrics.functional import ERROR_KINDS, MARGIN_CELLS, MarginTable, margins

COLUMNS = 1 + MARGIN_CELLS
MARGINS_TEXT = re.compile(r"(\d{1,16}( \d{1,16}){12}(;(?!$)|$))*")
_MOST_PIXELS = 2**53  # up to here sums of floats are exact
_MOST_ROWS = 2**22  # in a file of counts, 104 bytes each
# Reasons why the margins of images are not known.
EARLIER = "an earlier version counted them"
ALL_OR_NONE = "a file of counts has them of all its images or of none"
TOO_MANY = f"a file of counts has at most {_MOST_ROWS:,} rows of them"


def margins_to_text(packed: bytes) -> str:
    """Write the rows that :func:`pack_margins` packed as text, with ``;`` between rows."""
    rows = np.frombuffer(packed, np.int64).reshape(-1, COLUMNS).tolist()
    return ";".join(" ".join(map(str, row)) for row in rows)


def margins_from_text(text: str, num_classes: int) -> bytes:
    """Read what :func:`margins_to_text` wrote.

    Raises:
        ValueError: the text has another form, or contradicts itself.
    """
    if not MARGINS_TEXT.fullmatch(text):
        raise ValueError("margins: expected rows of 13 integers")
    numbers = text.replace(";", " ").split()
    rows = np.array(numbers, np.int64).reshape(-1, COLUMNS)
    check_margins(rows, np.zeros(len(rows), np.int64), num_classes)
    return rows.tobytes()


def check_margins(rows: NDArray[np.int64], image: NDArray[np.int64], num_classes: int) -> None:
    """Raise ValueError unless these rows can be the margins of images.

    Args:
        rows: int64 `[M, 13]`, sorted by image.
        image: int64 `[M]`, the image of each row, ascending.
        num_classes: number of classes.
    """
    label, cells = rows[:, 0], rows[:, 1:].reshape(-1, 3, MARGIN_CELLS // 3)
    if len(rows) and not (label.min() >= 0 and label.max() < num_classes):
        raise ValueError(f"margins: expected classes from 0 to {num_classes - 1}")
    again = (np.diff(image) == 0) & (np.diff(label) <= 0)
    if again.any():
        raise ValueError("margins: expected ascending classes in each image")
    if (rows < 0).any() or rows[:, 1:].sum(dtype=np.float64) > _MOST_PIXELS:
        raise ValueError("margins: expected counts from 0 on, at most 2**53 in all")
    correct, target, preds = cells[:, 0], cells[:, 1], cells[:, 2]
    if (correct > target).any() or (correct > preds).any():
        raise ValueError("margins: expected no more correct pixels than target or predicted ones")


def margin_arrays(images: Sequence[bytes | None]) -> dict[str, NDArray[np.int64]]:
    """Return arrays for :func:`read_margins`; none if margins are missing or there are too many."""
    known = [packed for packed in images if packed is not None]
    sizes = _sizes(known)
    if len(known) < len(images) or sizes.sum() > _MOST_ROWS:
        return {}
    return {"image_margins": _rows(known), "image_margin_rows": sizes}


def why_left_out(unknown: Sequence[str], images: int) -> str:
    """Say why :func:`margin_arrays` returns no arrays.

    Args:
        unknown: the reason for each image whose margins are not known.
        images: number of images.
    """
    if not unknown:
        return TOO_MANY
    return unknown[0] if len(unknown) == images else ALL_OR_NONE


def read_margins(
    read: Callable[..., NDArray[np.int64]],
    images: int,
    confusion: NDArray[np.int64],
    errors: NDArray[np.int64],
) -> list[bytes]:
    """Read the arrays of :func:`margin_arrays`, and check that they add up.

    Args:
        read: reads the array with a given name and shape, which holds non-negative counts.
        images: number of images.
        confusion: int64 `[4, C, C]`, the table of counts of all images.
        errors: int64 `[N, 4]`, wrong pixels of each image by kind.

    Returns:
        The packed margins of each image.

    Raises:
        ValueError: the arrays contradict themselves, the table or the wrong pixels.
    """
    sizes = read("image_margin_rows", images)
    classes = confusion.shape[-1]
    if (sizes > classes).any() or sizes.sum() > _MOST_ROWS:
        raise ValueError(f"image_margin_rows: expected one a class, at most {_MOST_ROWS:,} in all")
    rows = read("image_margins", int(sizes.sum()), COLUMNS)
    check_margins(rows, np.repeat(np.arange(images), sizes), classes)
    ends = np.cumsum(sizes).tolist()
    packed = [rows[end - size : end].tobytes() for end, size in zip(ends, sizes, strict=True)]
    of_table = margins(torch.from_numpy(confusion))
    if not torch.equal(MarginTable.of(packed, classes).total(), of_table):
        raise ValueError("image_margins: expected those of the table of counts in all, got others")
    if not np.array_equal(_wrong_pixels(packed), errors):
        raise ValueError("image_margins: expected the wrong pixels of each image, got others")
    return packed


def _rows(images: Sequence[bytes]) -> NDArray[np.int64]:
    return np.frombuffer(b"".join(images), np.int64).reshape(-1, COLUMNS)


def _sizes(images: Sequence[bytes]) -> NDArray[np.int64]:
    return np.array([len(packed) // (8 * COLUMNS) for packed in images], np.int64)


def _wrong_pixels(images: Sequence[bytes]) -> NDArray[np.int64]:
    """Count the wrong pixels of each image by kind, int64 `[N, 4]`."""
    cells = _rows(images)[:, 1:].reshape(-1, 3, MARGIN_CELLS // 3)
    found = np.zeros((len(images), cells.shape[2]), np.int64)
    image = np.repeat(np.arange(len(images)), _sizes(images))
    np.add.at(found, image, cells[:, 1] - cells[:, 0])  # by region: target minus correct pixels
    return found[:, [kind.region for kind in ERROR_KINDS]]
