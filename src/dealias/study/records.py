"""study.json: the figures of each run, and what they depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dealias.files import write_json
from dealias.inputs import read_json
from dealias.study.dealiasing import spelled_out_earlier
from dealias.study.figures import Test
from dealias.study.options import differences
from dealias.study.plans import Plan
from dealias.study.statistics import Figures
from dealias.text import FileError, printable

_FORMAT = 1
_MADE_WITH = ("hardware", "environment", "commit")  # now stored with a test, formerly with a run
_COSTS = ("step", "prediction", "bytes")
Records = dict[str, Any]


def empty_records(task: str) -> Records:
    """Records without runs."""
    return {"study": _FORMAT, "task": task, "variants": {}, "runs": {}, "cost": None}


def read_records(path: Path, task: str) -> Records:
    """Read study.json; return records without runs if it does not exist.

    Raises:
        FileError: the file is not that of a study, or belongs to another task.
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
    content["runs"] = {key: _by_test(run) for key, run in content["runs"].items()}
    return {key: content[key] for key in empty_records(task)}


def _by_test(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run in which each test records what it was made with."""
    made = {key: run[key] for key in _MADE_WITH if key in run}
    rest = {key: value for key, value in run.items() if key not in _MADE_WITH}
    return rest | {"tests": {name: made | test for name, test in run["tests"].items()}}


def _problem(content: Any) -> str | None:
    if not isinstance(content, dict) or content.get("study") != _FORMAT:
        return f"no format {_FORMAT}"
    for name, variant in content["variants"].items():
        if not isinstance(variant["options"], dict):
            return f"variants: {name}: expected options"
    for key, run in content["runs"].items():
        if key != run_key(run["variant"], run["seed"]) or run["variant"] not in content["variants"]:
            return f"runs: {key}: of no variant and seed"
        if not isinstance(run.get("files", {}), dict):
            return f"runs: {key}: files: expected digests by option"
        for test in run["tests"].values():
            if not isinstance(test["settings"], dict) or not isinstance(test["images"], int):
                return f"runs: {key}: expected settings and images of each test"
            if not all(is_figure(value) for value in test["figures"].values()):
                return f"runs: {key}: expected figures from 0 to 1"
            if not all(isinstance((run | test)[name], dict) for name in _MADE_WITH[:2]):
                return f"runs: {key}: expected the hardware and environment of each test"
    cost = content["cost"]
    if cost is not None and not (
        isinstance(cost["device"], str)
        and isinstance(cost["rounds"], int)
        and all(_is_cost(row[key]) for row in cost["variants"].values() for key in _COSTS)
    ):
        return f"cost: expected device, rounds, and numbers over 0: {', '.join(_COSTS)}"
    return None


def _is_cost(value: Any) -> bool:
    return isinstance(value, float | int) and 0 < value < math.inf


def is_figure(value: Any) -> bool:
    """Whether a value is a fraction, or None for an undefined one."""
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return value is None or (is_number and 0 <= value <= 1)


def run_key(variant: str, seed: int) -> str:
    """The key of a run, which is also its folder."""
    return f"{variant}/{seed}"


def conflicts(
    records: Records, plans: Sequence[Plan], seeds: Sequence[int], tests: Sequence[Test]
) -> dict[str, list[str]]:
    """What was measured with other settings than requested, by variant, run, or run and test.

    What older records do not contain, such as which images were tested, is not a conflict.
    """
    found: dict[str, list[str]] = {}
    for plan in plans:
        kept = records["variants"].get(plan.variant.name)
        if kept is not None:
            before = spelled_out_earlier(kept["options"])
            differing = differences(before, plan.options, plan.defaults)
            if differing:
                found[plan.variant.name] = differing
    for plan in plans:
        for key in (run_key(plan.variant.name, seed) for seed in seeds):
            run = records["runs"].get(key)
            if run is not None:
                found |= _conflicts_of_run(key, run, plan, tests)
    return found


def _conflicts_of_run(
    key: str, run: Mapping[str, Any], plan: Plan, tests: Sequence[Test]
) -> dict[str, list[str]]:
    changed = changed_inputs(run, plan)
    if changed:
        return {key: changed}
    found = {}
    for test in tests:
        entry = run["tests"].get(test.name)
        if entry is None:
            continue
        differing = differences(entry["settings"], test.settings, {})
        if "tested_on" in entry and entry["tested_on"] != test.tested_on:
            differing.append("it was tested on other images or targets than there are now")
        if differing:
            found[f"{key}/{test.name}"] = differing
    return found


def changed_inputs(kept: Mapping[str, Any], plan: Plan) -> list[str]:
    """Inputs that have changed since a training began, for a message.

    Args:
        kept: "files" and "trained_on" of the training, as far as they are known.
        plan: plan of its variant, with the present inputs.
    """
    now = plan.files
    files = kept.get("files", now)
    changed = [name for name in {**files, **now} if files.get(name) != now.get(name)]
    found = [f"{printable(name)}: the file holds something else now" for name in changed]
    if kept.get("trained_on", plan.trained_on) != plan.trained_on:
        found.append("it was trained on other images or targets than there are now")
    return found


def drop(records: Records, conflicting: Sequence[str]) -> None:
    """Remove from records what :func:`conflicts` found."""
    for name in conflicting:
        variant, *rest = name.split("/")
        if len(rest) < 2:
            records["cost"] = None  # that of another network, perhaps
        if len(rest) == 1:
            records["runs"].pop(name, None)
        elif rest:
            key, _, test = name.rpartition("/")
            if key in records["runs"]:
                del records["runs"][key]["tests"][test]
        else:
            del records["variants"][variant]
            runs = records["runs"].items()
            records["runs"] = {key: run for key, run in runs if run["variant"] != variant}


def missing_tests(records: Records, key: str, tests: Sequence[Test]) -> list[Test]:
    """The tests of a run whose figures are missing."""
    kept = records["runs"].get(key, {}).get("tests", {})
    return [test for test in tests if test.name not in kept]


def add_run(
    records: Records, plan: Plan, seed: int, found: Mapping[str, Any], *, begun_here: bool = True
) -> None:
    """Add the results of a run; its earlier tests of the same checkpoint are kept.

    Args:
        records: the records, changed in place.
        plan: plan of the variant.
        seed: seed of the run.
        found: "tests", what these were made with, and "checkpoint", a digest.
        begun_here: whether a study began the training; otherwise the training data are unknown.
    """
    name, key = plan.variant.name, run_key(plan.variant.name, seed)
    records["variants"].setdefault(name, {"options": dict(plan.options)})
    records["variants"][name]["arguments"] = list(plan.arguments)
    kept = records["runs"].get(key, {})
    checkpoint = found.get("checkpoint")
    before = {} if kept.get("checkpoint", checkpoint) != checkpoint else kept.get("tests", {})
    inputs = plan.inputs if not before else {}  # the weights are older than this test
    if not begun_here:
        inputs.pop("trained_on", None)
    run = {"variant": name, "seed": seed, **inputs, **found}
    added = _by_test(run)
    records["runs"][key] = (kept if before else {}) | added | {"tests": before | added["tests"]}


def figures_of(records: Records, test: Test) -> dict[tuple[str, int], Figures]:
    """The figures of a test, by variant and seed."""
    return {
        (run["variant"], run["seed"]): run["tests"][test.name]["figures"]
        for run in records["runs"].values()
        if test.name in run["tests"]
    }


def write_records(records: Records, path: Path, more: Mapping[str, Any]) -> None:
    """Write study.json completely, with `more` that is derived from it and not read again."""
    ordered = dict(sorted(records["runs"].items(), key=lambda item: _order(item[1])))
    write_json({**records, "runs": ordered, **more}, path)


def _order(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return run["variant"], run["seed"]
