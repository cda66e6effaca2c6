"""Compare two results image by image: which images they share, and whether figures differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.evaluation import (
    Differences,
    Groups,
    by_figure,
    find_differences,
)
from dealias.files import defined
from dealias.metrics.functional import MarginTable, figures, margin_gains
from dealias.report.result_files import ResultFileError
from dealias.report.units import Result, Units, table_of
from dealias.text import printable

_SETTINGS = ("ignore_index", "protocol", "band_width")


def check_targets(a: Units, b: Units, num_classes: int, names: Sequence[str]) -> None:
    """Raise ResultFileError if images are known to have different target pixels in two results.

    Args:
        a: images of the first result.
        b: the same images of the second result.
        num_classes: number of classes.
        names: names of both results, for messages.
    """
    known = [k for k in a if a[k].margins is not None and b[k].margins is not None]
    mine, theirs = (_targets(table_of([units[k] for k in known], num_classes)) for units in (a, b))
    if not np.array_equal(mine, theirs):
        other = min({tuple(row) for row in mine.tolist()} ^ {tuple(row) for row in theirs.tolist()})
        raise ResultFileError(other_targets(known[other[0]], names))


def other_targets(image: str, names: Sequence[str]) -> str:
    """Return the message that an image has another target in the second result."""
    first, second = map(printable, names)
    return (
        f"expected the same targets in both, got others of {printable(image)!r} in {second} "
        f"than in {first}"
    )


def _targets(table: MarginTable) -> NDArray[np.int64]:
    """Return rows of unit, class, and target pixels outside and inside the target's bands."""
    target = table.counts[:, 4:8].reshape(-1, 2, 2).sum(2)
    rows = np.column_stack([table.unit, table.label, target])
    return np.asarray(rows[target.any(1)])


def restrict(result: Result, units: Units) -> dict[str, Any]:
    """Restrict a result to some of its images, dropping what is known only for all images.

    Args:
        result: from :func:`read_result`.
        units: the images to keep, with their margins.
    """
    names = [row["name"] for row in result["classes"]]
    total = table_of(units.values(), len(names)).total()
    found = by_figure(defined(figures(total)), names)
    gains = {key: (float(mean), defined(each)) for key, (mean, each) in margin_gains(total).items()}
    pixels = total[1].sum(0).tolist()
    kept = [row for row in result["per_image"] if row["name"] in units]
    settings = ("class_set", *_SETTINGS, "dark", "noise")
    return {key: result[key] for key in settings if key in result} | {
        "images": len(kept),
        "per_image": kept,
        "metrics": found["metrics"],
        "classes": [
            row | {"pixels": pixels[k], "IoU_gain": {key: gains[key][1][k] for key in gains}}
            for k, row in enumerate(found["classes"])
        ],
        "mIoU_gain": {key: defined(mean) for key, (mean, _) in gains.items()},
    }


def paired_differences(
    a: Units, b: Units, classes: Sequence[str], names: Sequence[str], groups: Groups | None
) -> dict[str, Any]:
    """Estimate the differences, B minus A, by a paired bootstrap.

    Args:
        a: images of the first result.
        b: the same images of the second result.
        classes: names of the classes.
        names: names of both results, for messages.
        groups: groups of images that are resampled as a whole; by default those of the results.

    Returns:
        ``about``, how the intervals were estimated; and ``metrics`` and ``classes`` with the
        ``interval`` of each difference, its ``p``, whether it is ``told`` from zero, and the number
        of images that are ``better`` and ``worse`` in B. These are None where they can't be
        estimated, for instance for a class that fewer than `FEWEST_UNITS` images have.

    Raises:
        ResultFileError: the groups of the results differ.
        GroupError: an image has no group.
    """
    order = sorted(a)
    grouped = _groups(a, b, order, names, groups)
    first = [a[k]._replace(group=group) for k, group in zip(order, grouped, strict=True)]
    found = find_differences(first, [b[k] for k in order], len(classes))
    return {"about": found.intervals.about()} | by_figure(_entries(found), classes)


def _groups(
    a: Units, b: Units, order: Sequence[str], names: Sequence[str], groups: Groups | None
) -> list[str]:
    if groups is not None:
        groups.check(order)
        return [groups.of(name) for name in order]
    first, second = ([units[name].group for name in order] for units in (a, b))
    if any(first) and any(second) and first != second:
        raise ResultFileError(
            f"expected the same groups in both, got others in {printable(names[1])} than in "
            f"{printable(names[0])}; --groups says which"
        )
    return first if any(first) else second


def _entries(found: Differences) -> list[list[dict[str, Any]]]:
    """Return an entry for each figure and class, in rows of figures."""
    about = found.intervals.about()
    columns = (found.intervals.low, found.intervals.high, found.p)
    low, high, p = ([defined(row) for row in column] for column in columns)
    better, worse = (
        None if side is None else side.tolist() for side in (found.better, found.worse)
    )

    def entry(i: int, k: int) -> dict[str, Any]:
        differ = [None if side is None else side[i][k] for side in (better, worse)]
        return {
            "interval": None if low[i][k] is None else [low[i][k], high[i][k]],
            "p": p[i][k],
            "told": False
            if differ == [0, 0] and not about["missing"]
            else _is_told(p[i][k], about["level"]),
            "better": differ[0],
            "worse": differ[1],
        }

    return [[entry(i, k) for k in range(len(low[i]))] for i in range(len(low))]


def _is_told(p: float | None, level: float) -> bool | None:
    return None if p is None else p < 1 - level
