"""study.json: the figures of each run, with what they depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dealias.files import write_json
from dealias.inputs import read_json
from dealias.study.figures import Test
from dealias.study.options import Plan, differences
from dealias.study.statistics import Figures
from dealias.text import FileError

_FORMAT = 1
Records = dict[str, Any]


def empty_records(task: str) -> Records:
    """Records of no run."""
    return {"study": _FORMAT, "task": task, "variants": {}, "runs": {}, "cost": None}


def read_records(path: Path, task: str) -> Records:
    """What study.json holds; records of no run if it is not there.

    Raises:
        FileError: it is not that of a study, or of another task.
    """
    if not path.exists():
        return empty_records(task)
    content = read_json(path)
    try:
        problem = _problem(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:
        raise FileError(path, f"expected what dealias study writes: {problem}")
    if content["task"] != task:
        raise FileError(path, f"expected a study of the task {task}, got {content['task']}")
    return {key: content[key] for key in empty_records(task)}


def _problem(content: Any) -> str | None:
    if not isinstance(content, dict) or content.get("study") != _FORMAT:
        return f"no format {_FORMAT}"
    for name, variant in content["variants"].items():
        if not isinstance(variant["options"], dict):
            return f"variants: {name}: expected options"
    for key, run in content["runs"].items():
        if key != run_key(run["variant"], run["seed"]) or run["variant"] not in content["variants"]:
            return f"runs: {key}: of no variant and seed"
        for test in run["tests"].values():
            if not isinstance(test["settings"], dict) or not isinstance(test["images"], int):
                return f"runs: {key}: expected settings and images of each test"
            if not all(_is_figure(value) for value in test["figures"].values()):
                return f"runs: {key}: expected figures from 0 to 1"
    cost = content["cost"]
    if cost is not None and not all(
        isinstance(value, float | int) and 0 < value < math.inf
        for row in cost["variants"].values()
        for value in row.values()
        if value is not None
    ):
        return "cost: expected numbers over 0"
    return None


def _is_figure(value: Any) -> bool:
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return value is None or (is_number and 0 <= value <= 1)


def run_key(variant: str, seed: int) -> str:
    """The key of a run, which is also its folder."""
    return f"{variant}/{seed}"


def conflicts(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> dict[str, list[str]]:
    """What was measured otherwise than asked: by variant, or by run and test; empty if nothing."""
    found = {}
    for plan in plans:
        kept = records["variants"].get(plan.variant.name)
        if kept is not None:
            differing = differences(kept["options"], plan.options, plan.defaults)
            if differing:
                found[plan.variant.name] = differing
    for key, test in _wanted(records, plans, seeds, tests):
        settings = records["runs"][key]["tests"].get(test.name, {}).get("settings")
        if settings is not None:
            differing = differences(settings, test.settings, {})
            if differing:
                found[f"{key}/{test.name}"] = differing
    return found


def drop(records: Records, conflicting: Sequence[str]) -> None:
    """Remove what :func:`conflicts` found from records."""
    for name in conflicting:
        variant, _, rest = name.partition("/")
        if rest:
            key, _, test = name.rpartition("/")
            if key in records["runs"]:
                del records["runs"][key]["tests"][test]
        else:
            del records["variants"][variant]
            runs = records["runs"].items()
            records["runs"] = {key: run for key, run in runs if run["variant"] != variant}
            records["cost"] = None


def _wanted(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> list[tuple[str, Test]]:
    keys = [run_key(plan.variant.name, seed) for plan in plans for seed in seeds]
    return [(key, test) for key in keys if key in records["runs"] for test in tests]


def missing_tests(records: Records, key: str, tests: Sequence[Test]) -> list[Test]:
    """The tests of a run whose figures are not there."""
    kept = records["runs"].get(key, {}).get("tests", {})
    return [test for test in tests if test.name not in kept]


def add_run(records: Records, plan: Plan, seed: int, found: Mapping[str, Any]) -> None:
    """Add what was found of a run; tests that it has already stay.

    Args:
        records: changed in place.
        plan: of the variant.
        seed: of the run.
        found: has "tests", and what these depend on.
    """
    name = plan.variant.name
    records["variants"].setdefault(name, {"options": dict(plan.options)})
    records["variants"][name]["arguments"] = list(plan.arguments)
    before = records["runs"].get(run_key(name, seed), {}).get("tests", {})
    run = {"variant": name, "seed": seed, **found, "tests": before | found["tests"]}
    records["runs"][run_key(name, seed)] = run


def figures_of(records: Records, test: Test) -> dict[tuple[str, int], Figures]:
    """The figures of a test, by variant and seed."""
    return {
        (run["variant"], run["seed"]): run["tests"][test.name]["figures"]
        for run in records["runs"].values()
        if test.name in run["tests"]
    }


def write_records(records: Records, path: Path, more: Mapping[str, Any]) -> None:
    """Write study.json, whole, with more that is worked out from it and not read again."""
    ordered = dict(sorted(records["runs"].items(), key=lambda item: _order(item[1])))
    write_json({**records, "runs": ordered, **more}, path)


def _order(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return run["variant"], run["seed"]
