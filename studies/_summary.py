"""Means, deviations and paired tests over seeds, and the Markdown tables of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scipy import stats

UNDEFINED = "\N{EN DASH}"
Figures = Mapping[str, float | None]
Row = Mapping[str, float | None]
Summary = Mapping[str, Mapping[str, Row]]


def summarise(
    found: Mapping[tuple[str, int], Figures], variants: Sequence[str], seeds: Sequence[int]
) -> Summary:
    """Mean and deviation over the seeds of each figure, and its paired difference to the baseline.

    The baseline is the first of the variants. What a seed leaves undefined is None, and so is the p
    of a t-test of differences that are all the same.
    """
    baseline, summary = variants[0], {}
    for name in variants:
        rows = {}
        for figure in found[baseline, seeds[0]]:
            values, plain = ([found[n, seed][figure] for seed in seeds] for n in (name, baseline))
            row = _spread(values)
            if name != baseline:
                row |= _difference(values, plain)
            rows[figure] = row
        summary[name] = rows
    return summary


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {"mean": None, "std": None}
    return {"mean": statistics.mean(known), "std": statistics.stdev(known)}


def _difference(
    values: Sequence[float | None], plain: Sequence[float | None]
) -> dict[str, float | None]:
    pairs = [(a, b) for a, b in zip(values, plain, strict=True) if a is not None and b is not None]
    if len(pairs) < len(values):
        return {"difference": None, "difference_std": None, "p": None}
    differences = [a - b for a, b in pairs]
    deviation = statistics.stdev(differences)
    same = deviation <= 1e-12 * max(abs(value) for pair in pairs for value in pair)  # but rounding
    return {
        "difference": statistics.mean(differences),
        "difference_std": deviation,
        "p": None if same else float(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue),
    }


def markdown(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """The lines of a table whose first column names the rows."""
    heads = list(heads)
    lines = [f"| | {' | '.join(heads)} |", "|---" + "|---:" * len(heads) + "|"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]


def table_of(
    summary: Summary, heads: Mapping[str, str], titles: Mapping[str, str], cell: Callable[..., str]
) -> list[str]:
    """The lines of a table of variants by figures; `heads` are figures and what to call them."""
    rows = ((titles[name], [cell(row[f]) for f in heads]) for name, row in summary.items())
    return markdown(heads.values(), rows)


def mean_cell(row: Row) -> str:
    """Mean ± deviation."""
    return UNDEFINED if row["mean"] is None else f"{row['mean']:.2f} ± {row['std']:.2f}"


def difference_cell(row: Row) -> str:
    """Difference ± deviation (p)."""
    if row["difference"] is None:
        return UNDEFINED
    p = value_cell(row["p"])
    return f"{row['difference']:+.2f} ± {row['difference_std']:.2f} ({p})"


def value_cell(value: Any) -> str:
    """One value."""
    return UNDEFINED if value is None else f"{value:.2f}"
