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
        Option("ckpt_path", "FILE|DIR", "weights; those of best.ckpt", "validate test predict"),
        Option("checkpoint_every", "N", "steps between last.ckpt", "fit"),
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
        Option("shifts", "N", "of each image: what changes when the camera moves", "test predict"),
        Option("unstable_maps", "DIR", "pictures of what changes under shifts", "predict"),
    ),
    "data": (
        Option(
            "data.name",
            "NAME",
            "ade20k, camvid, cityscapes, folder, huggingface, scenes, voc2012",
            _ALL,
        ),
        Option("data.root", "DIR", "where it lies; $DEALIAS_NAME, such as DEALIAS_CAMVID", _ALL),
        Option("data.images", "DIR", "of a folder, below the root; or column of huggingface", _ALL),
        Option(
            "data.labels",
            "DIR",
            "the same; labels, or annotation and the like",
            "fit validate test check",
        ),
        Option("data.classes", "SET|FILE.yaml", "class set, which these two need", _ALL),
        Option("data.splits.train", "NAME", "subfolder, or text file of names", "fit check"),
        Option("data.splits.val", "NAME", "the same, to validate on", "fit validate check"),
        Option("data.splits.test", "NAME", "the same, to test on", "test check"),
        Option("data.predict_images", "DIR", "images to label", "predict"),
        Option("data.augmentation.crop_size", "[H, W]", "of training", "fit check"),
        Option(
            "data.augmentation.transforms", "CLASSES", "of torchvision or your own", "fit check"
        ),
        Option("data.batch_size", "N", "crops a step and process", "fit"),
        Option("data.workers", "N", "reading processes", _ALL),
        Option("data.skip_bad", "true", "leave out what can't be used; exit with 1"),
    ),
    "network": (
        Option(
            "model.network.name", "NAME", "upernet, or smp:, torchvision:, timm: and hf: with one"
        ),
        Option("model.network.class_path", "MODULE.CLASS", "of your own, with --trust"),
        Option("model.network.init_args.ARG", "VALUE", "of that class"),
        Option("model.network.options.ARG", "VALUE", "of the network of a library"),
        Option("model.network.backbone", "NAME", "of timm, for upernet; else the part that is it"),
        Option("model.network.backbone_weights", "FILE", "or packaged", "fit"),
        Option("model.network.dealias", "OPTIONS", "filters against aliasing; {} for the defaults"),
        Option("filter_ramp", "SHARE", "let filters of strength 0 in over it", "fit"),
    ),
    "training": (
        Option("init_from", "FILE|DIR", "weights to start from, also of other classes", "fit"),
        Option("model.losses", "LIST", "cross_entropy, dice, focal, ..., or your own", "fit"),
        Option("model.class_weights", "FILE|LIST", "of dealias data check --output", "fit"),
        Option("model.optimization.kind", "KIND", "sgd or adamw", "fit"),
        Option("model.optimization.lr", "RATE", "of the backbone", "fit"),
        Option("model.optimization.head_multiplier", "FACTOR", "of the other layers", "fit"),
        Option("trainer.max_steps", "N", "length of the training", "fit"),
        Option("trainer.max_epochs", "N", "the same in epochs", "fit"),
        Option("trainer.val_check_interval", "N", "steps between validations", "fit"),
        Option("trainer.devices", "N", "GPUs or processes"),
        Option("trainer.precision", "KIND", "such as bf16-mixed"),
        Option("trainer.accumulate_grad_batches", "N", "batches a step", "fit"),
        Option("trainer.gradient_clip_val", "NORM", "the largest of a gradient", "fit"),
        Option("trainer.callbacks", "CLASS", "such as EarlyStopping, EMAWeightAveraging", "fit"),
        Option("trainer.logger", "CLASS", "instead of TensorBoard and CSV", "fit"),
    ),
}
_OWN_FOLDER = """\
a folder of one's own, with images/train, images/val, labels/train and labels/val in it:
  dealias {command} --config camvid/upernet_lite0 --data.name folder --data.root FOLDER \\
      --data.classes CLASSES.yaml --output {output}
"""


def brief_help(command: str) -> str:
    """The help of "fit", "validate", "test", "predict" or "data check"."""
    name, output = command.split()[0], "CHECK.json" if command == "data check" else "RUN"
    parser = ArgumentParser(
        prog=f"dealias {command}",
        usage="%(prog)s --config NAME|FILE [options]",
        description=COMMANDS[name],
        epilog=f"{_OWN_FOLDER.format(command=command, output=output)}\nevery option: "
        f"dealias {command} {ALL_OPTIONS}",
        formatter_class=partial(RawDescriptionHelpFormatter, max_help_position=42),
        add_help=False,
    )
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for option in options:
            if command.split()[-1] in option.commands.split():
                group.add_argument(f"--{option.name}", metavar=option.value, help=option.help)
    return parser.format_help()
