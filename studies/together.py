"""``python -m studies.together FOLDER ... --variant NAME``: one variant over several studies.

Each folder holds the study.json of a ``dealias study`` on another network or other data. The
table has the mean paired difference to the baseline in each study, and over all of them: every
study has the same weight, and the error of the mean comes from the deviation within each study,
with the degrees of freedom of Welch and Satterthwaite. It holds for these networks, and does not
say how others would vary. Writes NAME.md and NAME.json.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from dealias.files import write_json, write_whole
from dealias.inputs import read_json
from dealias.metrics.functional import ARROWS
from dealias.study import markdown

RESULTS = Path(__file__).parents[1] / "results" / "filters"
BASELINE = "baseline"
_CONFIDENCE = 0.95


def differences_of(study: Mapping[str, Any], variant: str, test: str) -> dict[str, list[float]]:
    """The differences between a variant and the baseline by figure, in points, for each seed.

    Args:
        study: content of study.json.
        variant: name of the variant.
        test: name of the test, such as "clean".

    Raises:
        ValueError: fewer than two seeds have both.
    """
    runs = study["runs"]
    figures = {
        name: {run["seed"]: run["tests"][test]["figures"] for run in own}
        for name in (variant, BASELINE)
        if (own := [run for run in runs.values() if run["variant"] == name])
    }
    seeds = sorted(set(figures.get(variant, {})) & set(figures.get(BASELINE, {})))
    if len(seeds) < 2:
        raise ValueError(f"{variant}: expected at least two seeds, with {BASELINE}, got {seeds}")
    return {
        figure: [100 * (figures[variant][s][figure] - figures[BASELINE][s][figure]) for s in seeds]
        for figure in figures[variant][seeds[0]]
    }


def pool(studies: Sequence[Sequence[float]]) -> dict[str, float]:
    """The mean of the means of several studies, with its 95 % interval and p."""
    count = len(studies)
    squares = [statistics.variance(one) / len(one) for one in studies]
    error = math.sqrt(sum(squares)) / count
    freedom = sum(squares) ** 2 / sum(
        square**2 / (len(one) - 1) for square, one in zip(squares, studies, strict=True)
    )
    mean = statistics.fmean(statistics.fmean(one) for one in studies)
    reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, freedom)) * error
    return {
        "difference": mean,
        "low": mean - reach,
        "high": mean + reach,
        "p": float(2 * stats.t.sf(abs(mean) / error, freedom)),
    }


def together(studies: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Each figure that all studies have: by study, pooled, and in how many runs it is better."""
    first, *others = studies.values()
    found = {}
    for figure in first:
        if not all(figure in one for one in others):
            continue
        parts = {name: list(one[figure]) for name, one in studies.items()}
        sign = -1 if ARROWS.get(figure) == "↓" else 1
        every = [value for part in parts.values() for value in part]
        found[figure] = {
            "studies": {name: statistics.fmean(part) for name, part in parts.items()},
            **pool(list(parts.values())),
            "better": sum(sign * value > 0 for value in every),
            "runs": len(every),
        }
    return found


def table(found: Mapping[str, Any]) -> str:
    """The figures in Markdown, in points."""
    names = list(next(iter(found.values()))["studies"])
    rows = []
    for figure, row in found.items():
        cells = [f"{row['studies'][name]:+.2f}" for name in names]
        cells.append(f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]")
        cells += [_probability(row["p"]), f"{row['better']} of {row['runs']}"]
        rows.append((f"{figure} {ARROWS.get(figure, '↑')}", cells))
    heads = [*names, "mean [95 % interval]", "p", "better"]
    return "\n".join([*markdown(heads, rows), ""])


def _probability(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def main() -> None:
    """Read the studies, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("studies", nargs="+", type=Path, help="folders with study.json")
    parser.add_argument("--variant", default="daf_after")
    parser.add_argument("--test", default="clean")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = together(
        {
            path.name: differences_of(read_json(path / "study.json"), options.variant, options.test)
            for path in options.studies
        }
    )
    text = table(found)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    stem = f"{options.variant}_{options.test}"
    write_json(found, options.output / f"{stem}.json")
    with write_whole(options.output / f"{stem}.md") as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
