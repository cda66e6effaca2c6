"""Confidence intervals of the six figures, from the margins of each image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dealias.evaluation.image_margins import EARLIER
from dealias.metrics.functional import (
    FEWEST_UNITS,
    FIGURES,
    LEVEL,
    MEANS,
    RESAMPLES,
    MarginTable,
    count_better,
    difference_interval,
    figures,
    p_values,
    share_interval,
    standard_errors,
)

SEED = 0
_LISTED = 3


class Unit(NamedTuple):
    """The part of a result that is resampled for one image.

    Attributes:
        margins: margins of the image, as :func:`pack_margins` packs them; None if they are not
            known.
        group: the group that is resampled as a whole; empty if the image is resampled by itself.
        no_margins: why the margins are not known, if they are not.
    """

    margins: bytes | None
    group: str = ""
    no_margins: str = EARLIER


class Intervals(NamedTuple):
    """Confidence intervals of figures, float64 `[6, C + 1]` each, the mean over classes last.

    Attributes:
        low: lower limits; NaN where there is no interval.
        high: upper limits.
        unit: what was resampled, "image" or "group".
        units: their number.
        missing: why no figure has an interval; None if figures can have one.
    """

    low: Tensor
    high: Tensor
    unit: str
    units: int
    missing: str | None = None

    def about(self) -> dict[str, Any]:
        """Describe for results how the intervals were estimated, or why there are none."""
        settings = {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED}
        return settings | {"unit": self.unit, "units": self.units, "missing": self.missing}


class Differences(NamedTuple):
    """Results of a paired bootstrap of the differences, second minus first, `[6, C + 1]` each.

    Attributes:
        intervals: confidence intervals of the differences.
        p: two-sided p-values of the hypothesis that there is no difference; NaN where undefined.
        better: int64, the number of images whose figure is better in the second; None if not known.
        worse: int64, the number of images whose figure is worse; None if not known.
    """

    intervals: Intervals
    p: Tensor
    better: Tensor | None = None
    worse: Tensor | None = None


def by_figure(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> dict[str, Any]:
    """Make the entries of a result from rows of six figures by class, the mean last."""
    figures_of = dict(zip(FIGURES, rows, strict=True))
    return {
        "metrics": {MEANS.get(figure, figure): row[-1] for figure, row in figures_of.items()},
        "classes": [
            {"name": name} | {figure: row[k] for figure, row in figures_of.items()}
            for k, name in enumerate(names)
        ],
    }


@lru_cache(maxsize=2)  # the file, the page and the terminal use the same result
def find_intervals(images: tuple[Unit, ...], num_classes: int) -> Intervals:
    """Estimate the intervals of the figures of images; see :func:`share_interval`.

    A figure gets no interval if fewer than `FEWEST_UNITS` images (or groups) have it, for instance
    that of a class that occurs in only three of them. A class that occurs in no image of a resample
    is undefined there, and is left out of the means of that resample.
    """
    tables, missing = _image_tables([images], num_classes)
    tables, unit, missing = _unit_tables(tables, images, missing)
    if missing is not None:
        return _none(num_classes, unit, tables, missing)
    [table] = tables
    error = _supported(standard_errors([table], figures, seed=SEED), tables)
    low, high = share_interval(figures(table.total()), error, table.units)
    return Intervals(low, high, unit, table.units)


def find_differences(
    first: Sequence[Unit], second: Sequence[Unit], num_classes: int
) -> Differences:
    """Estimate the differences between the figures of two predictions of the same images.

    The images of both predictions are resampled together, in the groups of the first.
    """
    tables, missing = _image_tables([first, second], num_classes)
    counted = count_better(*tables) if tables else (None, None)
    tables, unit, missing = _unit_tables(tables, first, missing)
    if missing is not None:
        none = _none(num_classes, unit, tables, missing)
        return Differences(none, none.low, *counted)
    units = tables[0].units
    error = _supported(standard_errors(tables, _differ, seed=SEED), tables)
    value = _differ(*(table.total() for table in tables))
    low, high = difference_interval(value, error, units)
    p = p_values(value, error, units)
    return Differences(Intervals(low, high, unit, units), p, *counted)


def _differ(first: Tensor, second: Tensor) -> Tensor:
    return figures(second) - figures(first)


def _image_tables(
    sides: Sequence[Sequence[Unit]], num_classes: int
) -> tuple[list[MarginTable], str | None]:
    """Return the margins of the images of each side; or none, and the reason."""
    unknown = {k for side in sides for k, image in enumerate(side) if image.margins is None}
    if unknown:
        reasons = {image.no_margins for side in sides for image in side if image.margins is None}
        listed = "; ".join(sorted(reasons)[:_LISTED])
        number = f"{len(unknown):,} of {len(sides[0]):,}"
        return [], f"the margins of {number} images are not known: {listed}"
    packed = [[image.margins or b"" for image in side] for side in sides]
    return [MarginTable.of(images, num_classes) for images in packed], None


def _unit_tables(
    tables: list[MarginTable], images: Sequence[Unit], missing: str | None
) -> tuple[list[MarginTable], str, str | None]:
    """Return the margins of the units to resample, what these are, and why there are none."""
    groups = [image.group for image in images]
    unit = "group" if any(groups) else "image"
    if missing is not None:
        return tables, unit, missing
    if unit == "group":
        if not all(groups):
            return [], unit, f"{groups.count(''):,} of {len(groups):,} images have no group"
        tables = [table.grouped(groups) for table in tables]
    units = tables[0].units
    if units < FEWEST_UNITS:
        missing = f"expected at least {FEWEST_UNITS} {unit}s, got {units}"
    return tables, unit, missing


def _supported(error: Tensor, tables: Sequence[MarginTable]) -> Tensor:
    """Return the standard errors of figures that enough units have; NaN for others."""
    enough = torch.stack([table.support() for table in tables]).amin(0) >= FEWEST_UNITS
    return torch.where(enough, error, torch.nan)


def _none(num_classes: int, unit: str, tables: Sequence[MarginTable], missing: str) -> Intervals:
    nothing = figures(torch.zeros(3, 4, num_classes))
    return Intervals(nothing, nothing, unit, tables[0].units if tables else 0, missing)
