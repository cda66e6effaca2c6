"""The commands fit, validate, test and predict: LightningCLI with the defaults of dealias."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from dealias.code import allow_programs, in_brief, names_class
from dealias.engine.checkpoint_files import WholeCheckpoints, is_checkpoint
from dealias.engine.configs import (
    LINKS,
    ConfigError,
    no_imports,
    refuse_files,
    refuse_linked,
    refuse_moved,
    refuse_programs,
    take_configs,
)
from dealias.engine.error_page import ErrorPage
from dealias.engine.initial import init_weights
from dealias.engine.options import (
    Command,
    check_options,
    command_types,
    counting,
    declare_options,
)
from dealias.engine.parsing import BriefParser, FreeOptions
from dealias.engine.paths import settle
from dealias.engine.pictures import PredictionWriter
from dealias.engine.resuming import cause_in_checkpoint, check_averaging, check_resumable
from dealias.engine.run_files import RunFiles, default_folder, find_checkpoint
from dealias.engine.shifts import ShiftTest, UnstableMaps
from dealias.engine.tasks import find_task, take_task
from dealias.engine.trainer import (
    Replacement,
    SavedConfig,
    common_arguments,
    fit_arguments,
    fit_callbacks,
    plain_options,
    set_epochs,
)
from dealias.images import allow_pixels
from dealias.models import (
    digest_weights,
    load,
    load_weights,
    match_weights,
    network_name,
    read_state_dict,
)
from dealias.processes import main_process
from dealias.text import printable

# A run is a single endless epoch: validation, checkpoints and the schedule are counted in steps.
_DEFAULTS = {
    "check_val_every_n_epoch": None,
    "max_epochs": -1,
    "num_sanity_val_steps": 1,
    "use_distributed_sampler": False,
}
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # there are as many as there are spare cores
    ".*smaller than the logging interval.*",
    "Checkpoint directory .* exists and is not empty",  # as requested
    r"Found \d+ module\(s\) in eval mode",  # batch norms with frozen statistics
    "(?s).*returned None.*on purpose",  # for a skipped image
    "(?s).*JSONARGPARSE_DEPRECATION_WARNINGS",  # caused by Lightning
    r"(?s).*deprecated in v4\.",
    ".*isinstance.treespec, LeafSpec.*",
)
_LOGS = ("events.out.tfevents", "hparams.yaml", "metrics.csv")
_ASIDES = ("💡 Tip", "`weights_only` was not set")  # messages of Lightning that are not shown


class Commands(LightningCLI):
    """Parse the options of a command, create its objects and run it.

    Args:
        command: "fit", "validate", "test" or "predict".
        arguments: options of the command line.
        tell: called before training with text about what de-aliasing did to the network and
            which weights it starts from.

    Attributes:
        output: folder of the run.
        tested: folder of the results of a test.
        task: task of the network.
        checkpoint: checkpoint whose weights are used, or from which training resumes; or None.
        writer: writer of predictions; or None.
        report: writer of the page of errors; or None.
        shifted: comparison of shifted images in a test; or None.
        counting: how a test counts label maps, apart from the options of the model; see
            :class:`dealias.evaluation.Options`.

    Raises:
        ConfigError: options can't be used, or name a class to import without ``--trust``.
    """

    def __init__(
        self,
        command: Command,
        arguments: Sequence[str],
        *,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        options, self.config_files, others = take_configs(arguments)
        self.trusted = "--trust" in others  # on the command line only: no file can set it
        if self.trusted:
            allow_programs()
        else:
            refuse_programs(options, others)
        refuse_linked(options)
        self.command = command
        self.tell = tell
        self.initialised: str | None = None
        self.task = find_task(take_task(options, others))
        training, data = self.task.training, self.task.data
        refuse_moved(options, others, data.moved)
        refuse_files(options, others)
        self.types = command_types(command, self.task)
        options = settle(options, self.types)
        config = ["--config", yaml.safe_dump(options)] if options else []
        if not main_process() or command != "fit":
            logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        for name in ("trainer.connectors.checkpoint_connector", "utilities.rank_zero"):
            logging.getLogger(f"pytorch_lightning.{name}").addFilter(_is_no_aside)
        with ExitStack() as around:
            around.enter_context(warnings.catch_warnings())
            for pattern in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", pattern)
            if not self.trusted:
                around.enter_context(no_imports())
            super().__init__(
                training,
                data,
                save_config_callback=SavedConfig if command == "fit" else None,
                save_config_kwargs={
                    "overwrite": True,
                    "types": self.types,
                    "kept": self.config_files,
                },
                trainer_defaults=_DEFAULTS,
                seed_everything_default=0,
                parser_kwargs={"prog": "dealias"},
                parser_class=_Parser,
                args=[command, *config, *others],
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # only the one asked for
        """The command, with the arguments of the trainer's method that are not options."""
        loaders = {"dataloaders", "train_dataloaders", "val_dataloaders"}
        other = {"model", "datamodule", "verbose", "return_predictions", "weights_only"}
        return {self.command: loaders | other}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Declare the options that belong neither to Lightning nor to a class."""
        declare_options(parser, self.task)
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")
        for target, option in LINKS.items():
            parser.link_arguments(option, target)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read the options, and find the folder of the run and the checkpoint."""
        self.config = parser.parse_args(args)
        options = self.config[self.command]
        allow_pixels(options.max_pixels)
        check_options(options, self.command, self.task)
        self.counting = counting(options)
        options.output = self.output = options.output or default_folder(self.config_files)
        self.tested: Path = options.results or self.output / "test"
        network = str(options.model.network.get("name"))
        self.checkpoint = self._find_checkpoint(options.ckpt_path, network)
        options.ckpt_path = None  # otherwise its options would override those given
        self.converted = None
        if self.checkpoint is not None and self.checkpoint.is_dir():
            self.source = printable(self.checkpoint)
            self.converted = load(self.checkpoint, trust=self.trusted)
            config = dict(self.converted.config)
            if options.model.network.get("dealias") is not None and config.get("dealias") is None:
                raise ConfigError(
                    f"model.network.dealias: {self.source} holds a network without filters, and "
                    "none is put in: give its weights as a file of tensors to test it with them"
                )
            del config["num_classes"]  # set by the data set; weights that differ are refused
            options.model.network, self.checkpoint = FreeOptions(config), None
        elif self.checkpoint is not None:
            options.model.network.pop("backbone_weights", None)
        self.files = RunFiles(
            self.command,
            self.output,
            self.tested,
            written=self.task.training.written,
            report=options.report,
            unstable_maps=options.unstable_maps,
            label_maps=options.label_maps,
            overwrite=options.overwrite,
            checkpoint=self.checkpoint,
        )
        self.files.check()

    def _find_checkpoint(self, asked: Path | str | None, network: str) -> Path | None:
        return find_checkpoint(asked, self.output, self.command, network)

    def instantiate_classes(self) -> None:
        """Create the objects.

        Raises:
            ConfigError: a class can't be created, such as a logger whose package is not there.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            if not names_class(str(error)):
                raise
            raise ConfigError(in_brief(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Create the trainer, which writes its files to the folder of the run."""
        options = self.config_init[self.command]
        self.writer, self.report = None, None
        self.shifted: ShiftTest | None = None
        if self.command == "predict":
            self.writer = PredictionWriter(self.output / "predictions")
        elif self.command == "test" and options.label_maps:
            self.writer = PredictionWriter(self.tested / "predictions")
        drawn = {"largest": options.largest_shift, "seed": options.shift_seed}
        if options.unstable_maps is not None:
            shifts = 5 if options.shifts is None else options.shifts
            self.shifted = UnstableMaps(options.unstable_maps, shifts, **drawn)
        elif options.shifts is not None:
            self.shifted = ShiftTest(options.shifts, **drawn)
        if self.command == "test" and options.report is not None:
            self.report = ErrorPage(
                options.report,
                self.tested / "result.json",
                options.probe,
                self.shifted,
                self.output.absolute().name,
            )
            kwargs["inference_mode"] = False  # the network is also copied and probed
        asked = (self.writer, self.shifted, self.report)  # the page uses results of the shifts
        own: list[Callback] = [part for part in asked if part is not None]
        if self.command == "fit":
            resumes = self.files.resumes
            self.replacement = Replacement([] if resumes else self.files.checkpoints)
            more = fit_callbacks(options, self.output, self.model.monitor, resumes=resumes)
            own = [self.replacement, *more]
            kwargs |= fit_arguments(options.trainer, self.output)
        else:
            kwargs["logger"] = False
        kwargs |= common_arguments(options.trainer, self.output, own)
        try:
            return super().instantiate_trainer(**kwargs)
        except TypeError as error:  # from options that only Lightning checks
            raise ConfigError(f"trainer: {error}") from error

    def after_instantiate_classes(self) -> None:
        """Find the data and load the weights before anything is written.

        Resuming a training takes more than weights, so the trainer loads the checkpoint again.
        """
        self.datamodule.setup(self.command)
        if self.command == "fit":
            self.model.check_data(self.datamodule)
            settings = self.model.network.config.get("dealias") or {}
            if settings.get("strength") == 0 and self.config_init["fit"].filter_ramp is None:
                raise ConfigError(
                    "model.network.dealias.strength: 0 leaves the network as without filters; "
                    "--filter_ramp raises it in training"
                )
            init_from = self.config_init["fit"].init_from
            if init_from is not None and self.checkpoint is None:
                kept = init_weights(
                    self.model.network, init_from, self.model.class_names, type(self.model).create
                )
                self.initialised = f"{printable(init_from)}: {kept}"
            set_epochs(self.trainer, self.datamodule, self.config_init["fit"].trainer)
        if self.converted is not None:
            self.model.check_classes(self.converted.classes, source=self.source, renamed=True)
            load_weights(self.model.network, self.converted.state_dict(), source=self.source)
        elif self.checkpoint is not None:
            self.model.checkpoint = printable(self.checkpoint)
            checkpoint = self._loaded(self.checkpoint)
            if self.command == "fit":
                check_averaging(checkpoint, self.trainer, source=self.model.checkpoint)
            self.model.on_load_checkpoint(checkpoint)
            if self.command == "fit":
                source = self.model.checkpoint
                check_resumable(checkpoint, self.model, self.trainer, source=source)

    def _loaded(self, path: Path) -> dict[str, Any]:
        """A checkpoint, or weights that another program saved in the form of a checkpoint."""
        source = printable(path)
        if self.command == "fit" or is_checkpoint(path):
            checkpoint = WholeCheckpoints().load_checkpoint(path)
            state = checkpoint["state_dict"]
            if self.command == "fit" or any(name.startswith("network.") for name in state):
                return checkpoint
        else:
            state = read_state_dict(path)
        found = match_weights(self.model.network, state, source=source)
        return {"state_dict": {f"network.{name}": value for name, value in found.items()}}

    @property
    def weights(self) -> str:
        """Name of the tested weights, for a message."""
        if self.checkpoint is not None:
            return printable(self.checkpoint)
        return (
            self.source if self.converted is not None else network_name(self.model.network.config)
        )

    @property
    def skipped(self) -> list[str]:
        """Messages about files that were skipped."""
        results, writer = self.model.results, self.writer
        found = [*self.datamodule.skipped, *self.model.skipped]
        found += [] if writer is None else writer.skipped
        found += [] if results is None else results.skipped
        return list(dict.fromkeys(found))

    def fit(self, **arguments: Any) -> None:
        """Train; the checkpoints of an earlier run, which --overwrite replaces, go meanwhile.

        A training that fails before its first batch leaves nothing.
        """
        report = self.model.network.dealias_report
        said = [] if report is None else [f"de-aliased:\n{report}"]
        said += [] if self.initialised is None else [f"weights of {self.initialised}"]
        for text in said if main_process() else ():
            self.tell(text)
        with self.files.claimed():
            before = set(self.output.rglob("*"))
            try:
                self.trainer.fit(**arguments | {"ckpt_path": self.checkpoint})
            except BaseException as error:
                if main_process() and not self.replacement.begun:
                    _remove_logs(set(self.output.rglob("*")) - before)
                if self.checkpoint is None or not isinstance(error, Exception):
                    raise
                raise cause_in_checkpoint(error, self.model.checkpoint)  # noqa: B904

    def validate(self, **arguments: Any) -> None:
        """Evaluate on the validation split."""
        self.trainer.validate(**arguments, verbose=False)

    def test(self, **arguments: Any) -> None:
        """Evaluate on the test split, and write the results."""
        with self.files.claimed():
            if self.counting:
                self.model.count_also(**self.counting)
            self.trainer.test(**arguments, verbose=False)
            if self.trainer.is_global_zero:
                network = self.model.network
                more: dict[str, Any] = {"weights": digest_weights(network)}
                more["dealias"] = network.config.get("dealias")
                more |= self.datamodule.conditions
                for found in (self.report, self.shifted):
                    more |= {} if found is None else found.more
                self.model.write_results(self.tested, more)
                for part in (self.writer, self.report, self.shifted):
                    if part is not None and part.failed is not None:
                        raise part.failed

    def predict(self, **arguments: Any) -> None:
        """Write the predictions."""
        with self.files.claimed():
            self.trainer.predict(**arguments, return_predictions=False)


class Prepared(Commands):
    """The objects of a command, created and checked as usual, without running the command.

    Nothing is written, and no weights are needed. See :class:`Commands` for the arguments and
    errors.

    Attributes:
        options: every option, as in config.yaml in the folder of a run.
        defaults: the defaults of `options`, without those of the network.
    """

    def _find_checkpoint(self, asked: Path | str | None, network: str) -> Path | None:
        return None if asked is None else super()._find_checkpoint(asked, network)

    def _run_subcommand(self, subcommand: str) -> None:
        parser = self._parser(self.command)
        self.options = plain_options(parser, self.config[self.command], self.types)
        self.defaults: dict[str, Any] = parser.get_defaults().as_dict()


class _Parser(BriefParser, LightningArgumentParser):
    """Lightning's parser, without the list of options before an error."""

    listing = "--help_all"  # --help is a screen


def _remove_logs(new: Iterable[Path]) -> None:
    """Remove the new files of loggers, and their empty folders."""
    for path in sorted(new, reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path.name.startswith(_LOGS):
            path.unlink()


def _is_no_aside(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_ASIDES)
