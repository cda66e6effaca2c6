"""One run of a study: train it as far as needed, and test it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dealias.engine import Commands, WholeCheckpoints
from dealias.study.begun import write_begun
from dealias.study.fingerprints import digest_files
from dealias.study.plans import FIXED
from dealias.study.variants import StudyError
from dealias.text import printable


def train_and_test(
    arguments: Sequence[str],
    folder: str,
    tests: Mapping[str, Sequence[str]],
    *,
    steps: int,
    anew: bool,
    inputs: Mapping[str, Any],
    tested_on: Mapping[str, str | None],
) -> None:
    """Train and test in the folder of a run.

    Args:
        arguments: arguments of ``dealias fit`` and ``dealias test``, without the output.
        folder: folder of the run.
        tests: further arguments of ``dealias test``, by the name of a folder in tests/.
        steps: number of training steps.
        anew: whether to replace an existing training; otherwise it is continued.
        inputs: inputs of the plan.
        tested_on: digest of the images and targets of each test.

    Raises:
        StudyError: the training ended at another step, or images or targets are not those of the
            plan.
    """
    run = Path(folder)
    common = [*arguments, "--output", folder, *FIXED]
    done = 0 if anew else trained_steps(run)
    if not done:
        write_begun(run, inputs)
    if done < steps:
        begin = ["--ckpt_path", "last"] if done else ["--overwrite", "true"]
        fitted = Commands("fit", [*common, *begin])
        _check_files(fitted.datamodule, "train", inputs["trained_on"])
        done = trained_steps(run)
    if done != steps:
        raise StudyError(f"{printable(run)}: expected {steps} steps of training, got {done}")
    for name, more in tests.items():
        where = ["--results", str(run / "tests" / name), "--overwrite", "true"]
        tested = Commands("test", [*common, "--ckpt_path", "last", *where, *more])
        _check_files(tested.datamodule, "test", tested_on[name])


def _check_files(data: Any, part: str, expected: str | None) -> None:
    """Raise StudyError if files of "train" or "test" no longer have the expected digest."""
    if digest_files(data.files(part), {}) != expected:
        raise StudyError(
            f"data: expected the images and targets of {part} that were there when the study was "
            f"started, got others"
        )


def trained_steps(folder: Path) -> int:
    """The step of the checkpoint of a run; 0 without one.

    Raises:
        StudyError: the checkpoint can't be read.
    """
    path = folder / "last.ckpt"
    if not path.exists():
        return 0
    try:
        return int(WholeCheckpoints().load_checkpoint(path)["global_step"])
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{error}; without this file, the run is trained anew") from error
