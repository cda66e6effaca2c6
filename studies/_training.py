"""Trainings of several variants with several seeds: run what is missing, sum up, write.

One thread a run, so that the same processor gives the same bits.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._record import commit, hardware

from studies._summary import (
    Figures,
    difference_cell,
    markdown,
    mean_cell,
    summarise,
    table_of,
    value_cell,
)

Read = Callable[[Any], Figures]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is trained, and what is told of it.

    Variants, the baseline first, and trials, for the first seed alone, are options of
    ``dealias fit`` and ``dealias test``. `metrics` are the columns, with arrows to the better end;
    `read` finds them, and `read_classes` those by class, in a result.json, as fractions or None.
    """

    results: Path
    runs: Path
    variants: Mapping[str, Sequence[str]]
    trials: Mapping[str, Sequence[str]] = field(default_factory=dict)
    titles: Mapping[str, str]
    metrics: Mapping[str, str]
    read: Read
    class_metric: str = ""
    read_classes: Read | None = None
    recorded: Sequence[str] = ()  # what results.json keeps of every result.json as it is

    def commands(self, name: str, seed: int | str, output: str = "DIR") -> list[list[str]]:
        """Training, and the test of its last weights."""
        options = {**self.variants, **self.trials}[name]
        common = [*options, "--seed_everything", str(seed), "--output", output]
        common += ["--data.workers", "0", "--trainer.enable_progress_bar", "false"]
        return [
            ["dealias", "fit", *common, "--trainer.limit_val_batches", "0"],
            ["dealias", "test", *common, "--ckpt_path", "last"],
        ]


def main(study: Study, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Train and test what the folder of runs lacks, and write results.json and table.md."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=Path, default=study.runs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    options = parser.parse_args(arguments)
    seeds: list[int] = options.seeds
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        parser.error("--seeds: expected two at least, for a deviation, each once")
    jobs = [(name, seed) for seed in seeds for name in study.variants]
    jobs += [(name, seeds[0]) for name in study.trials]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda job: _run(study, job[0], job[1], options.runs), jobs)
        content = _content(study, dict(zip(jobs, results, strict=True)), seeds)
    study.results.mkdir(parents=True, exist_ok=True)
    (study.results / "results.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    (study.results / "table.md").write_text(_tables(study, content, seeds), "utf-8")


def _run(study: Study, name: str, seed: int, runs: Path) -> Any:
    """The result.json of a run, which is trained if there is none."""
    folder = runs / f"{name}_{seed}"
    result = folder / "test" / "result.json"
    if not result.is_file():
        for command in study.commands(name, seed, str(folder)):
            print(shlex.join(command), flush=True)
            replace = ["--overwrite", "true"]
            subprocess.run(
                [sys.executable, "-m", *command, *replace],
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
    return json.loads(result.read_text("utf-8"))


def _content(
    study: Study, results: Mapping[tuple[str, int], Any], seeds: Sequence[int]
) -> dict[str, Any]:
    """Everything that is written, in percent."""
    variants = list(study.variants)
    names = {job: f"{job[0]}_{job[1]}" for job in results}

    def figures(read: Read) -> dict[tuple[str, int], Figures]:
        return {job: _percent(read(result)) for job, result in results.items()}

    found = figures(study.read)
    content: dict[str, Any] = {
        "metrics": {names[job]: row for job, row in found.items()},
        "summary": summarise(found, variants, seeds),
    }
    if study.read_classes is not None:
        by_class = figures(study.read_classes)
        content["classes"] = {names[job]: row for job, row in by_class.items()}
        content["class_summary"] = summarise(by_class, variants, seeds)
    if study.recorded:
        content["tests"] = {
            names[job]: {key: result[key] for key in study.recorded}
            for job, result in results.items()
        }
    content["commands"] = {
        name: list(map(shlex.join, study.commands(name, "SEED"))) for name, _ in results
    }
    return content | {"hardware": hardware() | {"threads": 1}, "commit": commit()}


def _percent(figures: Figures) -> Figures:
    return {name: None if value is None else 100 * value for name, value in figures.items()}


def _tables(study: Study, content: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """Everything as Markdown."""
    summary, titles = content["summary"], study.titles
    heads = {metric: f"{metric} {arrow}" for metric, arrow in study.metrics.items()}
    baseline, *others = summary
    over = f"Mean and standard deviation over seeds {', '.join(map(str, seeds))}, in percent:"
    lines = [over, "", *table_of(summary, heads, titles, mean_cell)]
    if "class_summary" in content:
        by_class = content["class_summary"]
        classes = {name: name for name in by_class[baseline]}
        lines += ["", f"By class, {study.class_metric}:", ""]
        lines += table_of(by_class, classes, titles, mean_cell)
    lines += ["", "Paired difference to the baseline, and p of the t-test over seeds:", ""]
    differing = {name: summary[name] for name in others}
    lines += table_of(differing, heads, titles, difference_cell)
    trials = f"; trials for seed {seeds[0]} alone" if study.trials else ""
    runs = ((run.rpartition("_"), row) for run, row in content["metrics"].items())
    rows = (
        (f"{titles[name]}, seed {seed}", [value_cell(row[metric]) for metric in heads])
        for (name, _, seed), row in runs
    )
    lines += ["", f"Every run{trials}:", "", *markdown(heads.values(), rows)]
    return "\n".join(lines) + "\n"
