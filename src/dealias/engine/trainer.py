"""Callbacks, loggers, plugins and processes of Lightning's trainer."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, RichProgressBar
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import nn

from dealias.engine.checkpoint_files import WholeCheckpoints
from dealias.engine.checkpoints import BestCheckpoint, LastCheckpoint
from dealias.engine.configs import ConfigError
from dealias.engine.filter_ramp import FilterRamp
from dealias.engine.paths import place, settle
from dealias.engine.pictures import SamplePictures
from dealias.files import write_whole
from dealias.models import sync_batch_norm

_NOT_FLOAT32 = ("16-true", "bf16-true", "64-true", "64", 64)  # precisions of the weights


def fit_callbacks(options: Any, folder: Path, monitor: str, *, resumes: bool) -> list[Callback]:
    """Callbacks of a training: pictures, checkpoints, the learning rate and a filter ramp.

    Args:
        options: options of the command, with those of the trainer under "trainer".
        folder: folder of the run.
        monitor: figure that is highest in the best checkpoint.
        resumes: whether a training continues in its own folder.
    """
    callbacks: list[Callback] = [SamplePictures(folder / "samples", options.samples)]
    if options.trainer.limit_val_batches != 0:
        callbacks.append(BestCheckpoint(folder, monitor, resumes=resumes))
    callbacks.append(LastCheckpoint(folder, options.checkpoint_every))
    if options.filter_ramp is not None:
        callbacks.append(FilterRamp(options.filter_ramp))
    if options.trainer.logger is not False:
        callbacks.append(LearningRateMonitor("step"))
    return callbacks


def fit_arguments(trainer: Any, folder: Path) -> dict[str, Any]:
    """Arguments of the trainer that a training changes.

    Raises:
        ConfigError: checkpoints are switched off.
    """
    if trainer.enable_checkpointing is False:
        raise ConfigError("trainer.enable_checkpointing: a run always keeps last.ckpt")
    arguments: dict[str, Any] = {"enable_checkpointing": True}
    if isinstance(trainer.val_check_interval, int):  # in batches, for Lightning
        batches = trainer.val_check_interval * trainer.accumulate_grad_batches
        arguments["val_check_interval"] = batches
    if trainer.logger is None or trainer.logger is True:
        tensorboard = TensorBoardLogger(folder, name="", version="")
        arguments["logger"] = [tensorboard, CSVLogger(folder, name="csv")]
    return arguments


def set_epochs(trainer: Trainer, data: Any, options: Any) -> None:
    """Convert epochs to steps, since the training data are an endless stream.

    An epoch has as many steps as it takes to use each training image once. Training ends at
    `max_epochs` or `max_steps`, whichever comes first. If no interval in steps is given, validation
    runs after each epoch, or after a share or number of epochs; in a shorter training, after its
    last step.

    Args:
        trainer: the trainer.
        data: the data module; `prepare` gives the training images.
        options: options of the trainer.

    Raises:
        ConfigError: the number of epochs is less than 1.
    """
    epochs, loop = options.max_epochs, trainer.fit_loop
    steps = math.ceil(
        len(data.prepare("train"))
        / (data.batch_size * trainer.world_size * trainer.accumulate_grad_batches)
    )
    if epochs not in (None, -1):
        if epochs < 1:
            raise ConfigError(f"trainer.max_epochs: expected at least 1, got {epochs}")
        asked = [trainer.max_steps] if trainer.max_steps > 0 else []
        loop.max_epochs = -1
        loop.epoch_loop.max_steps = min([epochs * steps, *asked])
    share = 1.0 if options.val_check_interval is None else options.val_check_interval
    if isinstance(share, float) and trainer.max_steps > 0:
        every = options.check_val_every_n_epoch or 1
        between = min(max(1, round(share * steps)) * every, trainer.max_steps)
        trainer.val_check_interval = between * trainer.accumulate_grad_batches
        trainer.check_val_every_n_epoch = None


def common_arguments(trainer: Any, folder: Path, own: Sequence[Callback]) -> dict[str, Any]:
    """Arguments of the trainer that every command changes.

    Args:
        trainer: options of the trainer.
        folder: folder of the run.
        own: callbacks of the command; they run after those of the options.

    Raises:
        ConfigError: weights would be in another precision than float32.
    """
    if trainer.precision in _NOT_FLOAT32:
        raise ConfigError(
            f"trainer.precision: expected 32-true, 16-mixed or bf16-mixed, got {trainer.precision}"
        )
    plugins = trainer.plugins or []
    plugins = [*(plugins if isinstance(plugins, list) else [plugins]), WholeCheckpoints()]
    if trainer.sync_batchnorm:
        plugins.append(_SharedBatchNorm())
    callbacks = [*(trainer.callbacks or []), *own]
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
    if trainer.enable_progress_bar is not False and not has_bar:
        callbacks.append(StepProgress())
    arguments = {
        "callbacks": callbacks,
        "plugins": plugins,
        "sync_batchnorm": False,
        "default_root_dir": trainer.default_root_dir or folder,
    }
    local = os.environ.get("LOCAL_WORLD_SIZE")
    if local is not None and trainer.devices == "auto":  # use the processes of torchrun
        nodes = int(os.environ.get("WORLD_SIZE", local)) // int(local)
        strategy = "ddp" if trainer.strategy == "auto" else trainer.strategy
        arguments |= {"devices": int(local), "num_nodes": nodes, "strategy": strategy}
    return arguments


def plain_options(parser: Any, config: Any, types: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a command as plain values, with absolute paths.

    Args:
        parser: parser of the command.
        config: the options that it has parsed.
        types: types of the options; see :func:`settle`.
    """
    given = yaml.safe_load(parser.dump(config, skip_none=False))
    options: dict[str, Any] = settle(place(given, Path.cwd()), types)
    return options


class SavedConfig(SaveConfigCallback):
    """Lightning's callback that saves the options, with absolute paths.

    It saves them after the first batch, in the folder of the run, wherever loggers write. A
    training that fails before that, because of its options or data, leaves the files of an earlier
    one unchanged.

    Args:
        types: types of the options; see :func:`settle`.
        kept: files that are not replaced: those from which the options were read.
        arguments: positional arguments of Lightning's callback.
        more: keyword arguments of Lightning's callback.
    """

    def __init__(
        self, *arguments: Any, types: Mapping[str, Any], kept: Sequence[Path], **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self.types = types
        self.kept = [path.resolve() for path in kept]

    def setup(self, trainer: Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Save nothing yet."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Save the options with absolute paths."""
        if self.already_saved:
            return
        self.already_saved = True
        path = Path(self.config.output, self.config_filename)
        if trainer.is_global_zero and path.resolve() not in self.kept:
            options = plain_options(self.parser, self.config, self.types)
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_whole(path) as file:
                file.write(yaml.safe_dump(options, sort_keys=False).encode())


class Replacement(Callback):
    """Removes the checkpoints of an earlier training after the first batch of this one.

    Args:
        old: the checkpoints.

    Attributes:
        begun: whether this training has had a batch.
    """

    def __init__(self, old: Sequence[Path]) -> None:
        self.old = old
        self.begun = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Remove the old checkpoints before the first new one is saved."""
        if not self.begun and trainer.is_global_zero:
            for path in self.old:
                path.unlink(missing_ok=True)
        self.begun = True


class StepProgress(RichProgressBar):
    """Lightning's rich progress bar, for a run that is one endless epoch."""

    @property
    def total_train_batches(self) -> int | float:
        """Batches of the whole run; Lightning counts one batch for each remaining step."""
        trainer = self.trainer
        batches: int = trainer.max_steps * trainer.accumulate_grad_batches
        return batches if batches > 0 else super().total_train_batches

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The figures beside the bar, without the version of the log."""
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"


class _SharedBatchNorm(LayerSync):
    """Lightning's ``sync_batchnorm``, which also handles the batch norms of timm."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Share the statistics of every batch norm among the processes."""
        return sync_batch_norm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Do nothing: in a single process, both kinds compute the same."""
        return model
