"""Tables of two results side by side."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from dealias.cli.console import arrow
from dealias.cli.tables import add_row, percent
from dealias.cli.width_tables import width_changes
from dealias.metrics.functional import ARROWS, ERROR_KINDS, FEWEST_UNITS, MEANS
from dealias.text import printable

_LEAST_P = 0.001  # smaller values of p are printed as "<0.001"
_NO_CERTAINTY = ("-",) * 4
_UNTESTED = "?"


def print_differences(comparison: Mapping[str, Any], console: Console) -> None:
    """Print what :func:`dealias.report.compare_results` found: each figure of both, and B - A."""
    first, second = comparison["names"]
    tested = comparison["intervals"]["missing"] is None
    means = Table(title=f"A: {first}, B: {second}; in percent", title_justify="left")
    means.add_column("")
    for heading in ("A", "B", "B - A", "interval", "p", "better", "worse"):
        means.add_column(heading, justify="right")
    for name, way in ARROWS.items():
        mean = MEANS.get(name, name)
        pair = comparison["metrics"][mean]
        add_row(
            means,
            f"{mean} {arrow(way, console)}",
            *_sides(pair, console, tested=tested),
            *_certainty(pair),
        )
    for name, pair in (comparison["agreement"] or {}).items():
        heading = f"{name.replace('_', ' ')} {arrow('↑', console)}"
        add_row(means, heading, *_sides(pair, console, tested=tested), *_NO_CERTAINTY)
    classes = Table("class", title="B - A by class, in points", title_justify="left")
    for name, way in ARROWS.items():
        classes.add_column(f"{name} {arrow(way, console)}", justify="right")
    for row in comparison["classes"]:
        if row["IoU"]["a"] is None and row["IoU"]["b"] is None:  # in neither
            continue
        add_row(
            classes,
            row["name"],
            *(_difference(row[name], console, tested=tested) for name in ARROWS),
        )
    wrong = Table("wrong pixels")
    for heading in ("A", "B", "B - A"):
        wrong.add_column(heading, justify="right")
    for kind in ERROR_KINDS:
        pixels = comparison["error_pixels"][kind.key]
        counts = (f"{pixels['a']:,}", f"{pixels['b']:,}", f"{pixels['difference']:+,}")
        add_row(wrong, kind.title.lower(), *counts)
    for table in (means, classes, wrong):
        console.print(table)
    if tested:
        console.print(_note(comparison["intervals"], console), soft_wrap=True)
    if comparison["widths"] is not None:
        console.print(width_changes(comparison["widths"]))
    for note in comparison["notes"]:
        console.print(printable(note), soft_wrap=True)


def _sides(pair: Mapping[str, Any], console: Console, *, tested: bool) -> list[str]:
    return [percent(pair["a"]), percent(pair["b"]), _difference(pair, console, tested=tested)]


def _difference(pair: Mapping[str, Any], console: Console, *, tested: bool) -> str:
    """A difference in points, marked if it can't be told from zero or was itself not tested."""
    text = percent(pair["difference"], sign=True)
    told = pair.get("told")
    if pair["difference"] is None or told or not tested:
        return text
    return f"{_UNTESTED if told is None else _sign(console)} {text}"


def _certainty(pair: Mapping[str, Any]) -> list[str]:
    """Interval and p of a difference, and the numbers of images that got better and worse."""
    limits = pair["interval"]
    interval = "-" if limits is None else "..".join(percent(end, sign=True) for end in limits)
    p = "-" if pair["p"] is None else f"{pair['p']:.3f}"
    if pair["p"] is not None and pair["p"] < _LEAST_P:
        p = f"<{_LEAST_P}"
    numbers = (pair[key] for key in ("better", "worse"))
    return [interval, p, *("-" if number is None else f"{number:,}" for number in numbers)]


def _note(found: Mapping[str, Any], console: Console) -> str:
    unit = found["unit"]
    return (
        f"{_sign(console)}: can't be told from zero; {_UNTESTED}: not tested, such as a class that "
        f"fewer than {FEWEST_UNITS} {unit}s have. {found['level']:.0%} intervals and p by a paired "
        f"bootstrap over {found['units']:,} {unit}s, each p by itself; better and worse count "
        "images"
    )


def _sign(console: Console) -> str:
    return "≈" if console.encoding.startswith("utf") else "~"
