"""The units of a result to resample: the margins of its images, if they agree with its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dealias.evaluation import EARLIER, Unit, by_figure, margins_from_text
from dealias.files import defined
from dealias.metrics.functional import MarginTable, figures
from dealias.text import printable

Result = Mapping[str, Any]
Units = Mapping[str, Unit]
_SLACK = 1e-6  # tolerance for shares in files


def units_of(result: Result) -> dict[str, Unit]:
    """Return the unit to resample for each image of a result, by name.

    Raises:
        ValueError: the margins of an image contradict each other.
    """
    units = {}
    for row in result["per_image"]:
        text = row.get("margins")
        try:
            packed = None if text is None else margins_from_text(text, len(result["classes"]))
        except ValueError as error:
            raise ValueError(f"per_image: {printable(row['name'])}: {error}") from error
        units[row["name"]] = Unit(packed, row.get("group", ""), row.get("no_margins", EARLIER))
    return units


def check_margins_of(result: Result) -> None:
    """Raise ValueError if the margins of all images are known and do not give the figures."""
    units = units_of(result)
    if not units or any(unit.margins is None for unit in units.values()):
        return
    names = [row["name"] for row in result["classes"]]
    total = table_of(units.values(), len(names)).total()
    found = by_figure(defined(figures(total)), names)
    pairs = [(result["metrics"][key], value) for key, value in found["metrics"].items()]
    for mine, theirs in zip(result["classes"], found["classes"], strict=True):
        pairs += [(mine[key], value) for key, value in theirs.items() if key != "name"]
    for told, value in pairs:
        if (told is None) != (value is None) or abs((told or 0) - (value or 0)) > _SLACK:
            raise ValueError("per_image: expected margins that give the figures, got others")


def table_of(units: Iterable[Unit], num_classes: int) -> MarginTable:
    """Return the margins of images, which must be known for all of them."""
    return MarginTable.of([unit.margins or b"" for unit in units], num_classes)
