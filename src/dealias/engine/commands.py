"""The commands fit, validate, test and predict: LightningCLI with the defaults of dealias."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from dealias.code import allow_programs, in_brief, names_class
from dealias.engine.checkpoints import (
    CheckpointError,
    WholeCheckpoints,
    cause_in_checkpoint,
    check_averaging,
    check_resumable,
    is_checkpoint,
)
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
from dealias.engine.parsing import BriefParser, FreeOptions
from dealias.engine.paths import option_types, place, settle
from dealias.engine.pictures import PredictionWriter
from dealias.engine.shifts import ShiftTest, UnstableMaps
from dealias.engine.tasks import Task, TaskName, find_task, take_task
from dealias.engine.trainer import (
    Replacement,
    SavedConfig,
    common_arguments,
    fit_arguments,
    fit_callbacks,
    plain_options,
    set_epochs,
)
from dealias.evaluation import read_groups
from dealias.files import PART, OutputError
from dealias.images import MAX_PIXELS_HELP, allow_pixels
from dealias.metrics.functional import OBJECT_RECALL, BandWidths
from dealias.models import (
    digest_weights,
    load,
    load_weights,
    match_weights,
    network_name,
    read_state_dict,
)
from dealias.outputs import check_apart, check_folder, claim, folders_above
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
# Options that belong neither to Lightning nor to a class.
_PATHS = dict.fromkeys(
    ("output", "results", "report", "probe", "unstable_maps", "init_from"), Path | None
)
_PATH_HELP = {
    "output": "folder of the run; runs/NAME",
    "results": "folder of the results, in test; test in the folder of the run",
    "report": "folder of a page of errors, in test",
    "probe": "result of dealias probe for the page",
    "init_from": "weights to start from in fit, also of other classes: a file or folder",
    "unstable_maps": "folder of pictures of what changes under shifts, in predict",
}
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # as many as there are cores to spare
    ".*smaller than the logging interval.*",
    "Checkpoint directory .* exists and is not empty",  # it was asked for
    r"Found \d+ module\(s\) in eval mode",  # batch norms that keep their statistics
    "(?s).*returned None.*on purpose",  # for an image that was skipped
    "(?s).*JSONARGPARSE_DEPRECATION_WARNINGS",  # caused by Lightning
    r"(?s).*deprecated in v4\.",
    ".*isinstance.treespec, LeafSpec.*",
)
_LEFT = (f".*.ckpt.????????.{PART}", f"samples/*/.*.????????.{PART}")  # by a killed training
_LOGS = ("events.out.tfevents", "hparams.yaml", "metrics.csv")
_ASIDES = ("💡 Tip", "`weights_only` was not set")  # messages of Lightning that are not shown


class Commands(LightningCLI):
    """Parse the options of a command, create its objects and run it.

    Args:
        command: "fit", "validate", "test" or "predict".
        arguments: options of the command line.
        tell: called with what de-aliasing did to the network, and what it starts from, before a
            training begins.

    Attributes:
        output: folder of the run.
        tested: folder of the results of a test.
        task: what the network is trained for.
        checkpoint: checkpoint whose weights are used, or that training resumes from; or None.
        writer: writer of predictions; or None.
        report: writer of the page of errors; or None.
        shifted: comparison of shifted images in a test; or None.
        counting: how a test counts label maps beyond the options of the model, see
            :class:`dealias.evaluation.Options`.

    Raises:
        ConfigError: options can't be used, or name a class to import and there is no ``--trust``.
    """

    def __init__(
        self,
        command: Command,
        arguments: Sequence[str],
        *,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        options, self.config_files, others = take_configs(arguments)
        self.trusted = "--trust" in others  # of the command line: no file can say so
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
        self.types = _types(command, self.task)
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
        add = parser.add_argument
        add("--task", type=TaskName, default=self.task.name, help="what the network is trained for")
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
        add("--trust", action="store_true", help="run classes that options name by class_path")
        add("--checkpoint_every", type=int, default=1000, help="steps between last.ckpt, in fit")
        help_ = "share of the training over which filters of strength 0 come in, in fit"
        add("--filter_ramp", type=float | None, default=None, help=help_)
        add("--samples", type=int, default=4, help="images to draw at each validation, in fit")
        add(
            "--noise",
            type=float,
            default=0.0,
            help="standard deviation of noise on images, of 255; not in fit",
        )
        add("--max_pixels", type=int | None, default=None, help=MAX_PIXELS_HELP)
        add("--shifts", type=int | None, default=None, help="of each image, in test and predict")
        add("--largest_shift", type=int, default=32, help="in pixels along an axis")
        add("--shift_seed", type=int, default=0, help="seed of the shifts")
        add("--interval", action="store_true", help="print confidence intervals, in test")
        help_ = "REGEX or FILE.csv of images to resample together, in test"
        add("--groups", type=str | None, default=None, help=help_)
        add("--objects", action="store_true", help="objects found, vanished and merged, in test")
        help_ = "the figures at other widths as well, such as 3,7,15 or 1%,2%, in test"
        add("--band_widths", type=str | None, default=None, help=help_)
        add("--label_maps", type=bool, default=False, help="write the predictions, in test")
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
        if options.unstable_maps is not None and self.command != "predict":
            raise ConfigError("--unstable_maps: is for dealias predict")
        asked = "test" if options.unstable_maps is None else "predict"
        if options.shifts is not None and self.command != asked:
            raise ConfigError("--shifts: is for dealias test, and for the maps of dealias predict")
        for name, least in (("shifts", 1), ("largest_shift", 1), ("shift_seed", 0)):
            if options[name] is not None and options[name] < least:
                raise ConfigError(f"--{name}: expected at least {least}, got {options[name]}")
        if options.noise and self.command == "fit":
            raise ConfigError("--noise: is for images that are tested on, and fit trains")
        for name in ("interval", "groups", "objects", "band_widths"):
            if options[name] and (self.command != "test" or self.task.name != "segmentation"):
                raise ConfigError(f"--{name}: is for dealias test of label maps")
        self.counting = _counting(options)
        if options.results is not None and self.command != "test":
            raise ConfigError("--results: is for dealias test")
        options.output = self.output = options.output or self._default_output()
        self.tested: Path = options.results or self.output / "test"
        self.checkpoint = self._checkpoint(options)
        options.ckpt_path = None  # its options would go before those given
        self.converted = None
        if self.checkpoint is not None and self.checkpoint.is_dir():
            self.source = printable(self.checkpoint)
            self.converted = load(self.checkpoint, trust=self.trusted)
            config = dict(self.converted.config)
            del config["num_classes"]  # the data set has it; weights that differ are refused
            options.model.network, self.checkpoint = FreeOptions(config), None
        elif self.checkpoint is not None:
            options.model.network.pop("backbone_weights", None)
        self._check_output()

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

    def _check_output(self) -> None:
        options = self.config[self.command]
        report, overwrite = options.report, options.overwrite
        for folder in (self.output, self.tested, *([report] if report else [])):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            if not there.is_dir():
                raise OutputError(f"{printable(there)}: expected a folder, got a file")
        files, folders = self._files(), self._folders()
        if self.command in ("test", "predict"):
            check_apart(files, folders)
        for path in files:
            if path.exists() and not overwrite:
                hint = "--ckpt_path last goes on from it, " if path.suffix == ".ckpt" else ""
                raise OutputError(
                    f"{printable(path)}: exists already; {hint}--overwrite replaces it"
                )
            if path.suffix == ".ckpt" and path.exists() and not is_checkpoint(path):
                raise OutputError(f"{printable(path)}: is no checkpoint; --overwrite keeps it")
        for path in folders:
            check_folder(path, overwrite=overwrite)

    @property
    def _resumes(self) -> bool:
        """Whether a training goes on in its own folder, and not in that of another run."""
        checkpoint = self.checkpoint
        return checkpoint is not None and checkpoint.resolve().parent == self.output.resolve()

    def _files(self) -> list[Path]:
        """Files that may be replaced when asked for."""
        if self.command == "fit" and not self._resumes:
            return [*self._checkpoints(), self.output / "config.yaml"]
        if self.command == "test":
            return [self.tested / name for name in self.task.training.written]
        return []

    def _folders(self) -> list[Path]:
        """Folders to fill."""
        options = self.config[self.command]
        if self.command == "predict":
            maps = options.unstable_maps
            return [self.output / "predictions", *([maps] if maps else [])]
        if self.command != "test":
            return []
        folders = [options.report] if options.report else []
        return folders + ([self.tested / "predictions"] if options.label_maps else [])

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
        """Create the trainer; its files go to the folder of the run."""
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
        asked = (self.writer, self.shifted, self.report)  # the page takes what was compared
        own: list[Callback] = [part for part in asked if part is not None]
        if self.command == "fit":
            self.replacement = Replacement([] if self._resumes else self._checkpoints())
            own = [self.replacement, *fit_callbacks(options, self.output, self.model.monitor)]
            kwargs |= fit_arguments(options.trainer, self.output)
        else:
            kwargs["logger"] = False
        kwargs |= common_arguments(options.trainer, self.output, own)
        try:
            return super().instantiate_trainer(**kwargs)
        except TypeError as error:  # of options whose types Lightning alone knows
            raise ConfigError(f"trainer: {error}") from error

    def after_instantiate_classes(self) -> None:
        """Find the data and load the weights before anything is written.

        Training resumes from more than weights, and loads the checkpoint once more.
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
                kept = init_weights(self.model.network, init_from, self.model.class_names)
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
        """A checkpoint; of weights that another program saved, what there would be in one."""
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
        with self._claimed():
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
        with self._claimed():
            if self.counting:
                self.model.count_also(**self.counting)
            self.trainer.test(**arguments, verbose=False)
            if self.trainer.is_global_zero:
                more: dict[str, Any] = {"weights": digest_weights(self.model.network)}
                more |= {"noise": self.datamodule.noise} if self.datamodule.noise else {}
                for found in (self.report, self.shifted):
                    more |= {} if found is None else found.more
                self.model.write_results(self.tested, more)
                for part in (self.writer, self.report):
                    if part is not None and part.failed is not None:
                        raise part.failed

    def predict(self, **arguments: Any) -> None:
        """Write the predictions."""
        with self._claimed():
            self.trainer.predict(**arguments, return_predictions=False)

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """The folder of the run, which no other command may write meanwhile."""
        if not main_process():
            yield
            return
        with ExitStack() as stack:
            written = [*self._files(), *self._folders()]
            if self.command == "fit":
                written += self._checkpoints()
            for path in (self.output, *written):
                stack.enter_context(folders_above(path))
                stack.enter_context(claim(path))
            self._check_output()
            for names in _LEFT:
                for path in self.output.glob(names):
                    path.unlink()
            yield

    def _checkpoints(self) -> list[Path]:
        return [self.output / "last.ckpt", self.output / "best.ckpt"]


class Prepared(Commands):
    """The objects of a command, created and checked as the command does, which does not run.

    Nothing is written. See :class:`Commands` for the arguments and errors.

    Attributes:
        options: every option, as config.yaml in the folder of a run keeps them.
        defaults: what `options` has where nothing is given; no options of the network.
    """

    def _run_subcommand(self, subcommand: str) -> None:
        parser = self._parser(self.command)
        self.options = plain_options(parser, self.config[self.command], self.types)
        self.defaults: dict[str, Any] = parser.get_defaults().as_dict()


def resolve(options: Mapping[str, Any], folder: Path, task: Task) -> dict[str, Any]:
    """Options of ``dealias fit`` from a file, with their paths relative to its folder resolved."""
    resolved: dict[str, Any] = settle(place(options, folder), _types("fit", task))
    return resolved


def _counting(options: Any) -> dict[str, Any]:
    """What options of a test change in how label maps are counted."""
    found: dict[str, Any] = {}
    if options.groups is not None:
        found["groups"] = read_groups(options.groups)
    if options.objects:
        found["object_recall"] = OBJECT_RECALL
    if options.band_widths is not None:
        found["band_widths"] = str(BandWidths.parse(options.band_widths))
    return found


def _types(command: Command, task: Task) -> dict[str, Any]:
    """Types of the options of a command."""
    types = option_types(getattr(Trainer, command))  # has ckpt_path
    model = option_types(task.training) | {"network": task.training.create}
    return types | {"trainer": Trainer, "data": task.data, "model": model, **_PATHS}


class _Parser(BriefParser, LightningArgumentParser):
    """Lightning's parser, without the list of options before an error."""

    listing = "--help_all"  # --help is a screen


def _remove_logs(new: Iterable[Path]) -> None:
    """Remove what loggers have written of late, and their folders."""
    for path in sorted(new, reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path.name.startswith(_LOGS):
            path.unlink()


def _is_no_aside(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_ASIDES)
