"""What the training in the folder of a run began with, kept beside its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dealias.evaluation import digest_file
from dealias.files import make_parents, write_json
from dealias.inputs import read_json
from dealias.study.options import Plan
from dealias.study.records import changed_inputs
from dealias.text import FileError

_FILE = "begun.json"


def write_begun(run: Path, inputs: Mapping[str, Any]) -> None:
    """Write what a training begins with, before its first step.

    A checkpoint that is there stays until then; it is of another training, and named as such.

    Args:
        run: folder of the run.
        inputs: of its plan.

    Raises:
        OutputError: it can't be written.
    """
    path, last = run / _FILE, run / "last.ckpt"
    make_parents(path)
    replaced = digest_file(last) if last.exists() else None
    write_json({**inputs, "replaced": replaced}, path)


def read_begun(run: Path) -> dict[str, Any] | None:
    """What :func:`write_begun` wrote; None if the training was not begun by a study that did.

    Raises:
        FileError: the file is no such one.
    """
    path = run / _FILE
    if not path.exists():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise FileError(path, "expected what dealias study writes before a training")
    return content


def changed_since_begun(run: Path, plan: Plan) -> list[str]:
    """What is not as it was when the training of a checkpoint began; none if that is not known.

    Raises:
        FileError: a file can't be read.
    """
    begun = read_begun(run)
    if begun is None:
        return []
    replaced = begun.get("replaced")
    if replaced is not None and replaced == digest_file(run / "last.ckpt"):
        return ["last.ckpt is of the training that one begun later was to replace"]
    return changed_inputs(begun, plan)


def holds_begun(folder: Path) -> bool:
    """Whether a folder is that of a variant: whether a study has begun a training in it."""
    return next(folder.glob(f"*/{_FILE}"), None) is not None
