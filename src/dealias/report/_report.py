"""The page of one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from dealias._text import printable
from dealias.evaluation import ERROR_COLORS, draw_errors
from dealias.evaluation._processes import read_in_order
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS
from dealias.report._aliasing import AliasingErrors
from dealias.report._charts import distributions
from dealias.report._drawing import (
    VOID_MARK,
    Drawn,
    boundary_bands,
    count_by_class,
    draw_files,
    label_plane,
    mark_errors,
    mark_plane,
)
from dealias.report._examples import Example, Examples
from dealias.report._folder import PageFolder, page_folder
from dealias.report._packing import to_script
from dealias.report._page import (
    class_rows,
    css,
    kind_rows,
    metric_columns,
    render,
    script_kinds,
)
from dealias.report._probe import probe_section

Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]

_RIGHT_COLORS = {"right_boundary": "#8a93a0", "right_interior": "#8a93a0"}


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
    opened = progress(len(names)) if progress else nullcontext(lambda: None)
    with page_folder(path) as folder, opened as advance:
        work = _Drawing(folder, examples, names, counting)
        for found in read_in_order(work, len(names), workers):
            if isinstance(found, Exception):
                raise found
            row, counts = found
            drawn.append(row)
            if counts is not None:
                own = AliasingErrors(counts)
                aliasing = own if aliasing is None else aliasing + own
            advance()
        more: dict[str, Any] = {
            "problems": [row.problem for row in drawn if row.problem],
        }
        if aliasing is not None:
            more["errors_against_aliasing"] = aliasing.to_dict()
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


class _Drawing(Dataset[Any]):
    """Images drawn when asked for; errors come as items, to be raised in the parent."""

    def __init__(
        self,
        folder: PageFolder,
        examples: Examples,
        names: Sequence[str],
        counting: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.examples = examples
        self.names = names
        self.counting = counting

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        try:
            example = self.examples.load(self.names[index])
            drawn = draw_example(self.folder, example, self.examples.classes, self.counting)
            counts = count_aliasing(example, self.counting)
        except ValueError as error:
            return error
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
    height, width = errors.shape
    return Drawn(example.name, key, height, width, has, totals, by_class, example.problem)


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


def finish_report(
    folder: PageFolder,
    result: Mapping[str, Any],
    drawn: Sequence[Drawn],
    classes: ClassSet,
    *,
    probe: Mapping[str, Any] | None = None,
    title: str = "Segmentation errors",
) -> None:
    """Write the page itself, once its images are drawn.

    Args:
        folder: of the report.
        result: with a row for each image drawn; ``errors_against_aliasing`` gives a section.
        drawn: what :func:`draw_example` returned, in any order.
        classes: what the labels mean.
        probe: see :func:`write_report`.
        title: heading.

    Raises:
        OutputError: it can't be written.
    """
    rows = {row.name: row for row in drawn}
    data = {
        "title": title,
        "pictures": True,
        "class_set": classes.to_dict(),
        "classes": class_rows(classes),
        "kinds": script_kinds(),
        "layers": _layers(),
        "rows": [
            _script_row(rows[row["name"]], row["mIoU"])
            for row in result["per_image"]
            if row["name"] in rows
        ],
    }
    folder.write("data.js", to_script("dealias.start", data).encode("ascii"))
    folder.finish(render("report.html", True, _context(result, classes, probe, title)))


def _script_row(drawn: Drawn, miou: float | None) -> list[Any]:
    shown = None if miou is None else round(miou, 5)
    return [
        drawn.name,
        drawn.key,
        drawn.height,
        drawn.width,
        drawn.has,
        [shown],
        drawn.counts,
        drawn.by_class,
    ]


def _layers() -> list[dict[str, Any]]:
    """The layers of the viewer, bottom first."""
    return [
        {"key": "image", "title": "Photograph", "type": "photograph", "opacity": 1, "optional": 1},
        {"key": "target", "title": "Target", "type": "labels", "plane": "target", "opacity": 0.6},
        {
            "key": "prediction",
            "title": "Prediction",
            "type": "labels",
            "plane": "prediction",
            "opacity": 0.6,
        },
        {
            "key": "aliasing",
            "title": "Aliasing",
            "type": "heat",
            "plane": "aliasing",
            "opacity": 0.75,
            "optional": 1,
        },
        {
            "key": "errors",
            "title": "Errors",
            "type": "errors",
            "plane": "errors",
            "prediction": "prediction",
            "opacity": 1,
            "ground": 1,
        },
    ]


def _context(
    result: Mapping[str, Any], classes: ClassSet, probe: Mapping[str, Any] | None, title: str
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
    gains = [kind["gain"] or 0 for kind in kinds]
    pair_gains = [pair["mIoU_gain"] or 0 for kind in kinds for pair in kind["pairs"]]
    pixels = sum(row["pixels"] for row in result["classes"])
    colors = classes.colors().tolist()
    rows = [
        row | {"color": color, "pixel_share": row["pixels"] / pixels if pixels else None}
        for row, color in zip(result["classes"], colors, strict=True)
    ]
    aliasing = result.get("errors_against_aliasing")
    if aliasing is not None:
        tones = {key: css(color) for key, color in ERROR_COLORS.items()} | _RIGHT_COLORS
        site = None if probe is None else (probe.get("maps") or {}).get("site")
        aliasing = distributions(aliasing, tones) | {"site": site}
    section = None if probe is None else probe_section(probe)
    sections = [
        ("figures", "Figures"),
        ("kinds", "Kinds"),
        ("classes", "Classes"),
        ("pairs", "Pairs"),
        ("gallery", "Images"),
        *([("aliasing", "Aliasing")] if aliasing else []),
        *([("network", "Network")] if section else []),
    ]
    metrics = result["metrics"]
    return {
        "title": title,
        "heading": title,
        "facts": [
            f"{result['images']:,} images",
            f"{len(classes)} classes of {result['class_set']}",
            f"protocol {result['protocol']}",
            f"bands of {result['band_width']} px",
        ],
        "sections": sections,
        "skipped": [*result["skipped"], *result.get("problems", [])],
        "environment": result.get("environment", {}),
        "figures": [
            {
                "name": column["mean"],
                "arrow": column["arrow"],
                "value": metrics[column["mean"]],
                "note": column["note"],
            }
            for column in metric_columns()
        ],
        "reach": result["band_width"] // 2,
        "kinds": kinds,
        "largest_gain": max(gains, default=0),
        "largest_pair": max(pair_gains, default=0),
        "classes": rows,
        "columns": metric_columns(),
        "metrics": metrics,
        "edge_false_rate": metrics.get("edge_false_rate"),
        "edge_missing_rate": metrics.get("edge_missing_rate"),
        "protocol": result["protocol"],
        "band_width": result["band_width"],
        "ignore_index": result["ignore_index"],
        "sorts": _sorts(),
        "aliasing": aliasing,
        "probe": section,
        "comparison": False,
        "changes": None,
    }


def _sorts() -> list[tuple[str, str]]:
    return [
        ("miou", "mIoU, lowest first"),
        ("wrong", "wrong pixels, most first"),
        *((kind.key, f"{kind.title.lower()}, most first") for kind in ERROR_KINDS),
        ("name", "name"),
    ]
