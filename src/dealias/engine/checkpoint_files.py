"""Files of checkpoints: written completely or not at all, and read without running code."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from dealias.files import write_whole
from dealias.inputs import LARGEST_DIRECTORY, open_regular, open_zip
from dealias.models import read_checkpoint
from dealias.text import printable

_PICKLED = 2**20  # bytes to search for the mark of Lightning


class CheckpointError(ValueError):
    """A checkpoint can't be used; the message names the file."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints to a temporary file, moved into place once complete; reads only data."""

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[Path] = set()  # folders in which this process wrote checkpoints

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; after an error, an earlier file is unchanged.

        Raises:
            OutputError: the file can't be written, for example because the disk is full.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._folders.add(file.parent.resolve())
        with write_whole(file) as part:
            try:
                torch.save(checkpoint, part)
            except RuntimeError as error:  # the ZIP writer raises it over the system's error
                raise _cause_of(error) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint in a folder where this process wrote some, on a callback's request.

        A resumed callback reads file names from its checkpoint. A file that is not a checkpoint,
        or is in another folder, is therefore kept, with a warning.
        """
        file = Path(path)
        beside = file.parent.resolve() in self._folders and not file.is_symlink()
        if beside and is_checkpoint(file):
            file.unlink()
        elif file.exists():
            warnings.warn(
                f"{printable(file)}: is not removed: it is no checkpoint of this run", stacklevel=2
            )

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint that contains only tensors and plain values, to the CPU.

        Raises:
            WeightsError: the file does not exist, or contains anything else.
            CheckpointError: the file is not a checkpoint of a training.
        """
        checkpoint: Any = read_checkpoint(Path(path))
        if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
            raise CheckpointError(f"{printable(path)}: expected a checkpoint of dealias fit")
        problem = _first_problem(checkpoint)
        if problem is not None:
            raise CheckpointError(f"{printable(path)}: {problem}")
        return checkpoint


def _first_problem(checkpoint: Mapping[str, Any]) -> str | None:
    """The first thing that Lightning and :class:`dealias.engine.Training` would not write."""
    state = checkpoint["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        return "state_dict: expected tensors by name"
    parameters = checkpoint.get("hyper_parameters", {})
    if not isinstance(parameters, dict):
        return "hyper_parameters: expected a mapping"
    if not isinstance(parameters.get("network", {}), dict):
        return "hyper_parameters: network: expected a mapping"
    try:
        json.dumps(parameters.get("network"), sort_keys=True)
    except (TypeError, ValueError) as error:
        return f"hyper_parameters: network: expected plain values: {error}"
    classes = parameters.get("classes")
    names = classes.get("names") if isinstance(classes, dict) else classes
    if names is not None and not (
        isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    ):
        return "hyper_parameters: classes: expected their names"
    return None


def is_checkpoint(path: Path) -> bool:
    """Whether a regular file is a checkpoint that Lightning saved."""
    try:
        with open_regular(path) as file, open_zip(file, LARGEST_DIRECTORY) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as pickled:
                return b"pytorch-lightning_version" in pickled.read(_PICKLED)
    except (ValueError, OSError, zipfile.BadZipFile):
        return False


def _cause_of(error: RuntimeError) -> Exception:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error
