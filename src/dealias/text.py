"""Write file names and labels into messages, Markdown and HTML."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_LONGEST_PROBLEM, _LONGEST_REASON = 3000, 600  # characters
_MARKDOWN = frozenset("\\`*_{}[]#|~$")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_SHORT = reprlib.Repr()  # abbreviates large values
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


def printable(text: Path | str) -> str:
    r"""Write a path or a name on one line, with control characters escaped.

    >>> print(printable("a\nb"))
    a\nb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def escape_markdown(text: str) -> str:
    r"""Escape text for Markdown and for HTML made from it, on one line.

    >>> escape_markdown("a|b <i>")
    'a\\|b &lt;i&gt;'
    """
    return "".join(
        _ENTITIES.get(sign, f"\\{sign}" if sign in _MARKDOWN else sign) for sign in printable(text)
    )


def html_table(rows: Sequence[Mapping[str, object]], *notes: str) -> str:
    """Return an HTML table for notebooks, with notes below; all text is escaped.

    >>> html_table([{"a": "<b>"}], "one row")
    '<table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table><p>one row</p>'
    """

    def line(tag: str, cells: Iterable[object]) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    heads = [line("th", rows[0])] if rows else []
    body = "".join([*heads, *(line("td", row.values()) for row in rows)])
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<table>{body}</table>{below}" if body else below


def without_image_suffix(name: str) -> str:
    """Remove the suffix of an image file; anything else after a dot is part of the name.

    >>> without_image_suffix("val/a.JPG"), without_image_suffix("scene.0001")
    ('val/a', 'scene.0001')
    """
    stem, dot, suffix = name.rpartition(".")
    is_image = suffix.lower() in ("bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp")
    return stem if dot and is_image else name


def told_conditions(result: Mapping[str, Any]) -> str:
    """Describe how "dark" and "noise" of a result changed the test images; empty if they didn't.

    >>> told_conditions({"dark": {"least": 9, "most": 99, "output": "srgb"}, "noise": 5})
    'in the dark (exposure ratio 9 to 99, srgb) and under noise, sigma 5 of 255'
    """
    dark, noise = result.get("dark"), result.get("noise")
    told = []
    if dark:
        ratio = f"exposure ratio {dark['least']:g} to {dark['most']:g}"
        told.append(f"in the dark ({ratio}, {dark['output']})")
    if noise:
        told.append(f"under noise, sigma {noise:g} of 255")
    return " and ".join(told)


def shorten(value: object, most: int = 60) -> str:
    """Write a value from a file for a message: like `repr`, but short and on one line.

    >>> shorten([1, "a"])
    "[1, 'a']"
    >>> shorten("ab" * 10**6, most=10)
    "'ababab..."
    """
    text = printable(_SHORT.repr(value))
    return text if len(text) <= most else f"{text[: most - 3]}..."


def plain_name(name: str) -> str:
    """Normalise a name, so that names that differ only in case, blanks, "-" and "_" are equal.

    >>> plain_name("Traffic-light") == plain_name("traffic light")
    True
    """
    return "".join(name.lower().replace("-", " ").replace("_", " ").split())


def check_name(argument: str, name: str) -> None:
    """Raise ValueError if the name of a file in a folder would lead out of the folder."""
    if set(name) & {"/", "\\", "\0"}:
        raise ValueError(f"{argument}: expected a name without separators, got {printable(name)!r}")


class FileError(ValueError):
    """A file can't be used. This error can be sent between processes.

    Attributes:
        path: the file.
        problem: what was expected and what was found.
    """

    def __init__(self, path: Path, problem: str) -> None:
        if len(problem) > _LONGEST_PROBLEM:
            problem = f"{problem[:_LONGEST_PROBLEM]} ..."
        self.path = path
        self.problem = problem
        super().__init__(f"{printable(path)}: {problem}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.problem)


def list_pixels(found: Sequence[tuple[object, int]], most: int = 8) -> str:
    """List the first `most` labels with their numbers of pixels.

    >>> list_pixels([(7, 12000), (9, 3)])
    '7 (12,000 px), 9 (3 px)'
    """
    listed = ", ".join(f"{label} ({pixels:,} px)" for label, pixels in found[:most])
    return listed + (f" and {len(found) - most} more" if len(found) > most else "")


def on_a_line(error: BaseException) -> str:
    """Return the whole message of an error, with its lines joined."""
    return " ".join(str(error).split())


def reason(error: BaseException) -> str:
    """Return the message of a decoder's or system error on one short line, without the file."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    text = str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    return printable(text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ...")
