"""Reading the results of the tests of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dealias.inputs import read_json
from dealias.study.figures import Test, read_figures
from dealias.study.records import is_figure
from dealias.study.variants import StudyError
from dealias.text import FileError, printable, shorten


def read_tests(folder: Path, task: str, tests: Sequence[Test]) -> dict[str, dict[str, Any]]:
    """What study.json stores of each test, by name: settings, images, figures and so on.

    Args:
        folder: folder with TEST/result.json.
        task: task of the network.
        tests: the tests to read.

    Raises:
        StudyError: a result is missing, or is not as tests write it.
    """
    return {test.name: _read(folder / test.name / "result.json", task, test) for test in tests}


def _read(path: Path, task: str, test: Test) -> dict[str, Any]:
    try:
        result = read_json(path)
        figures = read_figures(task, result)
        images, environment = result["images"], result["environment"]
    except FileError as error:
        raise StudyError(str(error)) from error
    except (KeyError, TypeError) as error:
        raise StudyError(f"{printable(path)}: {error!r}") from error
    wrong = {name: value for name, value in figures.items() if not is_figure(value)}
    if wrong:
        raise StudyError(f"{printable(path)}: expected figures from 0 to 1, got {shorten(wrong)}")
    if not isinstance(images, int) or not isinstance(environment, dict):
        raise StudyError(
            f"{printable(path)}: expected a number of images and an environment, got "
            f"{shorten(images)} and {shorten(environment)}"
        )
    return {
        "settings": test.settings,
        "tested_on": test.tested_on,
        "images": images,
        "figures": figures,
        "environment": environment,
    }
