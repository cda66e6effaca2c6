"""Render pages from templates."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from dealias.environment import environment

DASH, MINUS = "\u2013", "\u2212"
_SCRIPTS = ("page.js", "state.js", "table.js")
_PICTURE_SCRIPTS = ("maps.js", "layers.js", "stage.js", "viewer.js")
_OWN_SCRIPTS = {
    "report.html": ("report.js", "tracing.js", "objects.js"),
    "comparison.html": ("comparison.js",),
    "instances.html": ("instances.js", "tracing.js", "outlines.js"),
}


def render(template: str, pictures: bool, context: Mapping[str, Any]) -> str:
    """Render a template; all text is escaped.

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
    common = {"version": environment()["dealias"], "scripts": scripts, "pictures": pictures}
    text: str = templates.get_template(template).render(common | dict(context))
    return text


def percent(value: float | None, digits: int = 2) -> str:
    """Format a fraction in percent, without the percent sign."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """Format a difference of fractions in points, with its sign."""
    if value is None:
        return DASH
    text = f"{abs(100 * value):.{digits}f}"
    return f"{MINUS if value < 0 and float(text) else '+'}{text}"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number as it is."""
    return DASH if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def css(color: Sequence[int]) -> str:
    """Return a colour in CSS notation."""
    return "#" + "".join(f"{part:02x}" for part in color)


def heat(value: float | None, arrow: str) -> int:
    """Return how bad a fraction is, from 0 to 8."""
    if value is None:
        return 0
    return round(8 * min(max(1 - value if arrow == "↑" else value, 0), 1))
