"""What the commands fit, validate, test and predict do: Lightning's, with dealias's defaults."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import nn

from dealias.engine.checkpoints import (
    BestCheckpoint,
    CheckpointError,
    LastCheckpoint,
    WholeCheckpoints,
    check_averaging,
)
from dealias.engine.configs import (
    LINKS,
    BriefParser,
    ConfigError,
    refuse_linked,
    refuse_moved,
    take_configs,
)
from dealias.engine.error_page import ErrorPage
from dealias.engine.paths import option_types, place, settle
from dealias.engine.pictures import PredictionWriter, SamplePictures
from dealias.engine.progress import StepProgress
from dealias.engine.tasks import TaskName, find_task, take_task
from dealias.files import OutputError
from dealias.images import MAX_PIXELS_HELP, allow_pixels
from dealias.models import load, load_weights, sync_batch_norm
from dealias.processes import main_process
from dealias.text import printable

Command = Literal["fit", "validate", "test", "predict"]

# A run is one endless epoch: validation, checkpoints and the schedule count steps.
_DEFAULTS = {
    "check_val_every_n_epoch": None,
    "max_epochs": -1,
    "num_sanity_val_steps": 1,
    "use_distributed_sampler": False,
}
# Options that are neither Lightning's nor the classes'.
_PATHS = dict.fromkeys(("output", "report", "probe"), Path | None)
_PATH_HELP = {
    "output": "folder of the run; runs/NAME",
    "report": "folder of a page of errors, in test",
    "probe": "result of dealias probe for the page",
}
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # as many as there are cores to spare
    ".*smaller than the logging interval.*",
    "Checkpoint directory .* exists and is not empty",  # it was asked for
    r"Found \d+ module\(s\) in eval mode",  # batch norms that keep their statistics
    "(?s).*returned None.*on purpose",  # for an image that was left out as asked
    "(?s).*JSONARGPARSE_DEPRECATION_WARNINGS",  # of what Lightning calls
    r"(?s).*deprecated in v4\.",
    ".*isinstance.treespec, LeafSpec.*",
)
_ASIDES = ("💡 Tip", "`weights_only` was not set")  # of Lightning: products, and how it reads files


class Commands(LightningCLI):
    """Parse one command's options, and build and run what they say.

    Args:
        command: what to do.
        arguments: options.

    Attributes:
        output: the folder of the run.
        task: what networks are trained for.
        checkpoint: whose weights are used, or which training goes on from; or None.
        writer: of predictions; or None.
    """

    def __init__(self, command: Command, arguments: Sequence[str]) -> None:
        options, self.config_files, others = take_configs(arguments)
        refuse_linked(options)
        self.command = command
        self.task = find_task(take_task(options, others))
        training, data = self.task.training, self.task.data
        refuse_moved(options, others, data.moved)
        types = option_types(getattr(Trainer, command))  # has ckpt_path
        types |= {"trainer": Trainer, "data": data, "model": _training_types(training), **_PATHS}
        options = settle(options, types)
        config = ["--config", yaml.safe_dump(options)] if options else []
        if not main_process() or command != "fit":
            logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        for name in ("trainer.connectors.checkpoint_connector", "utilities.rank_zero"):
            logging.getLogger(f"pytorch_lightning.{name}").addFilter(_is_no_aside)
        with warnings.catch_warnings():
            for pattern in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", pattern)
            super().__init__(
                training,
                data,
                save_config_callback=_SavedConfig if command == "fit" else None,
                save_config_kwargs={"overwrite": True, "types": types},
                trainer_defaults=_DEFAULTS,
                seed_everything_default=0,
                parser_kwargs={"prog": "dealias"},
                parser_class=_Parser,
                args=[command, *config, *others],
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # only the one asked for
        """The command, and the arguments of the trainer's method that are not options."""
        loaders = {"dataloaders", "train_dataloaders", "val_dataloaders"}
        other = {"model", "datamodule", "verbose", "return_predictions", "weights_only"}
        return {self.command: loaders | other}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Declare the options that are neither Lightning's nor the classes'."""
        add = parser.add_argument
        add("--task", type=TaskName, default=self.task.name, help="what networks are to find")
        for name, kind in _PATHS.items():
            add(f"--{name}", type=kind, default=None, help=_PATH_HELP[name])
        add(
            "--overwrite",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="replace outputs of an earlier run",
        )
        add("--checkpoint_every", type=int, default=1000, help="steps between last.ckpt, in fit")
        add("--samples", type=int, default=4, help="images to draw at each validation, in fit")
        add(
            "--noise",
            type=float,
            default=0.0,
            help="deviation of noise on images, of 255; not in fit",
        )
        add("--max_pixels", type=int | None, default=None, help=MAX_PIXELS_HELP)
        add("--label_maps", type=bool, default=False, help="write what was predicted, in test")
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")
        for target, option in LINKS.items():
            parser.link_arguments(option, target)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read the options, and find the folder of the run and the checkpoint."""
        self.config = parser.parse_args(args)
        options = self.config[self.command]
        allow_pixels(options.max_pixels)
        if options.probe is not None and options.report is None:
            raise ConfigError("--probe: is for the page of --report")
        if options.noise and self.command == "fit":
            raise ConfigError("--noise: is for images that are tested on, and fit trains")
        options.output = self.output = options.output or self._default_output()
        self.checkpoint = self._checkpoint(options)
        options.ckpt_path = None  # its options would go before those given
        self.converted = None
        if self.checkpoint is not None and self.checkpoint.is_dir():
            self.converted, self.source = load(self.checkpoint), printable(self.checkpoint)
            config = dict(self.converted.config)
            del config["num_classes"]  # that of the data set; weights that differ are refused
            options.model.network, self.checkpoint = config, None
        elif self.checkpoint is not None:
            options.model.network.pop("backbone_weights", None)
        self._check_output(options.report, overwrite=options.overwrite)

    def _default_output(self) -> Path:
        if not self.config_files:
            return Path("runs", "default")
        file = self.config_files[-1].resolve()
        return Path("runs", file.parent.name, file.stem)

    def _checkpoint(self, options: Any) -> Path | None:
        asked = options.ckpt_path
        if asked is None and self.command == "fit":
            return None
        if asked is None:
            name = str(options.model.network.get("name"))
            if name.startswith("hf:") and Path(name[3:]).is_dir():
                return None  # it holds weights
            found = [self.output / f"{name}.ckpt" for name in ("best", "last")]
            asked = next((str(path) for path in found if path.is_file()), None)
            if asked is None:
                raise CheckpointError(
                    "--ckpt_path: expected a checkpoint, a folder of dealias convert, best or "
                    f"last; got none, and {printable(self.output)} holds no best.ckpt or last.ckpt"
                )
        asked = str(asked)  # Lightning's type is text or path, in any order
        path = self.output / f"{asked}.ckpt" if asked in ("best", "last") else Path(asked)
        if not path.exists():
            raise CheckpointError(f"ckpt_path: {printable(path.absolute())}: no such checkpoint")
        if path.is_dir() and self.command == "fit":
            raise CheckpointError(f"{printable(path)}: expected a .ckpt to resume, got a folder")
        return path

    def _check_output(self, report: Path | None, *, overwrite: bool) -> None:
        for folder in (self.output, *([report] if report else [])):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            if not there.is_dir():
                raise OutputError(f"{printable(there)}: expected a folder, got a file")
        taken = {
            "fit": []
            if self.checkpoint
            else [self.output / "last.ckpt", self.output / "best.ckpt"],
            "validate": [],
            "test": [self.output / "test" / "result.json", *([report] if report else [])],
            "predict": [self.output / "predictions"],
        }[self.command]
        for path in taken:
            if not overwrite and (any(path.iterdir()) if path.is_dir() else path.exists()):
                hint = "--ckpt_path last goes on from it, " if self.command == "fit" else ""
                raise OutputError(
                    f"{printable(path)}: exists already; {hint}--overwrite replaces it"
                )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, with checkpoints, logs and pictures in the folder of the run."""
        options = self.config_init[self.command]
        trainer = options.trainer
        callbacks: list[Callback] = []
        plugins = trainer.plugins or []
        kwargs["plugins"] = [
            *(plugins if isinstance(plugins, list) else [plugins]),
            WholeCheckpoints(),
            *([_SharedBatchNorm()] if trainer.sync_batchnorm else []),
        ]
        kwargs["sync_batchnorm"] = False
        kwargs["default_root_dir"] = trainer.default_root_dir or self.output
        if self.command == "fit":
            callbacks = [SamplePictures(self.output / "samples", options.samples)]
            if trainer.limit_val_batches != 0:
                callbacks.append(BestCheckpoint(self.output, self.model.monitor))
            callbacks.append(LastCheckpoint(self.output, options.checkpoint_every))
            if trainer.enable_checkpointing is False:
                raise ConfigError("trainer.enable_checkpointing: a run always keeps last.ckpt")
            if isinstance(trainer.val_check_interval, int):  # Lightning counts batches
                batches = trainer.val_check_interval * trainer.accumulate_grad_batches
                kwargs["val_check_interval"] = batches
            if trainer.logger is None or trainer.logger is True:
                kwargs["logger"] = [
                    TensorBoardLogger(self.output, name="", version=""),
                    CSVLogger(self.output, name="csv"),
                ]
            if trainer.logger is not False:
                callbacks.append(LearningRateMonitor("step"))
            kwargs["enable_checkpointing"] = True
        else:
            kwargs["logger"] = False
        if trainer.enable_progress_bar is not False and not any(
            isinstance(callback, ProgressBar) for callback in trainer.callbacks or []
        ):
            callbacks.append(StepProgress())
        self.writer = None
        if self.command == "predict":
            self.writer = PredictionWriter(self.output / "predictions")
        elif self.command == "test" and options.label_maps:
            self.writer = PredictionWriter(self.output / "test" / "predictions")
        if self.writer is not None:
            callbacks.append(self.writer)
        self.report = None
        if self.command == "test" and options.report is not None:
            self.report = ErrorPage(
                options.report, self.output / "test" / "result.json", options.probe
            )
            callbacks.append(self.report)
            kwargs["inference_mode"] = False  # the network is also copied and looked into
        kwargs["callbacks"] = [*(trainer.callbacks or []), *callbacks]
        return super().instantiate_trainer(**kwargs | _processes(trainer))

    def after_instantiate_classes(self) -> None:
        """Find the data and load weights before anything is written.

        Training, which goes on from more than weights, loads the checkpoint once more.
        """
        self.datamodule.setup(self.command)
        if self.command == "fit":
            self.model.check_data(self.datamodule)
        if self.converted is not None:
            self.model.check_classes(self.converted.classes, source=self.source, renamed=True)
            load_weights(self.model.network, self.converted.state_dict(), source=self.source)
        elif self.checkpoint is not None:
            self.model.checkpoint = printable(self.checkpoint)
            checkpoint = WholeCheckpoints().load_checkpoint(self.checkpoint)
            if self.command == "fit":
                check_averaging(checkpoint, self.trainer, source=self.model.checkpoint)
            self.model.on_load_checkpoint(checkpoint)

    @property
    def weights(self) -> str:
        """What was tested, for a message."""
        if self.checkpoint is not None:
            return printable(self.checkpoint)
        return self.source if self.converted is not None else str(self.model.network.config["name"])

    @property
    def skipped(self) -> list[str]:
        """Messages about files that were left out as asked."""
        results, writer = self.model.results, self.writer
        found = [*self.datamodule.skipped, *self.model.skipped]
        found += [] if writer is None else writer.skipped
        found += [] if results is None else results.skipped
        return list(dict.fromkeys(found))

    def fit(self, **arguments: Any) -> None:
        """Train; what an earlier run left of checkpoints goes first, as that was agreed to."""
        if self.checkpoint is None and main_process():
            for name in ("best", "last"):
                (self.output / f"{name}.ckpt").unlink(missing_ok=True)
        self.trainer.fit(**arguments | {"ckpt_path": self.checkpoint})

    def validate(self, **arguments: Any) -> None:
        """Evaluate on the validation split."""
        self.trainer.validate(**arguments, verbose=False)

    def test(self, **arguments: Any) -> None:
        """Evaluate on the test split, and write what was found to test/ in the run's folder."""
        self.trainer.test(**arguments, verbose=False)
        if self.trainer.is_global_zero:
            more = {"noise": self.datamodule.noise} if self.datamodule.noise else {}
            more |= {} if self.report is None else self.report.more
            self.model.write_results(self.output / "test", more)

    def predict(self, **arguments: Any) -> None:
        """Write predictions."""
        self.trainer.predict(**arguments, return_predictions=False)


class _Parser(BriefParser, LightningArgumentParser):
    """Lightning's, without the screen of options."""


class _SavedConfig(SaveConfigCallback):
    """Lightning's, with paths that hold wherever the file is read from.

    Args:
        types: of the options; see :func:`settle`.
        arguments: Lightning's.
    """

    def __init__(self, *arguments: Any, types: Mapping[str, Any], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.types = types

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save it, and then what is relative to the working directory as absolute paths."""
        super().setup(trainer, pl_module, stage)
        path = Path(str(trainer.log_dir), self.config_filename)  # of all processes, together
        if trainer.is_global_zero:
            options = settle(place(yaml.safe_load(path.read_text("utf-8")), Path.cwd()), self.types)
            path.write_text(yaml.safe_dump(options, sort_keys=False), "utf-8")


def _training_types(training: Any) -> dict[str, Any]:
    """Types of the options of a network and its training."""
    return option_types(training) | {"network": training.create}


class _SharedBatchNorm(LayerSync):
    """Lightning's ``sync_batchnorm``, for the batch norms of timm as well."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Make the processes share the statistics of every batch norm."""
        return sync_batch_norm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Leave it: alone, a process computes the same with either."""
        return model


def _is_no_aside(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_ASIDES)


def _processes(trainer: Any) -> dict[str, Any]:
    """The processes that torchrun started, unless the options say otherwise."""
    local = os.environ.get("LOCAL_WORLD_SIZE")
    if local is None or trainer.devices != "auto":
        return {}
    nodes = int(os.environ.get("WORLD_SIZE", local)) // int(local)
    strategy = "ddp" if trainer.strategy == "auto" else trainer.strategy
    return {"devices": int(local), "num_nodes": nodes, "strategy": strategy}
