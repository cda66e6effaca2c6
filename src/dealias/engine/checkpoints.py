"""Callbacks that save best.ckpt and last.ckpt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor

from dealias.engine.filter_ramp import FilterRamp
from dealias.engine.training import TrainingError
from dealias.models import read_checkpoint
from dealias.text import printable


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt, the checkpoint with the highest figure in validation.

    With a filter ramp, nothing is saved until the filters have their full strength: before that,
    the network is not the requested one.

    Args:
        folder: folder of the checkpoint.
        monitor: name of the figure.
        resumes: whether a resumed training resumes in its own folder. A best.ckpt of an earlier
            training in another one is replaced.
    """

    def __init__(self, folder: Path, monitor: str = "val/mIoU", *, resumes: bool = True) -> None:
        super().__init__(folder, "best", monitor=monitor, mode="max", enable_version_counter=False)
        self.resumes = resumes

    def on_validation_end(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        """Save if the figure is the highest so far and the filters have their full strength."""
        ramps = (c for c in trainer.callbacks if isinstance(c, FilterRamp))
        last = trainer.global_step - 1  # the step that set the strength
        if all(ramp.strength(last, trainer.max_steps) == 1 for ramp in ramps):
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the highest figure from the resumed run, if its best.ckpt is in this folder.

        The folder may have been moved in between. Lightning's method would also take file names,
        and later remove the files they name.
        """
        path = Path(str(self.dirpath)) / "best.ckpt"
        score, current = (state_dict.get(key) for key in ("best_model_score", "current_score"))
        if not isinstance(score, Tensor) or score.numel() != 1 or not score.isfinite().all():
            return
        is_here = state_dict.get("dirpath") == self.dirpath or self._is_of(path, score)
        if not (self.resumes and is_here and path.is_file()):
            return
        self.best_model_score = self.kth_value = score
        self.current_score = current if isinstance(current, Tensor) else None
        self.best_model_path = self.kth_best_model_path = str(path)
        self.best_k_models = {str(path): score}

    def _is_of(self, path: Path, score: Tensor) -> bool:
        """Whether a file is the checkpoint that had the figure."""
        try:
            state = read_checkpoint(path)["callbacks"][self.state_key]
            return bool(state["best_model_score"] == score)
        except (ValueError, LookupError, TypeError):
            return False


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt, to resume from, saved every few steps and after the last one.

    A step that is followed by a validation is saved before and after it; training that resumes
    from the former begins with the validation. The end is saved before the hooks at the end of
    training, in which callbacks replace the trained weights by averages. Weights that are not
    finite are not saved. Place this after :class:`BestCheckpoint` among the callbacks, so that it
    knows the best step.

    Args:
        folder: folder of the checkpoint.
        every: number of optimizer steps between saves.

    Raises:
        ValueError: `every` is less than 1.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise ValueError(f"checkpoint_every: expected at least 1 step, got {every}")
        self.path = folder / "last.ckpt"
        self.every = every
        self._saved = 0
        self._stops = False  # at the end of the step
        self._validated: int | None = None  # step of the last validation, if known

    def state_dict(self) -> dict[str, Any]:
        """The step of the last validation."""
        return {"validated": self._validated or 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the step of the last validation."""
        self._validated = state_dict["validated"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate first, if training resumes from a step whose validation was cut short."""
        step, interval = trainer.global_step, trainer.val_check_batch
        if not step or self._validated in (None, step) or not isinstance(interval, int):
            return
        by_batches = trainer.enable_validation and trainer.check_val_every_n_epoch is None
        if by_batches and step * trainer.accumulate_grad_batches % interval == 0:
            validation = trainer.fit_loop.epoch_loop.val_loop
            validation.restarting = False  # start from the first image
            trainer.validating = True
            validation.run()
            trainer.training = True

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if it is time, or the last step. A stop amid accumulated gradients is put off."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            self._stops = self._stops or trainer.should_stop
            trainer.should_stop = False
            return
        trainer.should_stop = trainer.should_stop or self._stops
        step = trainer.global_step
        is_last = trainer.should_stop or step == trainer.max_steps
        if step > self._saved and (is_last or step % self.every == 0):
            self._save(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the step is validated, before other callbacks save it as the best."""
        if not trainer.sanity_checking:
            self._validated = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save a step again that was saved before its validation, or at which it ended training."""
        step = trainer.global_step
        if not trainer.sanity_checking and step and (step == self._saved or trainer.should_stop):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end, if the last step was not known to be the last."""
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
