"""The figure of a study: accuracy against agreement, with a point for each variant."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dealias.files import write_whole
from dealias.study.figures import DRAWN
from dealias.study.statistics import Summary

_MARKERS = "os^Dv<>Pp*"
_STYLE = {"font.size": 9, "text.parse_math": False}  # a dollar sign in a title is literal


def look_of(index: int) -> dict[str, str]:
    """Marker and colour of a point, distinct for a hundred points.

    >>> look_of(0), look_of(10)
    ({'marker': 'o', 'color': 'C0'}, {'marker': 's', 'color': 'C0'})
    """
    turn, color = divmod(index, 10)
    return {"marker": _MARKERS[(color + turn) % len(_MARKERS)], "color": f"C{color}"}


def draw_study(task: str, summary: Summary, titles: Mapping[str, str], path: Path) -> bool:
    """Draw means, with error bars of one standard deviation over seeds, as PNG.

    Args:
        task: task of the network; see :data:`dealias.study.figures.DRAWN` for what is drawn.
        summary: summary of the clean test.
        titles: titles of the variants.
        path: the file.

    Returns:
        Whether there was something to draw.
    """
    up, candidates = DRAWN[task]
    points: list[tuple[str, Any, Any]] = []
    across = ""
    for across in candidates:
        points = [
            (titles[name], rows[across], rows[up])
            for name, rows in summary.items()
            if across in rows and rows[across]["mean"] is not None and rows[up]["mean"] is not None
        ]
        if points:
            break
    if not points:
        return False
    matplotlib = importlib.import_module("matplotlib")
    with matplotlib.rc_context(_STYLE):
        drawing = importlib.import_module("matplotlib.figure")
        figure = drawing.Figure((6.4, 4.4), layout="constrained")
        axes = figure.subplots()
        for index, (title, x, y) in enumerate(points):
            place = [100 * x["mean"], 100 * y["mean"]]
            across_spread, up_spread = 100 * x["std"], 100 * y["std"]
            axes.errorbar(
                *place,
                up_spread,
                across_spread,
                **look_of(index),
                capsize=3,
                linestyle="none",
                label=title,
            )
        axes.margins(0.15)
        axes.set_xlabel(f"{across}, % (bars: standard deviation over seeds)")
        axes.set_ylabel(f"{up}, %")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside upper center", ncols=3)  # points may overlap
        with write_whole(path) as file:
            figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return True
