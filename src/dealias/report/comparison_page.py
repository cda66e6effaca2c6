"""Write the page of two evaluations side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.environment import environment
from dealias.evaluation import draw_marks
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS, FEWEST_UNITS
from dealias.processes import Progress, open_progress, read_in_order
from dealias.report.drawing import (
    RIGHT,
    VOID_MARK,
    Drawn,
    background,
    counting_of,
    draw_files,
    label_plane,
    mark_errors,
    mark_plane,
)
from dealias.report.examples import Example, Examples
from dealias.report.findings import compare_heading
from dealias.report.folder import PageFolder, file_key
from dealias.report.page import (
    COUNTING,
    DARKENED,
    OVERLAID,
    PHOTOGRAPH,
    class_rows,
    counting_facts,
    error_layer,
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
from dealias.report.shifts import AGREEMENT_WORDS
from dealias.report.widths import width_section
from dealias.text import printable

# Colour-blind people can distinguish blue and vermilion (Okabe and Ito, 2008).
CHANGES: tuple[dict[str, Any], ...] = (
    {"key": "mended", "title": "Mended: only A is wrong", "color": (0, 130, 200)},
    {"key": "broken", "title": "Broken: only B is wrong", "color": (230, 97, 0)},
    {"key": "both_wrong", "title": "Wrong in both", "color": (150, 150, 150)},
)
_OPACITIES = (OVERLAID, OVERLAID, OVERLAID / 2)

_SORTS = (
    ("loss", "mIoU, largest loss first"),
    ("gain", "mIoU, largest gain first"),
    ("mended", "mended pixels, most first"),
    ("broken", "broken pixels, most first"),
    ("name", "name"),
)


class ComparisonError(ValueError):
    """The classes or targets of two evaluations differ."""


def write_comparison(
    path: Path,
    comparison: Mapping[str, Any],
    examples: Sequence[Examples] | str,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> None:
    """Write the page of two evaluations, which consists of index.html and assets/.

    Args:
        path: folder of the page, made if it does not exist. A page in it is replaced.
        comparison: from :func:`compare_results`.
        examples: the images of both; or the reason why the page has no pictures.
        workers: number of processes that read and draw; 0 to do so in this one.
        progress: is given the number of images, and opens a context that yields a function to call
            after each.

    Raises:
        OutputError: the page can't be written.
        ComparisonError: the targets or the class sets differ.
        ValueError: an image can't be read, or Jinja2 is not installed.
    """
    names = [str(row["name"]) for row in comparison["per_image"]]
    with PageFolder(path) as folder:
        if isinstance(examples, str):
            drawn = [Drawn(name, file_key(name), 0, 0, (), (), (), None) for name in names]
            finish_comparison(folder, comparison, drawn, None, no_pictures=examples)
            return
        classes = examples[0].classes
        if classes.names != examples[1].classes.names:
            raise ComparisonError("expected the same classes in the folders of both")
        draw = partial(_draw, folder, examples, counting_of(comparison, classes))
        with open_progress(progress, len(names)) as tick:
            drawn = list(read_in_order(draw, names, workers, tick))
        finish_comparison(folder, comparison, drawn, classes)


def _draw(
    folder: PageFolder, examples: Sequence[Examples], counting: Mapping[str, Any], name: str
) -> Drawn:
    first, second = (side.load(name) for side in examples)
    if not np.array_equal(first.target, second.target):
        raise ComparisonError(f"{printable(name)}: the targets of the two evaluations differ")
    return draw_changes(folder, first, second, examples[0].classes, counting)


def draw_changes(
    folder: PageFolder,
    first: Example,
    second: Example,
    classes: ClassSet,
    counting: Mapping[str, Any],
) -> Drawn:
    """Write the files of one image of a comparison; processes and order do not matter.

    Args:
        folder: folder of the page, which was already begun.
        first: the image with the prediction of A.
        second: the image with the prediction of B, and the same target.
        classes: the class set.
        counting: arguments of :func:`dealias.metrics.functional.error_map`.

    Returns:
        Counts in eight columns: mended pixels by the kind of error of A, and broken pixels by the
        kind of error of B.

    Raises:
        OutputError: a file can't be written.
        ValueError: a label is neither a class nor void.
    """
    before, after = (
        mark_plane(mark_errors(side.preds, first.target, counting)) for side in (first, second)
    )
    planes = {
        "target": label_plane(first.target, classes),
        "prediction_a": label_plane(first.preds, classes),
        "prediction_b": label_plane(second.preds, classes),
        "errors_a": before,
        "errors_b": after,
    }
    image = second.image if first.image is None else first.image
    colors = [change["color"] for change in CHANGES]
    picture = draw_marks(
        change_map(before, after),
        background(image, first.target, classes),
        list(zip(colors, _OPACITIES, strict=True)),
        void=VOID_MARK,
        brightness=1 - DARKENED,
    )
    kinds = len(ERROR_KINDS)
    mended, broken = (before != RIGHT) & (after == RIGHT), (before == RIGHT) & (after != RIGHT)
    columns = np.select([mended, broken], [before, after.astype(np.int64) + kinds], 0)
    maps = (first.target, first.preds, second.preds)
    problem = first.problem or second.problem
    example = replace(first, image=image, aliasing=None, problem=problem)
    heats = {"unstable_a": first.unstable, "unstable_b": second.unstable}
    return draw_files(
        folder, example, planes, picture, columns, maps, len(classes), 2 * kinds, heats
    )


def change_map(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark wrong predictions: 0 neither, 1 the first, 2 the second, 3 both; 5 is void.

    Args:
        before: error marks of the first, uint8 [H, W].
        after: error marks of the second.
    """
    changes: NDArray[np.uint8]
    changes = (before != RIGHT).astype(np.uint8) + 2 * (after != RIGHT).astype(np.uint8)
    changes[before == VOID_MARK] = VOID_MARK
    return changes


def finish_comparison(
    folder: PageFolder,
    comparison: Mapping[str, Any],
    drawn: Sequence[Drawn],
    classes: ClassSet | None,
    *,
    no_pictures: str = "",
) -> None:
    """Write the page itself, after its images have been drawn.

    Args:
        folder: folder of the page.
        comparison: from :func:`compare_results`.
        drawn: rows of the images.
        classes: the class set; None without pictures.
        no_pictures: the reason why there are no pictures.

    Raises:
        OutputError: the page can't be written.
    """
    rows = {row.name: row for row in drawn}
    pictures = classes is not None
    gray = [{"name": row["name"], "color": [128] * 3} for row in comparison["classes"]]
    listed = gray if classes is None else class_rows(classes)
    title = " against ".join(comparison["names"])
    data = {
        "classes": listed,
        "kinds": script_kinds(),
        "changes": CHANGES,
        "layers": _LAYERS,
        "rows": [
            script_row(rows[row["name"]], [row["a"], row["b"]]) for row in comparison["per_image"]
        ],
    }
    context = _context(comparison, listed) | {
        "no_pictures": no_pictures,
        "skipped": [row.problem for row in drawn if row.problem],
        "sorts": [sort for sort in _SORTS if pictures or sort[0] not in ("mended", "broken")],
    }
    write_page(folder, "comparison.html", data, context, title=title, pictures=pictures)


# The layers of the viewer, bottom first.
_LAYERS = (
    PHOTOGRAPH,
    label_layer("target", "Target"),
    label_layer("prediction_a", "Prediction of A"),
    label_layer("prediction_b", "Prediction of B"),
    heat_layer("unstable_a", "Unstable in A"),
    heat_layer("unstable_b", "Unstable in B"),
    error_layer("errors_a", "Errors of A", "prediction_a"),
    error_layer("errors_b", "Errors of B", "prediction_b"),
    {
        "key": "changes",
        "title": "Mended and broken",
        "type": "changes",
        "opacity": OVERLAID,
        "ground": DARKENED,
    },
)


def _context(comparison: Mapping[str, Any], listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = metric_columns()
    kinds = []
    for kind in kind_rows():
        pixels = comparison["error_pixels"][kind["key"]]
        gains = comparison["mIoU_gain"][kind["key"]]
        sides = [{"pixels": pixels[side], "gain": gains[side]} for side in ("a", "b")]
        relative = pixels["difference"] / pixels["a"] if pixels["a"] else None
        kinds.append(kind | {"sides": sides, "relative": relative})
    count = len(comparison["per_image"])
    widths = comparison["widths"]
    present = [is_present(row) for row in comparison["classes"]]
    return {
        "finding": compare_heading(comparison),
        "widths": widths and width_section(widths, [widths["a"], widths["b"]]),
        "names": comparison["names"],
        "facts": [f"{count:,} images", f"{len(listed)} classes", *counting_facts(comparison)],
        "sections": sections(
            "figures", "kinds", "classes", *(["widths"] if widths else []), "gallery"
        ),
        "environment": environment(),
        "figures": [
            column | {"name": column["mean"]} | comparison["metrics"][column["mean"]]
            for column in columns
        ],
        "agreement": [
            AGREEMENT_WORDS[key] | {"arrow": "↑", "told": None, "interval": None} | pair
            for key, pair in (comparison["agreement"] or {}).items()
        ],
        "kinds": kinds,
        "most_pixels": max(side["pixels"] for kind in kinds for side in kind["sides"]),
        "columns": columns,
        "classes": [
            entry | {"cells": [row[c["name"]] | {"arrow": c["arrow"]} for c in columns]}
            for row, entry, there in zip(comparison["classes"], listed, present, strict=True)
            if there
        ],
        "counting": {key: comparison[key] for key in COUNTING},
        "notes": comparison["notes"],
        "intervals": comparison["intervals"],
        "fewest": FEWEST_UNITS,
        "comparison": True,
        "changes": CHANGES,
    }
