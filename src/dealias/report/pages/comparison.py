"""What the page of two evaluations shows, but for the files of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dealias.evaluation import environment
from dealias.labels import ClassSet
from dealias.report.drawing import Drawn
from dealias.report.folder import PageFolder
from dealias.report.packing import to_script
from dealias.report.rendering import (
    DARKENED,
    PHOTOGRAPH,
    class_rows,
    kind_rows,
    metric_columns,
    render,
    script_kinds,
    script_row,
)

# Blue and vermilion are told apart by colour-blind people (Okabe and Ito, 2008).
CHANGES: tuple[dict[str, Any], ...] = (
    {"key": "mended", "title": "Mended: only A is wrong", "color": (0, 130, 200)},
    {"key": "broken", "title": "Broken: only B is wrong", "color": (230, 97, 0)},
    {"key": "both_wrong", "title": "Wrong in both", "color": (150, 150, 150)},
)

_SORTS = (
    ("loss", "mIoU, largest loss first"),
    ("gain", "mIoU, largest gain first"),
    ("mended", "mended pixels, most first"),
    ("broken", "broken pixels, most first"),
    ("name", "name"),
)


def finish_comparison(
    folder: PageFolder,
    comparison: Mapping[str, Any],
    drawn: Sequence[Drawn],
    classes: ClassSet | None,
    *,
    no_pictures: str = "",
) -> None:
    """Write the page itself, once its images are drawn.

    Args:
        folder: of the page.
        comparison: from :func:`compare_results`.
        drawn: of the images.
        classes: what the labels mean; None without pictures.
        no_pictures: why there are none.

    Raises:
        OutputError: it can't be written.
    """
    rows = {row.name: row for row in drawn}
    if classes is None:
        gray = [128, 128, 128]
        listed = [{"name": row["name"], "color": gray} for row in comparison["classes"]]
    else:
        listed = class_rows(classes)
    title = " against ".join(comparison["names"])
    pictures = classes is not None
    data = {
        "title": title,
        "pictures": pictures,
        "classes": listed,
        "kinds": script_kinds(),
        "changes": CHANGES,
        "layers": _layers(),
        "rows": [
            script_row(rows[row["name"]], [row["a"], row["b"]]) for row in comparison["per_image"]
        ],
    }
    folder.write("data.js", to_script("dealias.start", data).encode("ascii"))
    problems = [row.problem for row in drawn if row.problem]
    context = _context(comparison, listed, title) | {
        "pictures": pictures,
        "no_pictures": no_pictures,
        "skipped": problems,
        "sorts": [sort for sort in _SORTS if pictures or sort[0] not in ("mended", "broken")],
    }
    folder.finish(render("comparison.html", pictures, context))


def _layers() -> list[dict[str, Any]]:
    """The layers of the viewer, bottom first."""

    def labels(key: str, title: str) -> dict[str, Any]:
        return {"key": key, "title": title, "type": "labels", "plane": key, "opacity": 0.6}

    def errors(side: str) -> dict[str, Any]:
        return {
            "key": f"errors_{side}",
            "title": f"Errors of {side.upper()}",
            "type": "errors",
            "plane": f"errors_{side}",
            "prediction": f"prediction_{side}",
            "opacity": 1,
            "ground": DARKENED,
        }

    return [
        PHOTOGRAPH,
        labels("target", "Target"),
        labels("prediction_a", "Prediction of A"),
        labels("prediction_b", "Prediction of B"),
        errors("a"),
        errors("b"),
        {
            "key": "changes",
            "title": "Mended and broken",
            "type": "changes",
            "opacity": 1,
            "ground": DARKENED,
        },
    ]


def _context(
    comparison: Mapping[str, Any], listed: Sequence[Mapping[str, Any]], title: str
) -> dict[str, Any]:
    columns = metric_columns()
    kinds = []
    for kind in kind_rows():
        pixels = comparison["error_pixels"][kind["key"]]
        gains = comparison["mIoU_gain"][kind["key"]]
        sides = [{"pixels": pixels[side], "gain": gains[side]} for side in ("a", "b")]
        relative = pixels["difference"] / pixels["a"] if pixels["a"] else None
        kinds.append(kind | {"sides": sides, "relative": relative})
    count = len(comparison["per_image"])
    return {
        "title": title,
        "heading": title,
        "names": comparison["names"],
        "facts": [
            f"{count:,} images",
            f"{len(listed)} classes",
            f"protocol {comparison['protocol']}",
            f"bands of {comparison['band_width']} px",
        ],
        "sections": [
            ("figures", "Figures"),
            ("kinds", "Kinds"),
            ("classes", "Classes"),
            ("gallery", "Images"),
        ],
        "environment": environment(),
        "figures": [
            {"name": column["mean"], "arrow": column["arrow"], "note": column["note"]}
            | comparison["metrics"][column["mean"]]
            for column in columns
        ],
        "kinds": kinds,
        "most_pixels": max(side["pixels"] for kind in kinds for side in kind["sides"]),
        "columns": columns,
        "classes": [
            {
                "name": row["name"],
                "color": entry["color"],
                "cells": [row[c["key"]] | {"arrow": c["arrow"]} for c in columns],
            }
            for row, entry in zip(comparison["classes"], listed, strict=True)
        ],
        "protocol": comparison["protocol"],
        "band_width": comparison["band_width"],
        "ignore_index": comparison["ignore_index"],
        "notes": comparison["notes"],
        "comparison": True,
        "changes": CHANGES,
    }
