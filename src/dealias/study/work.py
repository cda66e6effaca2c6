"""Training and testing what is missing of a study, and summarising the whole."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dealias.environment import commit, hardware
from dealias.evaluation import digest_file
from dealias.files import write_whole
from dealias.inputs import read_json
from dealias.processes import Progress
from dealias.study.asked import Study
from dealias.study.begun import read_begun
from dealias.study.figures import CLEAN, DRAWN, Test
from dealias.study.folders import differing_runs
from dealias.study.plans import Plan
from dealias.study.plot import draw_study
from dealias.study.records import (
    Records,
    add_run,
    conflicts,
    drop,
    figures_of,
    missing_tests,
    run_key,
    write_records,
)
from dealias.study.results import read_tests
from dealias.study.runs import Job, run_jobs
from dealias.study.statistics import summarise
from dealias.study.tables import Table, notes_of, report, tables_of
from dealias.study.training import trained_steps
from dealias.study.variants import StudyError
from dealias.text import FileError, printable

_LISTED = 6  # differences in a message


@dataclass(frozen=True)
class Found:
    """The outcome of a study.

    Attributes:
        tables: means, differences and cost.
        notes: what a reader must know.
        failed: names of the runs that failed, and "cost" if the cost could not be measured.
        folder: folder of study.json, table.md and figure.png.
    """

    tables: Sequence[Table]
    notes: Sequence[str]
    failed: Sequence[str]
    folder: Path


class Work:
    """A running study: what remains to be done, what was found, and what failed."""

    def __init__(
        self,
        study: Study,
        plans: Sequence[Plan],
        tests: Sequence[Test],
        records: Records,
        file: Path,
    ) -> None:
        self.study = study
        self.plans = {plan.variant.name: plan for plan in plans}
        self.tests = tests
        self.records = records
        self.file = file
        self.failed: list[str] = []
        self.threads = 1 if study.jobs > 1 and not plans[0].on_gpu else None

    def jobs(self) -> list[Job]:
        """The remaining jobs; drops from the records what was measured with other settings.

        Raises:
            StudyError: there are such records, and they may not be replaced.
        """
        plans = list(self.plans.values())
        found = self._conflicts()
        drop(self.records, list(found) if self.study.overwrite else [])
        runs = [(plan, seed) for seed in self.study.seeds for plan in plans]
        lacking = {
            (plan.variant.name, seed): missing_tests(
                self.records, run_key(plan.variant.name, seed), self.tests
            )
            for plan, seed in runs
        }
        left = [(plan, seed) for plan, seed in runs if lacking[plan.variant.name, seed]]
        stale = differing_runs(self.study.output, left)
        # These runs have the same options, but begin with other files.
        keys = [run_key(plan.variant.name, seed) for plan, seed in left]
        stale |= {key: found[key] for key in keys if key in found}
        if stale and not self.study.overwrite:
            raise StudyError(_differing(self.file, stale))
        return [
            self._job(plan, seed, lacking[plan.variant.name, seed], stale) for plan, seed in left
        ]

    def _conflicts(self) -> dict[str, list[str]]:
        found = conflicts(self.records, list(self.plans.values()), self.study.seeds, self.tests)
        if found and not self.study.overwrite:
            raise StudyError(_differing(self.file, found))
        return found

    def check(self) -> None:
        """Refuse to summarise nothing, or what was measured with other settings.

        Raises:
            StudyError: there is no study.json, or its settings differ.
        """
        if not self.file.exists():
            raise StudyError(f"{printable(self.file)}: no such file: there is nothing to sum up")
        self._conflicts()

    def _job(self, plan: Plan, seed: int, lacking: Sequence[Test], stale: Mapping[str, Any]) -> Job:
        key = run_key(plan.variant.name, seed)
        run = self.study.output / key
        anew = key in stale
        if anew or self._is_of_another_training(run, plan, key):
            lacking = self.tests  # all tests must be of one training
        options = [*plan.arguments, "--seed_everything", str(seed)]
        options += ["--data.workers", "0"] if self.threads == 1 else []
        task = {
            "work": "train",
            "arguments": options,
            "folder": str(run),
            "tests": {test.name: test.arguments for test in lacking},
            "steps": plan.steps,
            "anew": anew,
            "inputs": plan.inputs,
            "tested_on": {test.name: test.tested_on for test in lacking},
        }
        return Job(key, task, run.with_name(f"{seed}.log"))

    def _is_of_another_training(self, run: Path, plan: Plan, key: str) -> bool:
        """Whether a checkpoint is not the one of the stored figures, or will be replaced."""
        try:
            if trained_steps(run) < plan.steps:
                return True
        except StudyError:  # the job will report it
            return False
        kept = self.records["runs"].get(key, {}).get("checkpoint")
        return kept is not None and kept != digest_file(run / "last.ckpt")

    def _begin(self, job: Job) -> None:
        """Drop the figures of a run that a job replaces, since the job may be stopped halfway."""
        if len(job.task["tests"]) == len(self.tests) and job.name in self.records["runs"]:
            del self.records["runs"][job.name]
            self._write()

    def train(self, jobs: Sequence[Job], tell: Callable[[str], object], progress: Progress) -> None:
        """Run jobs, and store the figures of each."""
        total = len(self.plans) * len(self.study.seeds)
        begun, ended = time.monotonic(), 0
        if len(jobs) < total:
            tell(f"{total - len(jobs)} of {total} runs are done already")
        with progress(len(jobs)) as advance:

            def done(job: Job, problem: str | None) -> None:
                nonlocal ended
                ended += 1
                advance()
                if problem is None:
                    problem = self._take(job)
                said = self._headline(job) if problem is None else f"failed: {problem}"
                if problem is not None:
                    self.failed.append(job.name)
                each = (time.monotonic() - begun) / ended
                left = (
                    f", about {_duration(each * (len(jobs) - ended))}" if ended < len(jobs) else ""
                )
                tell(f"{job.name}: {said}; {len(jobs) - ended} of {total} runs left{left}")

            at_once, threads = self.study.jobs, self.threads
            run_jobs(jobs, done, begin=self._begin, at_once=at_once, threads=threads)

    def _take(self, job: Job) -> str | None:
        """Store the figures in the folder of a job; return what is wrong with them, or None."""
        variant, _, seed = job.name.rpartition("/")
        folder = Path(job.task["folder"])
        asked = [test for test in self.tests if test.name in job.task["tests"]]
        try:
            tests = read_tests(folder / "tests", self.records["task"], asked)
            checkpoint = digest_file(folder / "last.ckpt")
            begun_here = read_begun(folder) is not None
        except (StudyError, FileError) as error:
            return str(error)
        threads = {} if self.threads is None else {"threads": self.threads}
        machine = {"hardware": hardware() | threads, "commit": commit()}
        found = {"tests": tests, "checkpoint": checkpoint, **machine}
        add_run(self.records, self.plans[variant], int(seed), found, begun_here=begun_here)
        self._write()
        return None

    def _headline(self, job: Job) -> str:
        name, _ = DRAWN[self.records["task"]]
        figures = self.records["runs"][job.name]["tests"].get(CLEAN, {}).get("figures", {})
        value = figures.get(name)
        return "done" if value is None else f"{name} {100 * value:.2f} %"

    def measure_cost(self, tell: Callable[[str], object]) -> list[str]:
        """Measure the cost of the variants unless it is known, and return warnings."""
        known = self.records["cost"]
        if known is not None and set(self.plans) <= set(known["variants"]):
            return []
        tell("measuring what the variants cost")
        path = self.study.output / "cost.json"
        task = {
            "work": "cost",
            "variants": {name: plan.arguments for name, plan in self.plans.items()},
            "folder": str(self.study.output),
            "path": str(path),
        }
        problems: list[str] = []
        job = Job("cost", task, path.with_suffix(".log"))
        run_jobs([job], lambda _, problem: problems.extend([problem] if problem else []))
        if problems:
            tell(f"cost: {problems[0]}")
            self.failed.append("cost")
            return ["the cost could not be measured"]
        self.records["cost"] = read_json(path)
        self._write()
        return []

    def _summary(self, test: Test) -> Any:
        return summarise(figures_of(self.records, test), list(self.plans), self.study.seeds)

    def _write(self) -> None:
        summary = {test.name: self._summary(test) for test in self.tests}
        write_records(self.records, self.file, {"summary": summary})

    def sum_up(self, warnings: Sequence[str]) -> Found:
        """Write the table and the figure."""
        plans, seeds, folder = list(self.plans.values()), self.study.seeds, self.file.parent
        notes = [*warnings, *notes_of(self.records, plans, seeds, self.tests)]
        self._write()
        with write_whole(folder / "table.md") as file:
            file.write(report(self.records, plans, seeds, self.tests, notes).encode())
        titles = {plan.variant.name: plan.variant.title for plan in plans}
        drawn = folder / "figure.png"
        if not draw_study(self.records["task"], self._summary(self.tests[0]), titles, drawn):
            drawn.unlink(missing_ok=True)
        tables = tables_of(self.records, plans, seeds, self.tests)
        return Found(tables, notes, self.failed, folder)


def _differing(file: Path, found: Mapping[str, Sequence[str]]) -> str:
    lines = [f"{name}: {difference}" for name, rows in found.items() for difference in rows]
    more = f"; and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    return (
        f"{printable(file)}: runs were trained or tested with other options or files: "
        f"{'; '.join(lines[:_LISTED])}{more}; --overwrite does them anew"
    )


def _duration(seconds: float) -> str:
    """A waiting time as text.

    >>> _duration(7500)
    '2 h 5 min'
    """
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
