"""The confusion matrix of a page, which shows which class is predicted as which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.labels import ClassSet
from dealias.report.drawing import Drawn

MOST_SHOWN = 24  # classes
MOST_LINKED = 400  # pairs of classes with links to images: those with the most pixels


def wrong_pixels(drawn: Sequence[Drawn], classes: int) -> NDArray[np.int64]:
    """Count the wrong pixels of images by target and predicted class, int64 `[C, C]`."""
    table = np.zeros((classes, classes), np.int64)
    for row in drawn:
        if row.by_pair is not None:
            pairs = row.by_pair.astype(np.int64)
            np.add.at(table, (pairs[:, 0], pairs[:, 1]), pairs[:, 2:].sum(1))
    return table


def largest_pairs(wrong: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the pairs of classes with the most wrong pixels, at most `MOST_LINKED`."""
    cells = np.argsort(-wrong, axis=None, kind="stable")[:MOST_LINKED]
    pairs = zip(*np.unravel_index(cells, wrong.shape), strict=True)
    return [(int(t), int(p)) for t, p in pairs if wrong[t, p]]


def confusion_section(
    wrong: NDArray[np.int64],
    result: Mapping[str, Any],
    classes: ClassSet,
    linked: Sequence[tuple[int, int]],
) -> dict[str, Any] | None:
    """Return values for the template; None if no class has a pixel.

    Args:
        wrong: from :func:`wrong_pixels`.
        result: result with the pixels of each class in the target.
        classes: what the labels mean.
        linked: the pairs with links to images.

    Returns:
        ``columns`` and ``rows`` for the classes that occur, or for those with the most wrong pixels
        if there are more than `MOST_SHOWN`; and ``left_out``, the number of other classes. A row
        has its class, its ``pixels``, and a cell for each column: the ``share`` of the pixels of
        the target class that are predicted as the class of the column (None if there are no
        pixels), how ``deep`` the cell is coloured, from 0 to 8, and whether it is ``right`` or
        ``linked``. ``others`` is the share predicted as classes that are left out.
    """
    pixels = np.array([row["pixels"] for row in result["classes"]], np.int64)
    matrix = wrong + np.diag(pixels - wrong.sum(1))
    present = np.flatnonzero(matrix.any(0) | matrix.any(1))
    if not len(present):
        return None
    trouble = wrong.sum(0) + wrong.sum(1)
    shown = present[np.argsort(-trouble[present], kind="stable")][:MOST_SHOWN]
    shown.sort()
    colors, reachable = classes.colors().tolist(), {*linked}
    heads = [{"name": classes.names[k], "color": colors[k]} for k in shown.tolist()]
    rows = []
    for head, t in zip(heads, shown.tolist(), strict=True):
        shares = [matrix[t, p] / pixels[t] if pixels[t] else None for p in shown.tolist()]
        cells = [
            {
                "share": share,
                "deep": 0 if t == p else _depth(share),
                "right": t == p,
                "linked": (t, p) in reachable,
                "name": classes.names[p],
            }
            for share, p in zip(shares, shown.tolist(), strict=True)
        ]
        others = (pixels[t] - matrix[t, shown].sum()) / pixels[t] if pixels[t] else None
        rows.append(head | {"pixels": int(pixels[t]), "cells": cells, "others": others})
    return {"columns": heads, "rows": rows, "left_out": len(present) - len(shown)}


def _depth(share: float | None) -> int:
    """Return how deep a share is coloured, on a root scale because most shares are small."""
    return 0 if share is None else round(8 * min(2 * share, 1) ** 0.5)
