"""The section of a page on objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dealias.evaluation import IMAGE_COLUMNS, OBJECT_FATES
from dealias.labels import ClassSet
from dealias.metrics.functional import ObjectMark
from dealias.report.page import DARKENED

FATES = tuple(column.name.lower() for column in IMAGE_COLUMNS[1:])  # filters of the gallery
# Distinct from the colours of errors, and from each other for colour-blind people.
_COLORS = {
    "vanished": (232, 40, 40),
    "merged": (240, 228, 66),
    "split": (70, 110, 255),
    "false": (255, 255, 255),
}
_NOTES = {
    "found": "at least this much of it is predicted as its class",
    "partly_found": "neither found nor vanished",
    "vanished": "less than this of it is predicted as its class",
    "merged": "one predicted object covers it and others",
    "split": "several predicted objects hold parts of it",
    "false": "predicted objects with none or almost none of their class in the target",
}


def object_section(found: Mapping[str, Any], classes: ClassSet) -> dict[str, Any]:
    """Return values for the template.

    Args:
        found: ``objects`` of a result.
        classes: the class set.
    """
    colors = classes.colors().tolist()
    return dict(found) | {
        "fates": [
            {"key": key, "name": key.replace("_", " "), "note": _NOTES[key], "linked": key in FATES}
            for key in OBJECT_FATES
        ],
        "classes": [
            row | {"color": color}
            for row, color in zip(found["classes"], colors, strict=True)
            if row["objects"] or row["predicted"]
        ],
    }


def object_layer() -> dict[str, Any]:
    """Return the viewer's layer that outlines objects, for images that have been marked.

    As everywhere on the page, outlines of target objects are dashed, those of predicted ones solid.
    """
    fates = [
        {
            "title": key,
            "bit": int(ObjectMark[key.upper()]),
            "color": _COLORS[key],
            "plane": "prediction" if key == "false" else "target",
        }
        for key in FATES
    ]
    return {
        "key": "objects",
        "title": "Objects",
        "type": "objects",
        "plane": "objects",
        "fates": fates,
        "opacity": 1,
        "ground": DARKENED,
        "optional": 1,
    }


def script_objects(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[list[list[int]]]:
    """Return the objects of each image for the scripts: classes with their numbers of `FATES`."""
    number = {name: index for index, name in enumerate(names)}
    return [
        [[number[name], *(counts[key] for key in FATES)] for name, counts in row["objects"].items()]
        for row in rows
    ]
