"""Means, deviations and paired tests over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy import stats

Figures = Mapping[str, float | None]
Row = Mapping[str, float | None]
Summary = Mapping[str, Mapping[str, Row]]
_CONFIDENCE = 0.95


def summarise(
    found: Mapping[tuple[str, int], Figures], variants: Sequence[str], seeds: Sequence[int]
) -> Summary:
    """Mean and deviation over the seeds of each figure, and its paired difference to the baseline.

    The baseline is the first of the variants. "low" and "high" are the limits of the 95 %
    confidence interval of the mean difference by Student's t, "p" is that of the paired t-test, "n"
    is the number of seeds, and "pairs" the number of seeds that the baseline has, too. Values are
    None if a seed leaves the figure undefined, or with fewer than two seeds; "p" is also None if
    all differences are the same.

    Args:
        found: figures by variant and seed; runs may be missing.
        variants: names of the variants, the baseline first.
        seeds: the seeds to summarise.
    """
    baseline, summary = variants[0], {}
    known = {job: row for job, row in found.items() if job[0] in variants and job[1] in seeds}
    figures = list(dict.fromkeys(figure for row in known.values() for figure in row))
    for name in variants:
        own = [seed for seed in seeds if (name, seed) in known]
        both = [seed for seed in own if (baseline, seed) in known]
        rows = {}
        for figure in figures:
            row = _spread([known[name, seed].get(figure) for seed in own])
            if name != baseline:
                first, second = (
                    [known[which, seed].get(figure) for seed in both] for which in (name, baseline)
                )
                row |= _difference(first, second)
            rows[figure] = row
        summary[name] = rows
    return summary


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if len(known) < max(2, len(values)):
        return {"mean": None, "std": None, "n": len(known)}
    return {"mean": statistics.mean(known), "std": statistics.stdev(known), "n": len(known)}


def _difference(
    values: Sequence[float | None], plain: Sequence[float | None]
) -> dict[str, float | None]:
    pairs = [(a, b) for a, b in zip(values, plain, strict=True) if a is not None and b is not None]
    if len(pairs) < max(2, len(values)):
        keys = ("difference", "difference_std", "low", "high", "p")
        return dict.fromkeys(keys) | {"pairs": len(pairs)}
    differences = [a - b for a, b in pairs]
    mean, deviation = statistics.mean(differences), statistics.stdev(differences)
    same = deviation <= 1e-12 * max(abs(value) for pair in pairs for value in pair)  # but rounding
    quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(pairs) - 1))
    reach = quantile * deviation / math.sqrt(len(pairs))
    return {
        "difference": mean,
        "difference_std": deviation,
        "low": mean - reach,
        "high": mean + reach,
        "p": None if same else float(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue),
        "pairs": len(pairs),
    }
