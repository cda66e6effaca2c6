"""A study from its files to its table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from dealias.outputs import claim, folders_above
from dealias.processes import Progress
from dealias.study.asked import Study
from dealias.study.conditions import plan_conditions
from dealias.study.fingerprints import Known
from dealias.study.folders import check_folders
from dealias.study.plans import plan_variants, unequal_lengths
from dealias.study.records import read_records
from dealias.study.variants import baseline_first, read_variants
from dealias.study.work import Found, Work
from dealias.text import printable, told_conditions


def run_study(study: Study, *, tell: Callable[[str], object], progress: Progress) -> Found:
    """Train and test what is missing; write study.json after each run, and the table at the end.

    If interrupted, it writes the table of the finished runs and then raises KeyboardInterrupt.

    Args:
        study: settings of the study.
        tell: called with messages about the progress, line by line.
        progress: takes the number of runs, and gives a function to call after each.

    Raises:
        StudyError: the study can't be carried out, or differs from the one in the folder.
        OutputError: an output can't be written.
    """
    variants = read_variants(study.variants)
    if study.baseline is not None:
        variants = baseline_first(variants, study.baseline)
    known: Known = {}
    task, plans = plan_variants(study, variants, known)
    told = told_conditions(plans[0].conditions)
    tests = [replace(test, tested_on=plans[0].tested_on) for test in study.tests(task, told)]
    tests += plan_conditions(study, plans[0], task, tests, known)
    folder = study.results or study.output
    file = folder / "study.json"
    earlier = read_records(file, task)["variants"]
    check_folders(study.output, folder, plans, earlier, overwrite=study.overwrite)
    with ExitStack() as claims:
        for path in dict.fromkeys((study.output, file)):
            claims.enter_context(folders_above(path))
            claims.enter_context(claim(path))
        records = read_records(file, task)
        state = Work(study, plans, tests, records, file)
        warnings = unequal_lengths(plans)
        if study.summarise:
            state.check()
            return state.sum_up(warnings)
        jobs = state.jobs()
        for warning in warnings:
            tell(f"warning: {warning}")
        try:
            state.train(jobs, tell, progress)
        except KeyboardInterrupt:
            if records["runs"]:
                state.sum_up([*warnings, "the study was stopped before its end"])
                tell(f"stopped; table.md has what is done: {printable(folder)}")
            raise
        if study.cost:
            warnings += state.measure_cost(tell)
        return state.sum_up(warnings)
