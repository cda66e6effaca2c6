"""Records of the inputs that a run's training began with, kept beside its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dealias.evaluation import digest_file
from dealias.files import make_parents, write_json
from dealias.inputs import read_json
from dealias.study.plans import Plan
from dealias.study.records import changed_inputs
from dealias.text import FileError

_FILE = "begun.json"


def write_begun(run: Path, inputs: Mapping[str, Any]) -> None:
    """Record the inputs of a training, before its first step.

    An existing checkpoint stays until that step. It belongs to another training, and is recorded as
    replaced.

    Args:
        run: folder of the run.
        inputs: inputs of its plan.

    Raises:
        OutputError: the file can't be written.
    """
    path, last = run / _FILE, run / "last.ckpt"
    make_parents(path)
    replaced = digest_file(last) if last.exists() else None
    write_json({**inputs, "replaced": replaced}, path)


def read_begun(run: Path) -> dict[str, Any] | None:
    """Read the record of :func:`write_begun`; None if there is none.

    Raises:
        FileError: the file is not such a record.
    """
    path = run / _FILE
    if not path.exists():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise FileError(path, "expected what dealias study writes before a training")
    return content


def changed_since_begun(run: Path, plan: Plan) -> list[str]:
    """What has changed since the training of a checkpoint began; empty if that is not known.

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
    """Whether a folder belongs to a variant: whether a study has begun a training in it."""
    return next(folder.glob(f"*/{_FILE}"), None) is not None
