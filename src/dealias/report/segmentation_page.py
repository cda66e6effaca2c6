"""Write the page of one evaluation, without the files of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dealias.evaluation import digest_rows
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS
from dealias.report.confusions import confusion_section, largest_pairs, wrong_pixels
from dealias.report.drawing import Drawn
from dealias.report.findings import find_heading
from dealias.report.folder import PageFolder
from dealias.report.kept import keep_names
from dealias.report.objects import FATES, object_layer, object_section, script_objects
from dealias.report.page import (
    COUNTING,
    FINE_GRAINED_NOTES,
    PHOTOGRAPH,
    class_rows,
    counting_facts,
    error_layer,
    error_sorts,
    heat_layer,
    is_present,
    kind_rows,
    label_layer,
    metric_columns,
    script_kinds,
    script_row,
    sections,
    write_page,
)
from dealias.report.sections import distributions
from dealias.report.shifts import shift_section
from dealias.report.widths import width_section


def finish_report(
    folder: PageFolder,
    result: Mapping[str, Any],
    drawn: Sequence[Drawn],
    classes: ClassSet,
    **more: Any,
) -> None:
    """Write the page itself, after its images have been drawn.

    Args:
        folder: folder of the page.
        result: result with a row for each image drawn; ``widths``, ``objects``,
            ``errors_against_aliasing`` and ``shifts`` add sections.
        drawn: rows of the images, in any order.
        classes: the class set.
        more: title and probe; see :func:`write_page`.
    """
    rows = {row.name: row for row in drawn}
    number = {name: index for index, name in enumerate(classes.names)}
    costly = [pair for pairs in result["costly_pairs"].values() for pair in pairs]
    wrong = wrong_pixels(drawn, len(classes))
    largest = largest_pairs(wrong)
    named = {(number[pair["target"]], number[pair["prediction"]]) for pair in costly}
    pairs = sorted(named.union(largest))
    shown = [row for row in result["per_image"] if row["name"] in rows]
    data = {
        "classes": class_rows(classes),
        "pairs": pairs,
        "kinds": script_kinds(),
        "layers": _LAYERS,
        "rows": [script_row(rows[row["name"]], [row["mIoU"]], pairs) for row in shown],
    }
    if "objects" in result:
        data |= {"fates": FATES, "objects": script_objects(shown, classes.names)}
        data["layers"] = (*_LAYERS, object_layer())
    layers = {row.name: row.has for row in drawn}
    keep_names(folder, layers, classes, digest_rows(result["per_image"]))
    context = _context(result, classes, rows)
    context["confusions"] = confusion_section(wrong, result, classes, largest)
    write_page(folder, "report.html", data, context, **more)


# The layers of the viewer, bottom first.
_LAYERS = (
    PHOTOGRAPH,
    label_layer("target", "Target"),
    label_layer("prediction", "Prediction"),
    heat_layer("aliasing", "Aliasing"),
    heat_layer("unstable", "Unstable"),
    error_layer("errors", "Errors", "prediction"),
)


def _context(
    result: Mapping[str, Any], classes: ClassSet, drawn: Mapping[str, Drawn]
) -> dict[str, Any]:
    kinds = kind_rows()
    start = 0.0
    for kind in kinds:
        share = result["error_shares"][kind["key"]]
        length = 100 * (share or 0)
        kind |= {
            "share": share,
            "gain": result["mIoU_gain"][kind["key"]],
            "pairs": result["costly_pairs"][kind["key"]],
            "start": round(start, 3),
            "length": round(length, 3),
        }
        start += length
    pair_gains = [pair["mIoU_gain"] or 0 for kind in kinds for pair in kind["pairs"]]
    pixels = sum(row["pixels"] for row in result["classes"])
    colors = classes.colors().tolist()
    rows = [
        row
        | {
            "color": color,
            "pixel_share": row["pixels"] / pixels if pixels else None,
            "intervals": limits,
        }
        for row, color, limits in zip(
            result["classes"], colors, result["intervals"]["classes"], strict=True
        )
        if is_present(row)
    ]
    absent = len(classes) - len(rows)
    number_of_classes = f"{len(rows)} of {len(classes)}" if absent else str(len(classes))
    aliasing = result.get("errors_against_aliasing")
    if aliasing is not None:
        aliasing = {"site": None} | distributions(aliasing)
    metrics, intervals = result["metrics"], result["intervals"]
    objects, widths = result.get("objects"), result.get("widths")
    asked = [name for name in ("widths", "objects") if result.get(name)]
    return {
        "facts": [
            f"{result['images']:,} images",
            f"{number_of_classes} classes of {result['class_set']}",
            *counting_facts(result),
        ],
        "sections": sections(
            "figures", "kinds", "classes", "pairs", "confusions", *asked, "gallery"
        ),
        "warnings": result.get("warnings", []),
        "skipped": result["skipped"],
        "environment": result.get("environment", {}),
        "figures": [
            column
            | {
                "name": column["mean"],
                "value": metrics[column["mean"]],
                "interval": intervals["metrics"][column["mean"]],
            }
            for column in metric_columns()
        ],
        "fine_grained": [
            {"name": name.replace("_worst_tenth", ", worst tenth"), "note": note, "value": value}
            for name, note in FINE_GRAINED_NOTES.items()
            if (value := (result["fine_grained"] or {}).get(name)) is not None
        ],
        "finding": find_heading(result),
        "boundary_gain": result["boundary_gain"],
        "absent": f"{absent:,} classes" if absent > 1 else "A class" if absent else "",
        "intervals": intervals,
        "reach": result["band_width"] // 2,
        "kinds": kinds,
        "largest_pair": max(pair_gains, default=0),
        "classes": rows,
        "columns": metric_columns(),
        "metrics": metrics,
        "counting": {key: result[key] for key in COUNTING},
        "sorts": [
            ("miou", "mIoU, lowest first"),
            ("wrong", "wrong pixels, most first"),
            *error_sorts(ERROR_KINDS),
            *([("objects", "selected objects, most first")] if objects else []),
            ("name", "name"),
        ],
        "fates": FATES if objects else (),
        "outlines": object_layer()["fates"] if objects else (),
        "covered": list(result.get("covered_by_bands", {})),
        "widths": None if widths is None else width_section(widths),
        "objects": None if objects is None else object_section(objects, classes),
        "aliasing": aliasing,
        "shifts": None if result.get("shifts") is None else shift_section(result, classes, drawn),
    }
