"""The options of training, testing and checking data that most people need, on a screen.

The parser of these commands asks the signatures of Lightning and of the data sets for several
hundred options, and takes seconds to import them.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from functools import partial
from typing import NamedTuple

from dealias.cli import COMMANDS

ALL_OPTIONS = "--help_all"  # lists every option
_TRAINING = "fit validate test predict"
_ALL = f"{_TRAINING} check"
_READ = "fit validate test check"  # label maps


class Option(NamedTuple):
    """An option, its value and what it does; of some commands, the last words of theirs."""

    name: str
    value: str
    help: str
    commands: str = _TRAINING


OPTIONS = {
    "run": (
        Option("config", "NAME|FILE", "configuration, any number of times: the last counts", _ALL),
        Option("output", "DIR", "folder of the run; runs/NAME"),
        Option("output", "FILE.json", "write what was found", "check"),
        Option("sheet", "FILE.png", "draw samples, and what training sees", "check"),
        Option("overwrite", "", "replace outputs of an earlier run", _ALL),
        Option("parts", "[PART, ...]", "of train, val and test; [train, val]", "check"),
        Option("ckpt_path", "last", "go on with a run that was stopped", "fit"),
        Option(
            "ckpt_path",
            "FILE|DIR|last",
            "weights; by default best.ckpt, or else last.ckpt",
            "validate test predict",
        ),
        Option("checkpoint_every", "N", "steps from one last.ckpt to the next; 1,000", "fit"),
        Option("seed_everything", "N", "seed of weights, order and augmentation", "fit"),
        Option("task", "NAME", "segmentation or instance", _ALL),
        Option("trust", "", "run classes that options name by class_path", _ALL),
        Option("print_config", "", "print every option with its value, and stop"),
    ),
    "what is measured": (
        Option("results", "DIR", "folder of the results", "test"),
        Option("report", "DIR", "write a page on which to see the errors", "test"),
        Option("label_maps", "true", "write the predictions", "test"),
        Option("noise", "SIGMA", "noise on images, of 255", "validate test predict"),
        Option(
            "shifts",
            "N",
            "shifts of each image: what changes when the camera moves",
            "test predict",
        ),
        Option("largest_shift", "N", "pixels along an axis; 32", "test predict"),
        Option("objects", "", "objects found, vanished, merged and split", "test"),
        Option("band_widths", "3,7,15|1%,2%", "the figures at other widths as well", "test"),
        Option("interval", "", "print confidence intervals", "test"),
        Option("groups", "REGEX|FILE.csv", "images to resample together, for intervals", "test"),
        Option("unstable_maps", "DIR", "pictures of what changes under shifts", "predict"),
    ),
    "data": (
        Option(
            "data.name",
            "NAME",
            "ade20k, camvid, cityscapes, folder, huggingface, scenes, voc2012",
            _ALL,
        ),
        Option("data.root", "DIR", "where it lies; $DEALIAS_NAME, such as DEALIAS_CAMVID", _READ),
        Option("data.images", "DIR", "folder (default: images) or column of the images", _READ),
        Option("data.labels", "DIR", "folder (default: labels) or column of the label maps", _READ),
        Option(
            "data.classes",
            "SET|FILE.yaml",
            "class set; required for folder and huggingface",
            _ALL,
        ),
        Option("data.splits.train", "NAME", "subfolder or list of names to train on", "fit check"),
        Option(
            "data.splits.val",
            "NAME",
            "subfolder or list of names to validate on",
            "fit validate check",
        ),
        Option(
            "data.splits.test",
            "NAME",
            "subfolder or list of names to test on; default: val's",
            "test check",
        ),
        Option("data.predict_images", "DIR", "images to label", "predict"),
        Option("data.augmentation.crop_size", "[H, W]", "size of training crops", "fit check"),
        Option(
            "data.augmentation.transforms", "CLASSES", "of torchvision or your own", "fit check"
        ),
        Option("data.batch_size", "N", "crops per step and process", "fit"),
        Option("data.workers", "N", "processes that read images", _ALL),
        Option("data.skip_bad", "true", "leave out what can't be used; exit with 1"),
    ),
    "network": (
        Option(
            "model.network.name",
            "NAME",
            "upernet, smp:NAME, torchvision:NAME, timm:NAME or hf:NAME",
        ),
        Option("model.network.class_path", "MODULE.CLASS", "network of your own; needs --trust"),
        Option("model.network.init_args.ARG", "VALUE", "argument of that class"),
        Option("model.network.options.ARG", "VALUE", "argument of a library's network"),
        Option(
            "model.network.backbone",
            "NAME",
            "timm model for upernet; otherwise the submodule to treat as the backbone",
        ),
        Option(
            "model.network.backbone_weights",
            "FILE|packaged",
            "pretrained weights of the backbone",
            "fit",
        ),
        Option("model.network.dealias", "OPTIONS", "filters against aliasing; {} for the defaults"),
        Option(
            "filter_ramp",
            "SHARE",
            "share of the training over which filter strength rises from 0 to 1",
            "fit",
        ),
    ),
    "training": (
        Option("init_from", "FILE|DIR", "weights to start from, also of other classes", "fit"),
        Option("model.losses", "LIST", "cross_entropy, dice, focal, ..., or your own", "fit"),
        Option(
            "model.class_weights",
            "FILE|LIST",
            "file of dealias data check --output, or numbers",
            "fit",
        ),
        Option("model.optimization.kind", "KIND", "sgd or adamw", "fit"),
        Option("model.optimization.lr", "RATE", "learning rate of the backbone", "fit"),
        Option(
            "model.optimization.head_multiplier",
            "FACTOR",
            "the rate of the other layers, as a multiple of it",
            "fit",
        ),
        Option("trainer.max_steps", "N", "length of the training in steps", "fit"),
        Option("trainer.max_epochs", "N", "length in epochs", "fit"),
        Option("trainer.val_check_interval", "N", "steps between validations", "fit"),
        Option("trainer.devices", "N", "GPUs or processes"),
        Option("trainer.precision", "KIND", "such as bf16-mixed"),
        Option("trainer.accumulate_grad_batches", "N", "batches per step", "fit"),
        Option("trainer.gradient_clip_val", "NORM", "largest norm of a gradient", "fit"),
        Option("trainer.callbacks", "CLASS", "such as EarlyStopping, EMAWeightAveraging", "fit"),
        Option("trainer.logger", "CLASS", "logger in place of TensorBoard and CSV", "fit"),
    ),
}
_OWN_CALL = "dealias {command} --config camvid/upernet_lite0 --data.name folder"
_OWN_FOLDER = f"""\
a folder of your own, with images/{{split}} and labels/{{split}} in it:
  {_OWN_CALL} --data.root FOLDER \\
      --data.classes CLASSES.yaml --output {{output}}
"""
_OWN_PHOTOGRAPHS = f"""\
a folder of photographs, and a network trained on classes of your own:
  {_OWN_CALL} \\
      --data.classes CLASSES.yaml --data.predict_images PHOTOS --output {{output}}
"""
_SPLITS = {"fit": "{train,val}", "validate": "val", "test": "val", "data check": "{train,val}"}


def brief_help(command: str) -> str:
    """The help of "fit", "validate", "test", "predict" or "data check"."""
    name, output = command.split()[0], "CHECK.json" if command == "data check" else "RUN"
    example = _OWN_PHOTOGRAPHS if command == "predict" else _OWN_FOLDER
    example = example.format(command=command, split=_SPLITS.get(command), output=output)
    parser = ArgumentParser(
        prog=f"dealias {command}",
        usage="%(prog)s --config NAME|FILE [options]",
        description=COMMANDS[name],
        epilog=f"{example}\nevery option: dealias {command} {ALL_OPTIONS}",
        formatter_class=partial(RawDescriptionHelpFormatter, max_help_position=42),
        add_help=False,
    )
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for option in options:
            if command.split()[-1] in option.commands.split():
                group.add_argument(f"--{option.name}", metavar=option.value, help=option.help)
    return parser.format_help()
