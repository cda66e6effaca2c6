"""Pages from templates, and what both kinds of page have in common."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from dealias.environment import environment
from dealias.evaluation import ERROR_COLORS
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS
from dealias.report.drawing import Drawn

Color = tuple[int, int, int]

DASH, MINUS = "\u2013", "\u2212"
ARROWS = {"IoU": "↑", "BIoU": "↑", "BAcc": "↑", "FErr": "↓", "MErr": "↓", "DErr": "↓"}
MEANS = {"IoU": "mIoU"}
NOTES = {
    "IoU": "Intersection over union, the mean over classes, of all pixels.",
    "BIoU": "The same inside the boundary bands alone.",
    "BAcc": "The share of a class that is found inside the boundary bands.",
    "FErr": "False responses: the share that is missed near predicted boundaries.",
    "MErr": "Merging mistakes: the share that is missed near the target's boundaries.",
    "DErr": "Displacements: the share that is missed where both have a boundary.",
}
# For headings of narrow columns, and for one pixel.
_SHORT = {
    "false_response": ("+ false", "false response"),
    "merging_mistake": ("+ merging", "merging mistake"),
    "displacement": ("+ displ.", "displacement"),
    "interior": ("+ interior", "interior error"),
}
# The layer of the viewer that the others lie on, and how far it is darkened under errors alone.
PHOTOGRAPH = {
    "key": "image",
    "title": "Photograph",
    "type": "photograph",
    "folder": "images",
    "opacity": 1,
    "optional": 1,
}
DARKENED = 0.55
_SCRIPTS = ("page.js", "state.js", "table.js")
_PICTURE_SCRIPTS = ("maps.js", "layers.js", "stage.js", "viewer.js")
_OWN_SCRIPTS = {
    "report.html": ("report.js",),
    "comparison.html": ("comparison.js",),
    "instances.html": ("instances.js", "outlines.js"),
}


def metric_columns() -> list[dict[str, str]]:
    """The metrics in the order of the paper, with arrows and explanations."""
    return [
        {
            "key": name,
            "name": name,
            "mean": MEANS.get(name, name),
            "arrow": arrow,
            "note": NOTES[name],
        }
        for name, arrow in ARROWS.items()
    ]


def kind_rows() -> list[dict[str, Any]]:
    """The kinds of error with their colours."""
    return [
        {
            "key": kind.key,
            "title": kind.title,
            "short": _SHORT[kind.key][0],
            "single": _SHORT[kind.key][1],
            "description": kind.description,
            "color": ERROR_COLORS[kind.key],
        }
        for kind in ERROR_KINDS
    ]


def class_rows(classes: ClassSet) -> list[dict[str, Any]]:
    """Names and colours of the classes, for the scripts."""
    return [
        {"name": name, "color": color}
        for name, color in zip(classes.names, classes.colors().tolist(), strict=True)
    ]


def script_kinds() -> list[dict[str, Any]]:
    """The kinds of error, for the scripts."""
    keys = ("key", "title", "single", "color")
    return [{key: kind[key] for key in keys} for kind in kind_rows()]


def script_row(
    drawn: Drawn, scores: Sequence[float | None], pairs: Sequence[tuple[int, int]] = ()
) -> list[Any]:
    """An image with the scores that it is sorted by, for the scripts.

    Args:
        drawn: the image.
        scores: in the order of the page's sorts.
        pairs: target and predicted class of the pairs that the page leads to.
    """
    number = {pair: index for index, pair in enumerate(pairs)}
    counted = [] if drawn.by_pair is None else drawn.by_pair.tolist()
    by_pair = [
        value
        for target, prediction, *counts in counted
        if (target, prediction) in number
        for value in (number[target, prediction], *counts)
    ]
    rounded = [None if score is None else round(score, 5) for score in scores]
    return [
        drawn.name,
        drawn.key,
        drawn.height,
        drawn.width,
        drawn.has,
        rounded,
        drawn.counts,
        drawn.by_class,
        by_pair,
    ]


def render(template: str, pictures: bool, context: Mapping[str, Any]) -> str:
    """Fill a template; all text is escaped.

    Raises:
        ValueError: Jinja2 is not installed.
    """
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError as error:
        raise ValueError("reports need Jinja2, which is not installed") from error
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("dealias.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "percent": percent,
        "signed": signed,
        "number": number,
        "css": css,
        "heat": heat,
    }
    more = _PICTURE_SCRIPTS if pictures else ()
    scripts = [*_SCRIPTS, *_OWN_SCRIPTS.get(template, ()), "gallery.js", *more, "data.js"]
    common = {
        "version": environment()["dealias"],
        "scripts": scripts,
        "pictures": pictures,
        "scored": False,
    }
    text: str = templates.get_template(template).render(common | dict(context))
    return text


def percent(value: float | None, digits: int = 2) -> str:
    """A fraction in percent, without the sign of it."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """A difference of fractions in points, with its sign."""
    if value is None:
        return DASH
    text = f"{abs(100 * value):.{digits}f}"
    return f"{MINUS if value < 0 and float(text) else '+'}{text}"


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is."""
    return DASH if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def css(color: Sequence[int]) -> str:
    """A colour for an attribute."""
    return "#" + "".join(f"{part:02x}" for part in color)


def heat(value: float | None, arrow: str) -> int:
    """How bad a value is, from 0 to 8."""
    if value is None:
        return 0
    return round(8 * min(max(1 - value if arrow == "↑" else value, 0), 1))
