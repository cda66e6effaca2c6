"""Writing files and labels into messages, Markdown and HTML."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_LONGEST_PROBLEM, _LONGEST_REASON = 3000, 600  # characters
_MARKDOWN = frozenset("\\`*_{}[]#|~$")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_SHORT = reprlib.Repr()  # never writes the whole of a large value
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


def printable(text: Path | str) -> str:
    r"""Write a path or a name on one line: control characters escaped, all else as it is.

    >>> print(printable("a\nb"))
    a\nb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def escape_markdown(text: str) -> str:
    r"""Escape text for Markdown and HTML made from it, on one line.

    >>> escape_markdown("a|b <i>")
    'a\\|b &lt;i&gt;'
    """
    return "".join(
        _ENTITIES.get(sign, f"\\{sign}" if sign in _MARKDOWN else sign) for sign in printable(text)
    )


def html_table(rows: Sequence[Mapping[str, object]], *notes: str) -> str:
    """A table as notebooks show it, with notes below: text of any kind, escaped.

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
    """A name without the suffix of a picture: what else comes after a dot is a part of it.

    >>> without_image_suffix("val/a.JPG"), without_image_suffix("scene.0001")
    ('val/a', 'scene.0001')
    """
    stem, dot, suffix = name.rpartition(".")
    is_image = suffix.lower() in ("bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp")
    return stem if dot and is_image else name


def told_conditions(result: Mapping[str, Any]) -> str:
    """How the images of a test were changed, by "dark" and "noise" of its result; else empty.

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
    """Write a value from a file into a message: as `repr`, but on one line and short.

    >>> shorten([1, "a"])
    "[1, 'a']"
    >>> shorten("ab" * 10**6, most=10)
    "'ababab..."
    """
    text = printable(_SHORT.repr(value))
    return text if len(text) <= most else f"{text[: most - 3]}..."


def plain_name(name: str) -> str:
    """Write a name so that those are equal that differ in case, blanks, "-" and "_" alone.

    >>> plain_name("Traffic-light") == plain_name("traffic light")
    True
    """
    return "".join(name.lower().replace("-", " ").replace("_", " ").split())


def check_name(argument: str, name: str) -> None:
    """Raise ValueError if what names a file in a folder would lead out of it."""
    if set(name) & {"/", "\\", "\0"}:
        raise ValueError(f"{argument}: expected a name without separators, got {printable(name)!r}")


class FileError(ValueError):
    """A file can't be used. It can be sent between processes.

    Attributes:
        path: the file.
        problem: what was expected and what came.
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
    """List labels with their numbers of pixels, the first `most` of them.

    >>> list_pixels([(7, 12000), (9, 3)])
    '7 (12,000 px), 9 (3 px)'
    """
    listed = ", ".join(f"{label} ({pixels:,} px)" for label, pixels in found[:most])
    return listed + (f" and {len(found) - most} more" if len(found) > most else "")


def reason(error: BaseException) -> str:
    """What an error of a decoder or of the system says, on one short line and without the file."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    text = str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    return printable(text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ...")
