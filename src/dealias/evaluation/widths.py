"""The figures as functions of the width of the boundary bands, as values of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dealias.files import defined
from dealias.metrics.functional import (
    FIGURES,
    MEAN_FIGURES,
    BandWidths,
    HardPixelCounts,
    class_scores,
    margins,
    share_in_bands,
)

COVERED = 0.99  # share of a class in bands from which on its BIoU tells no more than its IoU
WIDTH_METRICS = dict(zip(MEAN_FIGURES, FIGURES, strict=True))


def width_sums(counts: Sequence[HardPixelCounts]) -> Tensor:
    """Return the sums that the figures at each width need, int64 [W, 3, 4, C], to add over images.

    Args:
        counts: counts at each of the W widths.
    """
    return torch.stack([margins(one.confusion) for one in counts])


def no_widths(text: str, classes: int) -> Tensor:
    """Return the sums of no images for the widths of settings, int64 [W, 3, 4, C]."""
    widths = len(BandWidths.parse(text).values) if text else 0
    return torch.zeros(widths, 3, 4, classes, dtype=torch.int64)


def check_widths(sums: Tensor, table: Tensor) -> None:
    """Raise ValueError unless the sums of each width count the pixels of a table [4, C, C]."""
    if (sums.sum(2) != margins(table).sum(1)).any():
        raise ValueError("widths: expected the pixels of the table of counts, got others")
    if (sums[:, 0] > sums[:, 1:].amin(1)).any():
        raise ValueError("widths: expected no more right pixels than pixels, got more")


def widths_result(sums: Tensor, widths: BandWidths, names: Sequence[str]) -> dict[str, Any]:
    """Return the six figures at each width, as means and by class, for JSON.

    Args:
        sums: from :func:`width_sums`.
        widths: the W widths.
        names: names of the C classes.

    Returns:
        ``unit``, "pixels" or "diagonal"; ``widths``; ``metrics``, a list of W values for each
        figure; and ``classes``, which also have ``in_bands``, see :func:`share_in_bands`, and
        ``covered_from``, the narrowest width at which that share is `COVERED` or more. Undefined
        values are None.
    """
    figures = class_scores(sums)
    shares = share_in_bands(sums)
    first = [
        next(
            (
                width
                for width, share in zip(widths.values, of_class, strict=True)
                if share >= COVERED
            ),
            None,
        )
        for of_class in shares.T.tolist()
    ]
    return {
        "unit": "diagonal" if widths.of_diagonal else "pixels",
        "widths": list(widths.values),
        "metrics": {
            mean: defined(figures[name].nanmean(-1)) for mean, name in WIDTH_METRICS.items()
        },
        "classes": [
            {"name": name, "covered_from": first[index], "in_bands": defined(shares[:, index])}
            | {key: defined(figures[key][:, index]) for key in WIDTH_METRICS.values()}
            for index, name in enumerate(names)
        ],
    }


def covered_by_bands(table: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the classes of which bands hold a share of `COVERED` or more, with that share.

    Args:
        table: table of counts, int64 [4, C, C].
        names: names of the C classes.
    """
    shares = share_in_bands(margins(table)).tolist()
    return {name: share for name, share in zip(names, shares, strict=True) if share >= COVERED}
