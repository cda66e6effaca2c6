"""Check the content of JSON files against an expected shape.

A shape is a mapping of keys to shapes, where keys that end in "?" may be missing and other keys are
allowed; a list with the shape of all its entries; `str`; a set of texts; None; or one of the
classes below.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from dealias.text import shorten

_LONGEST_TEXT = 10_000  # characters


class Number(NamedTuple):
    """A number between limits, which may have to be an integer."""

    low: float
    high: float
    whole: bool = False

    def __str__(self) -> str:
        kind = "an integer" if self.whole else "a number"
        return f"{kind} in [{self.low:g}, {self.high:g}]"


class Text(NamedTuple):
    """Text that a pattern matches completely, and a description of it."""

    what: str
    pattern: re.Pattern[str]


class Or(NamedTuple):
    """One shape or another."""

    shapes: tuple[Any, ...]


def maybe(shape: Any) -> Or:
    """The shape, or null."""
    return Or((None, shape))


def find_fault(value: Any, shape: Any) -> tuple[str, str] | None:
    """Find where a value differs from its shape, and how; None if it fits."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return "", f"expected a mapping, got {shorten(value)}"
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name in value:
                fault = find_fault(value[name], inner)
                if fault is not None:
                    return _inside(name, *fault)
            elif name == key:
                return "", f"lacks {key!r}"
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return "", f"expected a list, got {shorten(value)}"
        faults = ((index, find_fault(entry, shape[0])) for index, entry in enumerate(value))
        found = next(((index, fault) for index, fault in faults if fault is not None), None)
        return None if found is None else _inside(f"[{found[0]}]", *found[1])
    if isinstance(shape, Or):
        faults_of = [find_fault(value, one) for one in shape.shapes if not (one is value is None)]
        return None if len(faults_of) < len(shape.shapes) or None in faults_of else faults_of[-1]
    expected = _leaf_problem(value, shape)
    return None if expected is None else ("", f"expected {expected}, got {shorten(value)}")


def _leaf_problem(value: Any, shape: Any) -> str | None:
    """Say what was expected instead of a wrong number or text; None if it is valid."""
    if isinstance(shape, Number):
        if isinstance(value, bool) or not isinstance(value, int if shape.whole else (int, float)):
            return "an integer" if shape.whole else "a number"
        return None if shape.low <= value <= shape.high else str(shape)
    if shape is None:
        return None if value is None else "null"
    if not isinstance(value, str):
        return "text"
    if isinstance(shape, frozenset):
        return None if value in shape else f"one of {', '.join(sorted(shape))}"
    if isinstance(shape, Text):
        return None if shape.pattern.fullmatch(value) else shape.what
    return None if len(value) <= _LONGEST_TEXT else f"at most {_LONGEST_TEXT:,} characters"


def _inside(outer: str, place: str, problem: str) -> tuple[str, str]:
    dot = "." if place and not place.startswith("[") else ""
    return f"{outer}{dot}{place}", problem
