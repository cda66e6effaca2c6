"""Checkpoints that are written completely or not at all, and read without running code."""

from __future__ import annotations

import json
import traceback
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

from dealias.engine.filter_ramp import FilterRamp
from dealias.engine.training import TrainingError
from dealias.files import write_whole
from dealias.inputs import LARGEST_DIRECTORY, open_regular, open_zip
from dealias.models import read_checkpoint
from dealias.text import printable, reason, shorten

_LARGEST = 2**62
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


def check_resumable(
    checkpoint: Mapping[str, Any], module: Any, trainer: Any, *, source: str
) -> None:
    """Refuse to resume from states that do not fit this optimizer and trainer.

    Optimizers keep the options in their state, such as the learning rate. Other options in the
    configuration are refused, because they would be ignored.

    Args:
        checkpoint: checkpoint to resume from.
        module: a :class:`dealias.engine.Training`.
        trainer: its trainer.
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: a state is missing or of another kind, or an option of the optimizer
            differs.
    """
    optimizer = module.optimization.optimizer(module.network)
    schedule = module.optimization.schedule(optimizer, max(1, trainer.max_steps))
    own = optimizer.state_dict()["param_groups"]
    try:
        (state,), (schedule_state,) = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
        _check_kinds(own, state["param_groups"], "optimizer_states")
        _check_kinds(schedule.state_dict(), schedule_state, "lr_schedulers")
        changed = _changed_options(checkpoint, module.optimization)
        if changed is not None:
            raise CheckpointError(
                f"{source}: was trained with {changed}: a resumed training keeps the optimizer's "
                f"options; to change them, start a new run from these weights with --init_from"
            )
        _check_kinds(trainer.fit_loop.state_dict(), checkpoint["loops"]["fit_loop"], "loops")
        _check_kinds([0, 0], [checkpoint["epoch"], checkpoint["global_step"]], "steps")
        for name in schedule_state:
            if callable(getattr(type(schedule), name, None)):
                raise ValueError(f"lr_schedulers: unexpected {name!r}")
        optimizer.load_state_dict(state)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                _check_moments(optimizer, parameter)
    except CheckpointError:
        raise
    except Exception as error:  # a misplaced value may raise any kind of error
        raise CheckpointError(_cannot_resume(source, error)) from error


_IN_OPTIMIZER = (  # options that are in the state of an optimizer, or in its groups of parameters
    *("kind", "lr", "head_multiplier", "mixing_multiplier", "momentum", "betas", "weight_decay"),
    "decay_norms",
)


def _changed_options(checkpoint: Mapping[str, Any], optimization: Any) -> str | None:
    """The first option that differs from that of a checkpoint, as "lr 0.01, not 0.1"; or None.

    Checkpoints of version 0.1 do not have the options.
    """
    held = checkpoint.get("hyper_parameters", {}).get("optimization", {})
    for name in _IN_OPTIMIZER:
        own = getattr(optimization, name)
        own = list(own) if isinstance(own, tuple) else own
        if name in held and held[name] != own:
            return f"{name} {shorten(held[name])}, not {shorten(own)}"
    return None


_MOMENTS = {"SGD": {"momentum_buffer"}, "AdamW": {"step", "exp_avg", "exp_avg_sq"}}


def _check_moments(optimizer: torch.optim.Optimizer, parameter: Tensor) -> None:
    state = optimizer.state.get(parameter, {})
    if state and set(state) != _MOMENTS[type(optimizer).__name__]:
        raise ValueError(f"optimizer_states: unexpected {', '.join(map(str, state))}")
    for name, value in state.items():
        alike = isinstance(value, Tensor) and value.is_floating_point()
        if value is not None and not (alike and value.shape in (parameter.shape, ())):
            raise ValueError(f"optimizer_states: {name}: not of the shape of its parameter")


def _check_kinds(own: Any, other: Any, name: str) -> None:
    """Raise ValueError if a number, list or mapping is of another kind in `other`."""
    if isinstance(own, dict):
        if not isinstance(other, dict):
            raise ValueError(f"{name}: expected a mapping")
        for key in own.keys() & other.keys():
            _check_kinds(own[key], other[key], f"{name}: {key}")
    elif isinstance(own, list | tuple):
        if not isinstance(other, list | tuple) or (name.endswith("param_groups") and not other):
            raise ValueError(f"{name}: expected a list")
        if len(own) != len(other) and not name.endswith("params"):
            raise ValueError(f"{name}: expected {len(own)} values, got {len(other)}")
        for ours, theirs in zip(own, other, strict=False):
            _check_kinds(ours, theirs, name)
    elif isinstance(own, int | float) and not isinstance(own, bool):
        whole = not isinstance(own, int) or isinstance(other, int)
        if not (isinstance(other, int | float) and abs(other) < _LARGEST and whole):
            raise ValueError(f"{name}: expected a number")


def cause_in_checkpoint(error: Exception, source: str) -> Exception:
    """The error to raise for one in training: a CheckpointError if a checkpoint was being read."""
    names = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, ValueError) and source in str(error):
        return error
    if names & {"_restore_modules_and_callbacks", "restore_training_state"}:
        return CheckpointError(_cannot_resume(source, error))
    return error


def _cannot_resume(source: str, error: Exception) -> str:
    return f"{source}: training can't go on from it: {type(error).__name__}: {reason(error)[:400]}"


def check_averaging(checkpoint: Mapping[str, Any], trainer: Any, *, source: str) -> None:
    """Refuse to resume from averaged weights as if they were the trained ones.

    Lightning's WeightAveraging saves the average as "state_dict" and the trained weights beside it.
    Only WeightAveraging itself resumes from the latter.

    Args:
        checkpoint: checkpoint to resume from.
        trainer: trainer with its callbacks.
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: it was saved with WeightAveraging, and the trainer has none.
    """
    kind: Any = getattr(pl.callbacks, "WeightAveraging", ())  # since Lightning 2.6
    averages = any(isinstance(callback, kind) for callback in trainer.callbacks)
    if "current_model_state" in checkpoint and not averages:
        raise CheckpointError(
            f"{source}: expected WeightAveraging, such as EMAWeightAveraging, among "
            f"trainer.callbacks, as in the run that it is of: its weights are an average, and the "
            f"trained ones are kept beside them"
        )


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
        if all(ramp.strength(trainer.global_step, trainer.max_steps) == 1 for ramp in ramps):
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
