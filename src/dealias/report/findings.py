"""Summarise a result in one line, for the heading of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dealias.metrics.functional import BOUNDARY_KINDS

_DONE = {
    "false_response": "by boundaries that are not there",
    "merging_mistake": "by boundaries that are missed",
    "displacement": "by boundaries that are displaced",
}
_LEAST = 0.05  # smallest number of points that is mentioned


def find_heading(result: Mapping[str, Any]) -> str:
    """Say what costs the most mIoU, from the gains if errors were corrected.

    Args:
        result: from :meth:`dealias.evaluation.Evaluation.to_dict`.

    >>> gains = {"false_response": 0.02, "merging_mistake": 0.04, "displacement": 0.19}
    >>> result = {"metrics": {"mIoU": 0.7}, "boundary_gain": 0.273}
    >>> find_heading(result | {"mIoU_gain": gains | {"interior": 0.005}})
    'Boundaries cost 27.3 points of mIoU, most of it by boundaries that are displaced'
    """
    if result["metrics"]["mIoU"] is None:
        return "There is no class to judge"
    gains = {key: 100 * (gain or 0) for key, gain in result["mIoU_gain"].items()}
    boundary, interior = 100 * (result["boundary_gain"] or 0), gains["interior"]
    if max(boundary, interior) < _LEAST:
        return "Next to no pixel is wrong" if any(gains.values()) else "No pixel is wrong"
    if boundary < interior:
        near = f", boundaries {_points(boundary)}" if boundary >= _LEAST else ""
        return f"Errors far from boundaries cost {_points(interior)} points of mIoU{near}"
    alone = {kind.key: gains[kind.key] for kind in BOUNDARY_KINDS}
    first = max(alone, key=lambda key: alone[key])
    part = "most of it" if 2 * alone[first] > sum(alone.values()) else "the largest part"
    return f"Boundaries cost {_points(boundary)} points of mIoU, {part} {_DONE[first]}"


def compare_heading(comparison: Mapping[str, Any]) -> str:
    """Say whether the mIoU of B is better than that of A.

    Args:
        comparison: from :func:`compare_results`.

    >>> pair = {"a": 0.7, "b": 0.71, "difference": 0.01, "told": True}
    >>> compare_heading({"names": ["old", "new"], "metrics": {"mIoU": pair}})
    'B, new, has 1.00 points of mIoU more than A, old'
    """
    first, second = comparison["names"]
    pair = comparison["metrics"]["mIoU"]
    change = pair["difference"]
    if change is None:
        return "There is no class to judge"
    if change == 0:
        return f"A, {first}, and B, {second}, have the same mIoU"
    way = "more" if change > 0 else "less"
    found = f"B, {second}, has {abs(100 * change):.2f} points of mIoU {way} than A, {first}"
    return f"{found}: that can't be told from zero" if pair["told"] is False else found


def _points(value: float) -> str:
    return f"{value:.1f}"
