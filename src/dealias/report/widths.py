"""The section of a page on figures as functions of the band width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dealias.evaluation import ERROR_COLORS
from dealias.report.rendering import css

PANELS = (("IoU and recall", ("mIoU", "BIoU", "BAcc")), ("Error rates", ("FErr", "MErr", "DErr")))
# Colour-blind people can distinguish grey, blue and green (Okabe and Ito, 2008).
CURVE_COLORS = {"mIoU": "#8a93a0", "BIoU": "#0072b2", "BAcc": "#009e73"} | {
    name: css(ERROR_COLORS[kind])
    for name, kind in (
        ("FErr", "false_response"),
        ("MErr", "merging_mistake"),
        ("DErr", "displacement"),
    )
}
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 292.0, 12.0, 148.0  # frame of a panel
_STEP = 0.05  # the ends of an axis are multiples of it


def width_labels(found: Mapping[str, Any]) -> list[str]:
    """Return the widths of a result, with their unit."""
    if found["unit"] == "diagonal":
        return [f"{100 * width:.3g} %" for width in found["widths"]]
    return [f"{width:g} px" for width in found["widths"]]


def width_section(
    found: Mapping[str, Any], sides: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Lay out curves against the logarithm of the width, in drawings 300 wide and 170 high.

    Args:
        found: ``widths`` of a result or of a comparison: its ``unit`` and ``widths``.
        sides: metrics of one or two results; by default those of `found`.

    Returns:
        ``panels`` with ``curves``, a path for each side, and the ``ticks`` of the axis; the
        ``places`` of the widths; ``rows`` of the figures at each width; and ``covered``, the
        classes that are almost entirely in bands, and from which width on, if `found` has them.
    """
    sides = [found["metrics"]] if sides is None else sides
    labels = width_labels(found)
    places = [_across(width, found["widths"]) for width in found["widths"]]
    panels = []
    for title, names in PANELS:
        values = [v for side in sides for name in names for v in side[name] if v is not None]
        low = _STEP * math.floor(min(values, default=0) / _STEP)
        high = max(_STEP * math.ceil(max(values, default=1) / _STEP), low + _STEP)
        panels.append(
            {
                "title": title,
                "curves": [
                    {
                        "name": name,
                        "color": CURVE_COLORS[name],
                        "paths": [_path(places, side[name], low, high) for side in sides],
                    }
                    for name in names
                ],
                "ticks": [
                    {"place": round(_down(low + part * (high - low), low, high), 1)}
                    | {"label": f"{100 * (low + part * (high - low)):.3g}"}
                    for part in (0, 0.5, 1)
                ],
            }
        )
    return {
        "panels": panels,
        "places": [
            {"place": round(place, 1), "label": label.split()[0]}
            for place, label in zip(places, labels, strict=True)
        ],
        "unit": "% of the diagonal" if found["unit"] == "diagonal" else "pixels",
        "names": list(CURVE_COLORS),
        "rows": [
            {"label": label, "sides": [{name: side[name][at] for name in side} for side in sides]}
            for at, label in enumerate(labels)
        ],
        "covered": [
            {"name": row["name"], "from": labels[found["widths"].index(row["covered_from"])]}
            for row in found.get("classes", ())
            if row["covered_from"] in found["widths"]
        ],
    }


def _across(width: float, widths: Sequence[float]) -> float:
    low, high = math.log(widths[0]), math.log(widths[-1])
    part = (math.log(width) - low) / (high - low) if high > low else 0.5
    return _LEFT + 8 + (_RIGHT - _LEFT - 16) * part


def _down(value: float, low: float, high: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low)


def _path(places: Sequence[float], values: Sequence[float | None], low: float, high: float) -> str:
    points = [
        f"{place:.1f} {_down(value, low, high):.1f}"
        for place, value in zip(places, values, strict=True)
        if value is not None
    ]
    return f"M{'L'.join(points)}h.01" if points else ""
