"""Write the page of an instance segmentation test, without the files of its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dealias.evaluation.instances import INSTANCE_COLORS
from dealias.labels import spread_colors
from dealias.metrics.instances import BOX_ERRORS, FOUND, INSTANCE_ERRORS, SCORES
from dealias.report.drawing import Drawn
from dealias.report.folder import PageFolder
from dealias.report.page import (
    PHOTOGRAPH,
    error_sorts,
    heat_layer,
    script_row,
    sections,
    write_page,
)

_NOTES = {
    "AP": "The mean over the IoU thresholds 0.5, 0.55, … 0.95.",
    "AP50": "At an IoU of 0.5.",
    "AP75": "At an IoU of 0.75.",
    "APs": "For instances of less than 32x32 pixels.",
    "APm": "For instances of 32x32 to 96x96 pixels.",
    "APl": "For instances of 96x96 pixels or more.",
}
# Short titles for the headings of narrow columns.
_SHORT = {
    "missed": "Missed",
    "localisation": "Outline",
    "classification": "Class",
    "both": "Both",
    "duplicate": "Twice",
    "background": "Nothing",
}


def finish_page(
    folder: PageFolder,
    result: Mapping[str, Any],
    drawn: Sequence[Drawn],
    **more: Any,
) -> None:
    """Write the page itself, after its images have been drawn.

    Args:
        folder: folder of the page.
        result: from :meth:`dealias.instance.InstanceEvaluation.to_dict`;
            ``errors_against_aliasing`` adds a section.
        drawn: rows of the images, which count `INSTANCE_ERRORS` and found instances.
        more: title and probe; see :func:`write_page`.
    """
    colors = spread_colors(len(result["classes"])).tolist()
    classes = [row | {"color": c} for row, c in zip(result["classes"], colors, strict=True)]
    threshold = math.floor(1e5 * result["errors"]["threshold"]) / 1e5  # scores are rounded
    data = {
        "classes": [{"name": row["name"], "color": row["color"]} for row in classes],
        "kinds": _kinds(result),
        "layers": _layers(),
        "threshold": threshold,
        "rows": [script_row(row, []) for row in drawn],
    }
    context = _context(result, classes)
    write_page(folder, "instances.html", data, context, **more)


def _errors(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the kinds of error, with titles for masks or for boxes."""
    return BOX_ERRORS if result["errors"]["overlap"] == "box" else INSTANCE_ERRORS


def _kinds(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the kinds of error for the scripts, with right detections last."""
    named = [{"key": kind.key, "title": kind.title} for kind in _errors(result)]
    named.append({"key": FOUND, "title": "Found"})
    return [entry | {"color": INSTANCE_COLORS[entry["key"]]} for entry in named]


def _layers() -> list[dict[str, Any]]:
    """Return the layers of the viewer, bottom first."""
    original = {"key": "original", "title": "Original image", "folder": "originals"}
    outlines = {"opacity": 1, "ground": 0.3}
    return [
        PHOTOGRAPH | {"title": "Image"},
        PHOTOGRAPH | original,
        {"key": "target", "title": "Target", "type": "targets", **outlines},
        {"key": "prediction", "title": "Detections", "type": "detections", **outlines},
        heat_layer("aliasing", "Aliasing"),
        {"key": "errors", "title": "Errors", "type": "matches", **outlines},
    ]


def _context(result: Mapping[str, Any], classes: Sequence[Any]) -> dict[str, Any]:
    errors = result["errors"]
    boxes = errors["overlap"] == "box"
    kinds = [
        {
            "key": kind.key,
            "title": kind.title,
            "short": "Place" if boxes and kind.key == "localisation" else _SHORT[kind.key],
            "description": kind.description,
            "color": INSTANCE_COLORS[kind.key],
            "count": errors["kinds"][kind.key]["count"],
            "gain": errors["kinds"][kind.key]["AP50_gain"],
        }
        for kind in _errors(result)
    ]
    return {
        "boxes_alone": boxes,
        "facts": [
            f"{result['images']:,} images",
            f"{result['instances']:,} instances of {len(result['classes'])} classes",
            *([f"{result['crowds']:,} crowds"] if result["crowds"] else []),
            f"{result['detections']:,} detections",
        ],
        "sections": sections("figures", "kinds", "classes", "gallery", figures="Average precision"),
        "skipped": result["skipped"],
        "notes": result["notes"],
        "detection_area": result["detection_area"],
        "environment": result.get("environment", {}),
        "scores": [{"key": name, "note": _NOTES[name]} for name in SCORES],
        "metrics": result["metrics"],
        "errors": errors,
        "kinds": kinds,
        "largest_count": max((kind["count"] for kind in kinds), default=0),
        "largest_gain": max((kind["gain"] or 0 for kind in kinds), default=0),
        "classes": classes,
        "sorts": [
            ("wrong", "errors, most first"),
            *error_sorts(_errors(result)),
            ("recall", "share found, lowest first"),
            ("name", "name"),
        ],
        "aliasing": result.get("errors_against_aliasing"),
        "scored": True,
    }
