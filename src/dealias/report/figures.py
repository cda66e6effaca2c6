"""Draw charts and strips of images for papers."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.evaluation import ERROR_COLORS, draw_errors
from dealias.files import make_parents, write_whole
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS
from dealias.report.aliasing import GROUP_TITLES, GROUPS, histogram
from dealias.report.drawing import counting_of, mark_errors
from dealias.report.examples import Example, Examples
from dealias.report.page import is_present
from dealias.report.rendering import DASH, css, percent, signed
from dealias.report.sections import GROUP_COLORS
from dealias.report.widths import CURVE_COLORS, PANELS, width_labels
from dealias.text import check_name, printable

FORMATS = ("pdf", "svg", "png")
_WIDTH = 5.5  # width of the text on a page, in inches
_STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # fonts that publishers accept
    "svg.hashsalt": "dealias",
    "text.parse_math": False,  # dollar signs in names are literal
}
_CLASS_BARS = {
    "FErr": "false_response",
    "MErr": "merging_mistake",
    "DErr": "displacement",
}


def write_figures(
    folder: Path,
    result: Mapping[str, Any],
    examples: Examples | None = None,
    *,
    images: int = 4,
    prefix: str = "",
) -> list[Path]:
    """Draw a result as PDF, SVG and PNG.

    ``errors`` shows the share of each kind of error and the gain in mIoU from correcting it.
    ``classes`` shows the three error rates of each class that occurs in targets or predictions.
    ``aliasing`` shows the distribution of the aliasing score by kind of error, if it was measured.
    ``widths`` shows the six figures against the width of the bands, if they were counted at several
    widths. ``strips`` shows the worst images: photograph, target, prediction, and errors coloured
    by kind. An undefined value has a dash instead of a bar.

    Args:
        folder: folder of the files; made if it does not exist.
        result: from :func:`read_result`.
        examples: images of the result; None to draw no strips.
        images: number of strips, worst image first.
        prefix: prefix of the file names, without path separators.

    Returns:
        Paths of the files.

    Raises:
        OutputError: a file can't be written.
        ValueError: Matplotlib is not installed, or an image can't be read.
    """
    check_name("prefix", prefix)
    drawings: dict[str, Callable[[Any], None]] = {
        "errors": lambda figure: _draw_kinds(figure, result),
        "classes": lambda figure: _draw_classes(figure, result),
    }
    if result.get("errors_against_aliasing"):
        drawings["aliasing"] = lambda figure: _draw_aliasing(figure, result)
    if result.get("widths"):
        drawings["widths"] = lambda figure: _draw_widths(figure, result)
    if examples is not None and images > 0:
        shown = [examples.load(name) for name in worst_images(result, images)]
        classes, counting = examples.classes, counting_of(result, examples.classes)
        if shown:
            drawings["strips"] = lambda figure: _draw_strips(figure, shown, classes, counting)
    written = []
    with _matplotlib() as new_figure:
        for name, draw in drawings.items():
            figure = new_figure()
            draw(figure)
            written += _save(figure, folder, f"{prefix}{name}")
    return written


@contextmanager
def _matplotlib() -> Any:
    try:
        matplotlib = importlib.import_module("matplotlib")
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ValueError("figures need Matplotlib, which is not installed") from error
    with matplotlib.rc_context(_STYLE):
        yield lambda: figures.Figure(figsize=(_WIDTH, 2), layout="constrained")


def _save(figure: Any, folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{name}.{suffix}" for suffix in FORMATS]
    make_parents(paths[0])
    for path, suffix in zip(paths, FORMATS, strict=True):
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[suffix]
        drawn = io.BytesIO()  # a full disk would leave Matplotlib's writers in a broken state
        figure.savefig(drawn, format=suffix, dpi=200, metadata=undated)
        with write_whole(path) as file:
            file.write(drawn.getbuffer())
    return paths


def worst_images(result: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of the images of a result with the lowest mIoU, worst first."""
    rows = [row for row in result["per_image"] if row["mIoU"] is not None]
    return [row["name"] for row in sorted(rows, key=lambda row: row["mIoU"])[:count]]


def _draw_kinds(figure: Any, result: Mapping[str, Any]) -> None:
    shares, gains = figure.subplots(1, 2, sharey=True)
    names = [kind.title for kind in ERROR_KINDS]
    colors = [css(ERROR_COLORS[kind.key]) for kind in ERROR_KINDS]
    panels = (
        (shares, "error_shares", "share of wrong pixels, %", percent),
        (gains, "mIoU_gain", "mIoU if corrected, points", signed),
    )
    for axis, key, title, form in panels:
        values = [result[key][kind.key] for kind in ERROR_KINDS]
        bars = axis.barh(names, _lengths(values), color=colors, edgecolor="0.3", linewidth=0.4)
        axis.bar_label(bars, [form(value, 1) for value in values], padding=2)
        axis.set_xlabel(title)
        axis.margins(x=0.18)
    shares.invert_yaxis()


def _lengths(values: Sequence[float | None]) -> list[float]:
    """Return lengths of bars in percent; 0 where a value is undefined, as the label then says."""
    return [100 * (value or 0) for value in values]


def _draw_classes(figure: Any, result: Mapping[str, Any]) -> None:
    rows = [row for row in result["classes"] if is_present(row)]
    figure.set_size_inches(_WIDTH, 0.8 + 0.3 * len(rows))
    axis = figure.subplots()
    place = np.arange(len(rows))
    height = 0.8 / len(_CLASS_BARS)
    for index, (key, kind) in enumerate(_CLASS_BARS.items()):
        values = [row[key] for row in rows]
        look = {"color": css(ERROR_COLORS[kind]), "edgecolor": "0.3", "linewidth": 0.3}
        where = place + (index - 1) * height
        bars = axis.barh(where, _lengths(values), height, label=key, **look)
        axis.bar_label(bars, [DASH if value is None else "" for value in values], padding=2)
    axis.set_yticks(place, [printable(row["name"]) for row in rows])
    axis.set_xlabel("error rate in the boundary bands, %")
    axis.invert_yaxis()
    axis.margins(y=0.01)
    figure.legend(ncols=len(_CLASS_BARS), loc="outside upper center", frameon=False)


def _draw_aliasing(figure: Any, result: Mapping[str, Any]) -> None:
    found = result["errors_against_aliasing"]
    figure.set_size_inches(_WIDTH, 3.2)
    reach = np.sqrt(found["edges"][-1])
    columns = np.linspace(0, reach, 41)
    axes = figure.subplots(len(GROUPS), 1, sharex=True)
    for axis, name in zip(axes, GROUPS, strict=True):
        group = found["groups"][name]
        height = histogram(found, name, columns)
        axis.stairs(height, columns, fill=True, color=GROUP_COLORS[name])
        if group["quantiles"]:
            axis.axvline(np.sqrt(group["quantiles"]["50"]), color="black", linewidth=1)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_ylabel(GROUP_TITLES[name], rotation=0, ha="right", va="center")
    ticks = np.linspace(0, reach, 5)
    axes[-1].set_xticks(ticks, [f"{tick**2:.2g}" for tick in ticks])
    axes[-1].set_xlabel("aliasing score (square-root axis); the line is the median")


def _draw_widths(figure: Any, result: Mapping[str, Any]) -> None:
    found = result["widths"]
    labels = width_labels(found)
    for axis, (_, names) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for name in names:
            values = [np.nan if value is None else 100 * value for value in found["metrics"][name]]
            axis.plot(found["widths"], values, "o-", label=name, color=CURVE_COLORS[name], ms=3)
        axis.set_xscale("log")
        axis.set_xticks(found["widths"], labels)
        axis.set_xticks([], minor=True)
        axis.set_xlabel("width of the bands")
        axis.set_ylabel("%")
        axis.legend(frameon=False)


def _draw_strips(
    figure: Any, shown: Sequence[Example], classes: ClassSet, counting: Mapping[str, Any]
) -> None:
    panels = [_panels(example, classes, counting) for example in shown]
    titles = list(dict.fromkeys(title for row in panels for title in row))
    sides = [example.target.shape for example in shown]
    width = _WIDTH / len(titles)
    heights = [width * height / across for height, across in sides]
    figure.set_size_inches(_WIDTH, sum(heights) + 0.5)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, hspace=0, wspace=0)
    axes = figure.subplots(len(shown), len(titles), squeeze=False, height_ratios=heights)
    for row, found in zip(axes, panels, strict=True):
        for axis, title in zip(row, titles, strict=True):
            axis.set_axis_off()
            if title in found:
                axis.imshow(found[title], interpolation="nearest")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    patch = importlib.import_module("matplotlib.patches").Patch
    kinds = [patch(color=css(ERROR_COLORS[kind.key]), label=kind.title) for kind in ERROR_KINDS]
    figure.legend(handles=kinds, ncols=len(kinds), loc="outside lower center", frameon=False)


def _panels(
    example: Example, classes: ClassSet, counting: Mapping[str, Any]
) -> dict[str, NDArray[np.uint8]]:
    target, preds = (classes.paint(labels) for labels in (example.target, example.preds))
    background = target if example.image is None else example.image
    errors = draw_errors(mark_errors(example.preds, example.target, counting), background)
    panels = {"Target": target, "Prediction": preds, "Errors": errors}
    return panels if example.image is None else {"Image": example.image} | panels
