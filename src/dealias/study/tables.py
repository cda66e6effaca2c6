"""The tables of a study, and the full report as Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dealias.study.figures import FIGURES, Test
from dealias.study.plans import FIXED, Plan
from dealias.study.records import Records, figures_of, run_key
from dealias.study.statistics import Row, Summary, summarise

UNDEFINED = "\N{EN DASH}"
_MIB = 2**20


@dataclass(frozen=True)
class Table:
    """A table: names of rows, and their cells.

    Attributes:
        title: what the table shows.
        heads: headings of the columns of cells.
        rows: name and cells of each row.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def tables_of(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> list[Table]:
    """The means and differences of each test, and the cost, as far as they were measured."""
    titles = {plan.variant.name: plan.variant.title for plan in plans}
    arrows = {figure.name: figure.arrow for figure in FIGURES[records["task"]]}
    tables = []
    for test in tests:
        summary = summarise(figures_of(records, test), list(titles), seeds)
        figures = list(summary[plans[0].variant.name])
        if not figures:
            continue
        heads = [f"{name} {arrows[name]}" for name in figures]
        others = {name: summary[name] for name in list(titles)[1:]}
        title = f"{test.title}: mean ± standard deviation over seeds, in percent"
        total = len(seeds)
        tables.append(Table(title, heads, _rows(summary, titles, _counted(mean_cell, "n", total))))
        title = (
            f"{test.title}: paired difference to {plans[0].variant.title} in points, "
            "[95 % confidence interval], p of the paired t-test"
        )
        cell = _counted(difference_cell, "pairs", total)
        tables.append(Table(title, heads, _rows(others, titles, cell)))
    return tables + ([] if records["cost"] is None else [_cost(records["cost"], titles)])


def _rows(
    summary: Summary, titles: Mapping[str, str], cell: Callable[[Row], str]
) -> list[tuple[str, list[str]]]:
    return [(titles[name], list(map(cell, row.values()))) for name, row in summary.items()]


def _counted(cell: Callable[[Row], str], key: str, total: int) -> Callable[[Row], str]:
    """A cell that says how many seeds it is based on, if not all."""

    def counted(row: Row) -> str:
        return cell(row) if row[key] == total else f"{cell(row)} ({row[key]} of {total} seeds)"

    return counted


def mean_cell(row: Row, scale: float = 100) -> str:
    """Mean ± deviation."""
    mean, deviation = row["mean"], row["std"]
    if mean is None or deviation is None:
        return UNDEFINED
    return f"{scale * mean:.2f} ± {scale * deviation:.2f}"


def difference_cell(row: Row) -> str:
    """Difference [interval], p.

    >>> difference_cell({"difference": 0.0042, "low": -0.001, "high": 0.0094, "p": 0.0912})
    '+0.42 [-0.10, +0.94], p 0.09'
    """
    mean, low, high, p = (row[key] for key in ("difference", "low", "high", "p"))
    if mean is None or low is None or high is None:
        return UNDEFINED
    interval = f"[{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"{100 * mean:+.2f} {interval}, p {_probability(p)}"


def _probability(p: float | None) -> str:
    if p is None:
        return UNDEFINED
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def _cost(cost: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    known = cost["variants"]
    first = known.get(next(iter(titles)))
    rows = []
    for name, title in titles.items():
        row = known.get(name)
        cells = [UNDEFINED] * 3
        if row is not None and first is not None:
            cells = [f"{row[key] / first[key]:.2f}" for key in ("step", "prediction", "bytes")]
        cells.append(UNDEFINED if row is None else f"{row['bytes'] / _MIB:,.0f}")
        rows.append((title, cells))
    memory = "peak of a step" if cost["device"] == "cuda" else "kept for the backward pass"
    title = (
        f"Cost, as a multiple of that of the first row; median of {cost['rounds']} rounds in turns"
    )
    heads = ["training step", "prediction of an image", f"memory, {memory}", "in MiB"]
    return Table(title, heads, rows)


def every_run(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> list[Table]:
    """The figures of each run, by test."""
    tables = []
    arrows = {figure.name: figure.arrow for figure in FIGURES[records["task"]]}
    for test in tests:
        found = figures_of(records, test)
        jobs = [
            (plan.variant, seed)
            for seed in seeds
            for plan in plans
            if (plan.variant.name, seed) in found
        ]
        if not jobs:
            continue
        names = list(dict.fromkeys(name for v, seed in jobs for name in found[v.name, seed]))
        rows = [
            (
                f"{variant.title}, seed {seed}",
                [_value(found[variant.name, seed].get(name)) for name in names],
            )
            for variant, seed in jobs
        ]
        tables.append(Table(f"{test.title}: every run", [f"{n} {arrows[n]}" for n in names], rows))
    return tables


def _value(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.2f}"


def markdown(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """The lines of a table whose first column names the rows."""
    heads = list(heads)
    lines = [f"| | {' | '.join(heads)} |", "|---" + "|---:" * len(heads) + "|"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]


def notes_of(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> list[str]:
    """What a reader must know: which runs are missing, and which were tested differently."""
    notes = []
    runs = records["runs"]
    keys = [run_key(plan.variant.name, seed) for seed in seeds for plan in plans]
    for test in tests:
        missing = [key for key in keys if test.name not in runs.get(key, {}).get("tests", {})]
        if missing:
            notes.append(f"{test.title}: missing: {', '.join(missing)}")
        images = {
            runs[key]["tests"][test.name]["images"]: key for key in keys if key not in missing
        }
        if len(images) > 1:
            differing = ", ".join(f"{count:,} in {key}" for count, key in images.items())
            notes.append(
                f"{test.title}: runs were tested on other numbers of images: {differing}; "
                f"their figures do not compare"
            )
    done = [row for test in tests for key in keys for row in _tests_of(runs, key, test)]
    notes += [
        f"the {what} of tests differs; study.json has that of each"
        for what in ("environment", "hardware", "commit")
        if len({str(row.get(what)) for row in done}) > 1
    ]
    if any("tested_on" not in row for row in done):
        notes.append("of some tests, study.json does not say which images they were on")
    if any("trained_on" not in runs[key] for key in keys if key in runs):
        notes.append("of some runs, study.json does not say which images they were trained on")
    cost = records["cost"]
    unknown = (
        []
        if cost is None
        else [p.variant.name for p in plans if p.variant.name not in cost["variants"]]
    )
    return notes + ([f"cost: not measured: {', '.join(unknown)}"] if unknown else [])


def _tests_of(runs: Mapping[str, Any], key: str, test: Test) -> list[Mapping[str, Any]]:
    row = runs.get(key, {}).get("tests", {}).get(test.name)
    return [] if row is None else [row]


def report(
    records: Records,
    plans: Sequence[Plan],
    seeds: Sequence[int],
    tests: Sequence[Test],
    notes: Sequence[str],
) -> str:
    """The full report in Markdown."""
    lines = [f"Seeds {', '.join(map(str, seeds))}. Each p is of one comparison alone.", ""]
    lines += [line for note in notes for line in (f"**Note:** {_escaped(note)}", "")]
    tables = tables_of(records, plans, seeds, tests)
    for table in [*tables, *every_run(records, plans, seeds, tests)]:
        rows = [(_escaped(name), cells) for name, cells in table.rows]
        lines += [f"{_escaped(table.title)}:", "", *markdown(table.heads, rows), ""]
    lines += ["Commands, for each seed:", "", "```sh"]
    for plan in plans:
        lines += commands(plan, tests)
    lines += ["```", "", *_made_with(records, plans, seeds, tests)]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def commands(plan: Plan, tests: Sequence[Test]) -> list[str]:
    """Shell commands that train and test a variant."""
    folder = f"OUTPUT/{plan.variant.name}/SEED"
    common = [*plan.arguments, "--seed_everything", "SEED", "--output", folder]
    lines = [shlex.join(["dealias", "fit", *common, *FIXED[:2]])]
    for test in tests:
        where = ["--ckpt_path", "last", "--results", f"{folder}/tests/{test.name}"]
        lines.append(shlex.join(["dealias", "test", *common, *where, *test.arguments]))
    return lines


def _made_with(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> list[str]:
    keys = [run_key(plan.variant.name, seed) for seed in seeds for plan in plans]
    done = (row for test in tests for key in keys for row in _tests_of(records["runs"], key, test))
    run = next(done, None)
    if run is None:
        return []
    versions = ", ".join(f"{name} {value}" for name, value in run["environment"].items())
    parts = {name: value for name, value in run["hardware"].items() if value is not None}
    hardware = ", ".join(f"{name.replace('_gib', ' (GiB)')} {v}" for name, v in parts.items())
    commit = "" if run.get("commit") is None else f" Commit {run['commit']}."
    return [f"Made with {versions}.{commit} On: {hardware}."]
