"""Further tests of each run: on the same images in another way, or on other images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dealias.engine import find_task, refuse_programs, resolve
from dealias.study.asked import Study
from dealias.study.figures import Test
from dealias.study.fingerprints import Known, digest_files, digest_options
from dealias.study.options import TRAINED_ON, changed_options, differences, locate
from dealias.study.plans import Plan, prepare, quiet, refusing
from dealias.study.variants import StudyError, Variant, command_line, flatten, read_named
from dealias.text import shorten

_OF_TRAINING = (*TRAINED_ON, "data.seed")  # data options without effect on tests


def read_conditions(path: Path) -> list[Variant]:
    """Read a file of further tests: a mapping of names to data options, with optional titles.

    Raises:
        FileError: the file can't be read, or is not such a mapping.
    """
    return read_named(path, "tests", least=1, sections=("data",))


def plan_conditions(
    study: Study, plan: Plan, task: str, others: Sequence[Test], known: Known
) -> list[Test]:
    """The tests that the conditions of a study ask for; see :func:`read_conditions`.

    Args:
        study: the study; paths in its file of conditions are relative to the folder of the file.
        plan: plan of the baseline. All variants are tested on the same data.
        task: task of the network.
        others: the other tests of the study.
        known: digests of files that were read already.

    Raises:
        FileError: the file can't be read, or is not such a mapping.
        StudyError: an option can't be used or does not concern tests, no option differs from the
            base, the classes are not those that the networks were trained for, or a name or title
            belongs to another test.
        ConfigError: an option names a class.
    """
    if study.conditions is None:
        return []
    conditions = read_conditions(study.conditions)
    for one in conditions:
        _check(one, others)
        refuse_programs(one.changes, [])
    folder, nowhere = study.conditions.parent.absolute(), study.output / "CONDITION"
    tests = []
    with quiet():
        base = prepare("test", plan.arguments, nowhere)
        for one in conditions:
            changes = resolve(one.changes, folder, find_task(task))
            arguments = command_line(changes)
            with refusing(one.name):
                prepared = prepare("test", [*plan.arguments, *arguments], nowhere)
                data, located = prepared.datamodule, locate(prepared.options)
                tested_on = digest_files(data.files("test"), known)
                files = digest_options(located, known)
            if _classes(data) != _classes(base.datamodule):
                raise StudyError(
                    f"{one.name}: expected the classes that the networks are trained for, got "
                    f"{shorten(_classes(data))}"
                )
            before, after = (  # what lies in the root is in `tested_on`
                {name: value for name, value in side.items() if name != "data.root"}
                for side in (locate(base.options), located)
            )
            differing = differences(before, after, dict(flatten(prepared.defaults)))
            if not differing and tested_on == plan.tested_on:
                raise StudyError(f"{one.name}: expected options of data that differ, got none")
            own = {name: d for name, d in files.items() if plan.files.get(name) != d}
            test = Test(
                one.name,
                one.title,
                changes=tuple(arguments),
                options=changed_options(changes) | ({"files": own} if own else {}),
                tested_on=tested_on,
            )
            tests.append(test)
    return tests


def _classes(data: Any) -> tuple[str, ...]:
    """Names of the classes of a data module."""
    return tuple(getattr(data.classes, "names", data.classes))


def _check(condition: Variant, others: Sequence[Test]) -> None:
    """Raise StudyError if a name or a title is taken, or an option of training is changed."""
    for test in others:
        if test.name == condition.name.lower() or test.title == condition.title:
            raise StudyError(f"{condition.name}: there is another test of this name")
    for name in changed_options(condition.changes, everything=True):
        if name.startswith(_OF_TRAINING):
            raise StudyError(f"{condition.name}: {name}: is an option of training, not of tests")
