"""Checkpoints that are whole or not there, and are read without running what they hold."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from dealias.engine.training import TrainingError
from dealias.files import write_whole
from dealias.inputs import open_regular
from dealias.models import read_checkpoint
from dealias.text import printable

_PICKLED = 2**20  # bytes in which a checkpoint says whose it is


class CheckpointError(ValueError):
    """A checkpoint can't be used; the message names the file."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place, which they take once complete; reads data alone."""

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[Path] = set()  # in which this process wrote checkpoints

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; an error leaves the one that was there.

        Raises:
            OutputError: it can't be written, for want of space or otherwise.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._folders.add(file.parent.resolve())
        with write_whole(file) as part:
            try:
                torch.save(checkpoint, part)
            except RuntimeError as error:  # of the ZIP writer, over the system's error
                raise _cause_of(error) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint beside those that this process wrote, as a callback asks for.

        A callback that goes on from a checkpoint has names of files from it; what is not a
        checkpoint, or lies elsewhere, stays, with a warning.
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
        """Read a checkpoint that holds tensors and plain values, to the CPU.

        Raises:
            WeightsError: there is none, or it holds anything else.
            CheckpointError: it is no checkpoint of training.
        """
        checkpoint: Any = read_checkpoint(Path(path))
        if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
            raise CheckpointError(f"{printable(path)}: expected a checkpoint of dealias fit")
        return checkpoint


def check_averaging(checkpoint: Mapping[str, Any], trainer: Any, *, source: str) -> None:
    """Refuse to go on from an average of weights as if they had been trained.

    Lightning's WeightAveraging keeps the average as "state_dict" and the trained weights beside it,
    from which it alone goes on.

    Args:
        checkpoint: what training is to go on from.
        trainer: with its callbacks.
        source: the checkpoint's name, for the message.

    Raises:
        CheckpointError: it was saved with WeightAveraging, and the trainer has none.
    """
    kind: Any = getattr(pl.callbacks, "WeightAveraging", ())  # since Lightning 2.6
    averages = any(isinstance(callback, kind) for callback in trainer.callbacks)
    if "current_model_state" in checkpoint and not averages:
        raise CheckpointError(
            f"{source}: expected WeightAveraging among trainer.callbacks, as in the run that it is "
            f"of: its weights are an average, and the trained ones are kept beside them"
        )


def is_checkpoint(path: Path) -> bool:
    """Whether a regular file is a checkpoint that Lightning saved."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
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


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt, that of the highest figure in validation.

    Args:
        folder: where.
        monitor: name of the figure.
    """

    def __init__(self, folder: Path, monitor: str = "val/mIoU") -> None:
        super().__init__(folder, "best", monitor=monitor, mode="max", enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the highest figure from the run that goes on, if its best.ckpt is here.

        Lightning takes names of files, too, and removes what they name when a better one comes.
        """
        path = Path(str(self.dirpath)) / "best.ckpt"
        score, current = (state_dict.get(key) for key in ("best_model_score", "current_score"))
        if state_dict.get("dirpath") != self.dirpath or not path.is_file():
            return
        if not isinstance(score, Tensor) or score.numel() != 1 or not score.isfinite().all():
            return
        self.best_model_score = self.kth_value = score
        self.current_score = current if isinstance(current, Tensor) else None
        self.best_model_path = self.kth_best_model_path = str(path)
        self.best_k_models = {str(path): score}


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt, to resume from, as it is every few steps and after the last.

    It is saved before the hooks of the training's end, in which callbacks put averages in place of
    the trained weights. Weights that are not finite are not kept. It goes behind
    :class:`BestCheckpoint` among the callbacks, to know which was the best.

    Args:
        folder: where.
        every: optimizer steps from one to the next.

    Raises:
        ValueError: `every` is less than 1.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise ValueError(f"checkpoint_every: expected at least 1 step, got {every}")
        self.path = folder / "last.ckpt"
        self.every = every
        self._saved = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save if it is time, or the last step."""
        step = trainer.global_step
        is_last = trainer.should_stop or step == trainer.max_steps
        if step > self._saved and (is_last or step % self.every == 0):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the step anew that was saved before its validation, which a resumed run skips.

        Save it, too, if validation ends training.
        """
        step = trainer.global_step
        if not trainer.sanity_checking and step and (step == self._saved or trainer.should_stop):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end, where it was not known to be the last step."""
        if trainer.global_step > self._saved:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        for name, value in trainer.lightning_module.named_parameters():
            if not value.isfinite().all():
                raise TrainingError(
                    f"step {trainer.global_step}: {name} is not finite, as the step's gradient was "
                    f"not; a lower learning rate or a longer warm-up may help; "
                    f"{printable(self.path)} is as it was"
                )
        trainer.save_checkpoint(self.path)
        self._saved = trainer.global_step
