"""Tables of results for papers, in Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dealias.files import write_whole
from dealias.metrics.functional import MEANS
from dealias.report.page import ARROWS
from dealias.text import check_name, escape_markdown, printable

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_TAKEN = ("[", "*")  # what the end of the line before a row would take for an option
_LATEX_ARROWS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
_ARROWS = tuple(ARROWS.values())


class Tables(NamedTuple):
    """One table in two formats."""

    markdown: str
    latex: str


def mean_table(results: Mapping[str, Mapping[str, Any]], *, bold: bool = True) -> Tables:
    """A table with the six figures of each result in a row, in percent, the best ones in bold.

    Args:
        results: results by name of the row, from :func:`read_result`.
        bold: mark the best of several; not for results that :func:`check_comparable` refuses.
    """
    rows = {
        name: [result["metrics"][MEANS.get(key, key)] for key in ARROWS]
        for name, result in results.items()
    }
    heads = [MEANS.get(key, key) for key in ARROWS]
    best = [_best(column, arrow) for column, arrow in zip(_columns(rows), _ARROWS, strict=True)]
    return _set("", heads, rows, best if bold and len(rows) > 1 else [None] * len(heads))


def class_table(result: Mapping[str, Any]) -> Tables:
    """A table with the six figures of each class in a row, in percent, and their means."""
    rows = {row["name"]: [row[key] for key in ARROWS] for row in result["classes"]}
    means = [result["metrics"][MEANS.get(key, key)] for key in ARROWS]
    return _set("class", list(ARROWS), rows, [None] * len(ARROWS), last=("mean", means))


def write_tables(folder: Path, name: str, tables: Tables) -> list[Path]:
    """Write NAME.md and NAME.tex, and return their paths.

    Raises:
        OutputError: a file can't be written.
        ValueError: the name has separators of folders.
    """
    check_name("name", name)
    paths = [folder / f"{name}.md", folder / f"{name}.tex"]
    for path, text in zip(paths, tables, strict=True):
        with write_whole(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    return paths


def escape_latex(text: str) -> str:
    r"""Escape text for LaTeX, on one line.

    >>> escape_latex("100% of a_b")
    '100\\% of a\\_b'
    """
    return "".join(_LATEX.get(sign, sign) for sign in printable(text))


def _columns(rows: Mapping[str, Sequence[float | None]]) -> list[list[float | None]]:
    return [list(column) for column in zip(*rows.values(), strict=True)]


def _best(values: Sequence[float | None], arrow: str) -> str | None:
    """The best value as printed, so that all values that print the same are marked."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return _percent(max(known) if arrow == "↑" else min(known))


def _percent(value: float | None) -> str:
    return "--" if value is None else f"{100 * value:.1f}"


def _set(
    corner: str,
    heads: Sequence[str],
    rows: Mapping[str, Sequence[float | None]],
    best: Sequence[str | None],
    last: tuple[str, Sequence[float | None]] | None = None,
) -> Tables:
    texts = {name: [_percent(value) for value in values] for name, values in rows.items()}

    def lines(escape: Callable[[str], str], bold: str) -> list[list[str]]:
        return [
            [escape(name)]
            + [
                bold.format(text) if text == top else text
                for text, top in zip(cells, best, strict=True)
            ]
            for name, cells in texts.items()
        ]

    end = None if last is None else [last[0], *map(_percent, last[1])]
    return Tables(
        _markdown(corner, heads, lines(escape_markdown, "**{}**"), end),
        _latex(corner, heads, lines(escape_latex, r"\textbf{{{}}}"), end),
    )


def _markdown(
    corner: str, heads: Sequence[str], rows: Sequence[Sequence[str]], last: list[str] | None
) -> str:
    marked = [f"{head} {arrow}" for head, arrow in zip(heads, _ARROWS, strict=True)]
    table = [[corner, *marked], [":--", *["--:"] * len(heads)], *rows, *([last] if last else [])]
    return "".join(f"| {' | '.join(row)} |\n" for row in table)


def _latex(
    corner: str, heads: Sequence[str], rows: Sequence[Sequence[str]], last: list[str] | None
) -> str:
    marked = [f"{head} {_LATEX_ARROWS[a]}" for head, a in zip(heads, _ARROWS, strict=True)]
    lines = [
        "% \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{l{'r' * len(heads)}}}",
        "\\toprule",
        f"{' & '.join([corner, *marked])} \\\\",
        "\\midrule",
        *(f"{_guard(row[0])}{' & '.join(row)} \\\\" for row in rows),
        *(["\\midrule", f"{' & '.join(last)} \\\\"] if last else []),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _guard(first: str) -> str:
    return "{}" if first.lstrip().startswith(_TAKEN) else ""
