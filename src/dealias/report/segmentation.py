"""The page of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.evaluation import draw_errors
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS
from dealias.report.aliasing import AliasingErrors
from dealias.report.drawing import (
    VOID_MARK,
    Drawn,
    boundary_bands,
    count_by_class,
    count_by_pair,
    draw_files,
    label_plane,
    mark_errors,
    mark_plane,
)
from dealias.report.examples import Example, Examples
from dealias.report.folder import PageFolder, page_folder
from dealias.report.pages.segmentation import finish_report
from dealias.report.work import Progress, draw_in_order
from dealias.text import printable


def write_report(
    path: Path,
    result: Mapping[str, Any],
    examples: Examples,
    *,
    probe: Mapping[str, Any] | None = None,
    title: str = "Segmentation errors",
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the page of an evaluation: index.html and assets/, nothing else needed to see it.

    Args:
        path: folder of the page; made if it isn't there. A page in it is replaced.
        result: as :meth:`dealias.evaluation.Evaluation.to_dict` gives it.
        examples: the images of the result.
        probe: result of `dealias probe`, for a section on the network.
        title: heading.
        workers: processes that read and draw; 0 for this one.
        progress: given the number of images, opens a context that gives a function to call after
            each.

    Returns:
        What the result should tell beyond what it does: ``errors_against_aliasing``, if examples
        have aliasing scores, and under ``problems`` what was left out, for people.

    Raises:
        OutputError: the page can't be written.
        LabelFileError: an image that can't be read.
        ValueError: Jinja2 is not installed.
    """
    counting = counting_of(result, examples.classes)
    names = [str(row["name"]) for row in result["per_image"]]
    drawn, aliasing = [], None
    with page_folder(path) as folder:
        draw = partial(_draw, folder, examples, counting)
        for row, counts in draw_in_order(draw, names, workers, progress):
            drawn.append(row)
            if counts is not None:
                own = AliasingErrors(counts)
                aliasing = own if aliasing is None else aliasing + own
        more: dict[str, Any] = {
            "problems": [row.problem for row in drawn if row.problem],
        }
        if aliasing is not None:
            site = ((probe or {}).get("maps") or {}).get("site")
            more["errors_against_aliasing"] = aliasing.to_dict() | {"site": site}
        finish_report(
            folder, dict(result) | more, drawn, examples.classes, probe=probe, title=title
        )
    return more


def counting_of(result: Mapping[str, Any], classes: ClassSet) -> dict[str, Any]:
    """Arguments of :func:`dealias.metrics.functional.error_map` that mark what a result counted."""
    return {
        "num_classes": len(classes),
        "ignore_index": classes.ignore_index,
        "band_width": result["band_width"],
        "protocol": result["protocol"],
    }


def _draw(
    folder: PageFolder, examples: Examples, counting: Mapping[str, Any], name: str
) -> tuple[Drawn, NDArray[np.int64] | None]:
    example = examples.load(name)
    counts = count_aliasing(example, counting)
    drawn = draw_example(folder, example, examples.classes, counting)
    return drawn, None if counts is None else counts.counts


def draw_example(
    folder: PageFolder, example: Example, classes: ClassSet, counting: Mapping[str, Any]
) -> Drawn:
    """Write the files of one image of a report; any process may, in any order.

    Args:
        folder: of the report, begun.
        example: the image.
        classes: what its labels mean.
        counting: arguments of :func:`dealias.metrics.functional.error_map`.

    Raises:
        OutputError: a file can't be written.
        ValueError: labels that are neither a class nor void.
    """
    errors = mark_errors(example.prediction, example.target, counting)
    planes = {
        "target": label_plane(example.target, classes),
        "prediction": label_plane(example.prediction, classes),
        "errors": mark_plane(errors),
    }
    background = example.image
    if background is None:
        background = classes.colors()[np.minimum(planes["target"], len(classes) - 1)]
    key, has = draw_files(folder, example, planes, draw_errors(errors, background))
    columns = np.where(planes["errors"] == VOID_MARK, 0, planes["errors"])
    maps = (example.target, example.prediction)
    totals, by_class = count_by_class(columns, maps, len(classes), len(ERROR_KINDS))
    by_pair = count_by_pair(columns, *maps, len(ERROR_KINDS))
    height, width = errors.shape
    return Drawn(example.name, key, height, width, has, totals, by_class, example.problem, by_pair)


def count_aliasing(example: Example, counting: Mapping[str, Any]) -> AliasingErrors | None:
    """Count the aliasing scores of one image by kind of error; None if it has none.

    Args:
        example: the image.
        counting: arguments of :func:`dealias.metrics.functional.error_map`.

    Raises:
        ValueError: scores of another size, or outside [0, 1]; labels that are no class nor void.
    """
    if example.aliasing is None:
        return None
    errors = mark_errors(example.prediction, example.target, counting)
    bands = boundary_bands(example.prediction, example.target, counting)
    try:
        return AliasingErrors.of(example.aliasing, errors, bands)
    except ValueError as error:
        raise ValueError(f"{printable(example.name)}: {error}") from error
