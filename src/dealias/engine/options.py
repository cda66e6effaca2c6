"""Options of fit, validate, test and predict that belong neither to Lightning nor to a class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning import Trainer

from dealias.engine.configs import ConfigError
from dealias.engine.paths import option_types, place, settle
from dealias.engine.tasks import Task, TaskName
from dealias.evaluation import read_groups
from dealias.images import MAX_PIXELS_HELP
from dealias.metrics.functional import OBJECT_RECALL, BandWidths

if TYPE_CHECKING:
    from pytorch_lightning.cli import LightningArgumentParser

Command = Literal["fit", "validate", "test", "predict"]

_PATHS = {
    "output": "folder of the run; runs/<folder>/<stem> of the last configuration file if not given",
    "results": "test: folder for the results; test in the folder of the run if not given",
    "report": "test: folder for a page that shows the errors",
    "probe": "result of dealias probe to show on the page of --report",
    "unstable_maps": "predict: folder for pictures of the pixels that change under shifts",
    "init_from": "fit: file or folder of weights to start from; their classes may differ",
}


def declare_options(parser: LightningArgumentParser, task: Task) -> None:
    """Add the options to a parser."""
    add = parser.add_argument
    add("--task", type=TaskName, default=task.name, help="task of the network")
    for name, help_ in _PATHS.items():
        add(f"--{name}", type=Path | None, default=None, help=help_)
    add(
        "--overwrite",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="replace the outputs of an earlier run",
    )
    add("--trust", action="store_true", help="run classes that options name by class_path")
    add(
        "--checkpoint_every",
        type=int,
        default=1000,
        help="fit: steps between saves of last.ckpt",
    )
    help_ = "fit: share of the training over which filter strength rises from 0 to 1"
    add("--filter_ramp", type=float | None, default=None, help=help_)
    add("--samples", type=int, default=4, help="fit: images to draw at each validation")
    add(
        "--noise",
        type=float,
        default=0.0,
        help="not in fit: sigma of Gaussian noise added to images, on a scale of 0 to 255",
    )
    add("--max_pixels", type=int | None, default=None, help=MAX_PIXELS_HELP)
    help_ = "test and predict: number of shifts of each image"
    add("--shifts", type=int | None, default=None, help=help_)
    add("--largest_shift", type=int, default=32, help="largest shift along an axis, in pixels")
    add("--shift_seed", type=int, default=0, help="seed of the shifts")
    add("--interval", action="store_true", help="test: print confidence intervals")
    help_ = "test: REGEX or FILE.csv of images to resample together"
    add("--groups", type=str | None, default=None, help=help_)
    help_ = "test: also count objects found, vanished, merged and split"
    add("--objects", action="store_true", help=help_)
    help_ = "test: also compute the figures at other widths, such as 3,7,15 or 1%,2%"
    add("--band_widths", type=str | None, default=None, help=help_)
    add("--label_maps", type=bool, default=False, help="test: write the predictions")


def check_options(options: Any, command: Command, task: Task) -> None:
    """Refuse options that are out of range, or that the command would ignore.

    Raises:
        ConfigError: an option can't be used.
    """
    if options.probe is not None and options.report is None:
        raise ConfigError("--probe: is for the page of --report")
    if options.unstable_maps is not None and command != "predict":
        raise ConfigError("--unstable_maps: is for dealias predict")
    asked = "test" if options.unstable_maps is None else "predict"
    if options.shifts is not None and command != asked:
        raise ConfigError("--shifts: is for dealias test, and for the maps of dealias predict")
    for name, least in (("shifts", 1), ("largest_shift", 1), ("shift_seed", 0)):
        if options[name] is not None and options[name] < least:
            raise ConfigError(f"--{name}: expected at least {least}, got {options[name]}")
    if options.noise and command == "fit":
        raise ConfigError("--noise: is for images that are tested on, and fit trains")
    for name in ("interval", "groups", "objects", "band_widths"):
        if options[name] and (command != "test" or task.name != "segmentation"):
            raise ConfigError(f"--{name}: is for dealias test of label maps")
    for name in ("results", "report", "label_maps"):
        if options[name] and command != "test":
            raise ConfigError(f"--{name}: is for dealias test")


def counting(options: Any) -> dict[str, Any]:
    """The options of a test that change how label maps are counted."""
    found: dict[str, Any] = {}
    if options.groups is not None:
        found["groups"] = read_groups(options.groups)
    if options.objects:
        found["object_recall"] = OBJECT_RECALL
    if options.band_widths is not None:
        found["band_widths"] = str(BandWidths.parse(options.band_widths))
    return found


def command_types(command: Command, task: Task) -> dict[str, Any]:
    """Types of all options of a command, which distinguish paths from other text."""
    types = option_types(getattr(Trainer, command))  # includes ckpt_path
    model = option_types(task.training) | {"network": task.training.create}
    own = dict.fromkeys(_PATHS, Path | None)
    return types | {"trainer": Trainer, "data": task.data, "model": model, **own}


def resolve(options: Mapping[str, Any], folder: Path, task: Task) -> dict[str, Any]:
    """Options of ``dealias fit`` from a file, with their paths relative to its folder resolved."""
    resolved: dict[str, Any] = settle(place(options, folder), command_types("fit", task))
    return resolved
