"""Make tables of results for papers, in Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dealias.files import write_whole
from dealias.metrics.functional import ARROWS, MEAN_FIGURES
from dealias.report.comparison import check_comparable
from dealias.report.paired import check_targets, paired_differences
from dealias.report.result_files import ResultFileError
from dealias.report.units import Units, units_of
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
_TAKEN = ("[", "*")  # the end of the previous row would take these for an option
_LATEX_ARROWS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
_ARROWS = tuple(ARROWS.values())
_NONE = "No best value is bold"


class Tables(NamedTuple):
    """One table in two formats."""

    markdown: str
    latex: str


def mean_table(results: Mapping[str, Mapping[str, Any]], *, bold: bool = True) -> Tables:
    """Make a table with a row for each result, with its six figures in percent.

    With several results, the best figure is bold if a paired bootstrap, as in
    :func:`compare_results`, distinguishes it from every other defined figure. A note below the
    table, in LaTeX a comment, says so, or says why none is bold, for instance because results lack
    the margins of their images.

    Args:
        results: results from :func:`read_result`, by name of the row.
        bold: whether to mark the best of several results.

    Raises:
        ResultFileError: with `bold`, :func:`check_comparable` refuses the results, or their groups
            differ.
    """
    rows = {
        name: [result["metrics"][head] for head in MEAN_FIGURES] for name, result in results.items()
    }
    if len(rows) < 2:
        return _set("", MEAN_FIGURES, rows)
    if not bold:
        return _set("", MEAN_FIGURES, rows, note=f"{_NONE}: the results can't be compared.")
    marks, note = _told_best(results, rows)
    return _set("", MEAN_FIGURES, rows, marks, note=note)


def class_table(result: Mapping[str, Any]) -> Tables:
    """Make a table with a row for each class, with its six figures in percent, and their means."""
    rows = {row["name"]: [row[key] for key in ARROWS] for row in result["classes"]}
    means = [result["metrics"][key] for key in MEAN_FIGURES]
    return _set("class", list(ARROWS), rows, last=("mean", means))


def write_tables(folder: Path, name: str, tables: Tables) -> list[Path]:
    """Write NAME.md and NAME.tex, and return their paths.

    Raises:
        OutputError: a file can't be written.
        ValueError: the name has path separators.
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


def _told_best(
    results: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Sequence[float | None]]
) -> tuple[set[tuple[str, str]], str]:
    """Find the best values that differ from all others, as row and head, with a note on them."""
    (first, one), *others = results.items()
    classes = [row["name"] for row in one["classes"]]
    units: dict[str, Units] = {name: units_of(result) for name, result in results.items()}
    for name, other in others:
        check_comparable(one, other, names=(first, name))
        check_targets(units[first], units[name], len(classes), (first, name))
    units = _in_one_grouping(units)

    @cache
    def differ(a: str, b: str) -> dict[str, Any]:
        return paired_differences(units[a], units[b], classes, (a, b), None)

    marks = set()
    about: dict[str, Any] = {}
    for index, (head, arrow) in enumerate(zip(MEAN_FIGURES, _ARROWS, strict=True)):
        known = {name: value for name, row in rows.items() if (value := row[index]) is not None}
        if not known:
            continue
        best = (max if arrow == "↑" else min)(known, key=known.__getitem__)
        found = [differ(*sorted((best, name))) for name in known if name != best]
        for about in (differences["about"] for differences in found):
            if about["missing"] is not None:
                return set(), f"{_NONE}: {about['missing']}."
        if found and all(differences["metrics"][head]["told"] for differences in found):
            marks.add((best, head))
    if not about:
        return marks, f"{_NONE}: none is defined."
    return marks, (
        f"Bold is a best value that a paired bootstrap over {about['unit']}s tells from every "
        f"other (level {about['level']:g})."
    )


def _in_one_grouping(units: Mapping[str, Units]) -> dict[str, Units]:
    """Return the units of results of the same images, all in the groups that some results have."""
    order = sorted(next(iter(units.values())))
    groupings = {tuple(of[name].group for name in order) for of in units.values()}
    groupings -= {("",) * len(order)}
    if len(groupings) > 1:
        raise ResultFileError("expected the same groups in all results")
    if not groupings:
        return dict(units)
    grouped = dict(zip(order, *groupings, strict=True))
    return {
        result: {name: unit._replace(group=grouped[name]) for name, unit in of.items()}
        for result, of in units.items()
    }


def _percent(value: float | None) -> str:
    return "--" if value is None else f"{100 * value:.1f}"


def _set(
    corner: str,
    heads: Sequence[str],
    rows: Mapping[str, Sequence[float | None]],
    marks: Collection[tuple[str, str]] = (),
    *,
    last: tuple[str, Sequence[float | None]] | None = None,
    note: str = "",
) -> Tables:
    """Typeset a table; `marks` holds row and head of the bold values."""

    def lines(escape: Callable[[str], str], bold: str) -> list[list[str]]:
        return [
            [escape(name)]
            + [
                bold.format(_percent(value)) if (name, head) in marks else _percent(value)
                for head, value in zip(heads, values, strict=True)
            ]
            for name, values in rows.items()
        ]

    end = None if last is None else [last[0], *map(_percent, last[1])]
    return Tables(
        _markdown(corner, heads, lines(escape_markdown, "**{}**"), end, note),
        _latex(corner, heads, lines(escape_latex, r"\textbf{{{}}}"), end, note),
    )


def _markdown(
    corner: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    last: list[str] | None,
    note: str,
) -> str:
    marked = [f"{head} {arrow}" for head, arrow in zip(heads, _ARROWS, strict=True)]
    table = [[corner, *marked], [":--", *["--:"] * len(heads)], *rows, *([last] if last else [])]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in table)
    return f"{lines}\n{escape_markdown(note)}\n" if note else lines


def _latex(
    corner: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    last: list[str] | None,
    note: str,
) -> str:
    marked = [f"{head} {_LATEX_ARROWS[a]}" for head, a in zip(heads, _ARROWS, strict=True)]
    lines = [
        "% \\usepackage{booktabs}",
        *([f"% {printable(note)}"] if note else []),
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
