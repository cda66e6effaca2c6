"""Short help for training, testing and checking data: the options that most people need.

The full parser of these commands collects several hundred options from the signatures of
Lightning and of the data sets, and importing those takes seconds.
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
    """An option, its value, its help, and the commands that have it, by their last words."""

    name: str
    value: str
    help: str
    commands: str = _TRAINING


OPTIONS = {
    "run": (
        Option(
            "config",
            "NAME|FILE",
            "configuration file; may be repeated, and later files override earlier ones",
            _ALL,
        ),
        Option(
            "output",
            "DIR",
            "folder of the run (default: runs/<folder>/<stem> of the last configuration file)",
        ),
        Option("output", "FILE.json", "write the findings to this file", "check"),
        Option("sheet", "FILE.png", "draw samples, and crops as training sees them", "check"),
        Option("overwrite", "", "replace the outputs of an earlier run", _ALL),
        Option(
            "parts",
            "[PART, ...]",
            "splits to check: train, val, test (default: [train, val])",
            "check",
        ),
        Option("ckpt_path", "last", "resume a run that was stopped", "fit"),
        Option(
            "ckpt_path",
            "FILE|DIR|last",
            "weights to use (default: best.ckpt, or last.ckpt if there is none)",
            "validate test predict",
        ),
        Option("checkpoint_every", "N", "steps between saves of last.ckpt (default: 1,000)", "fit"),
        Option("seed_everything", "N", "seed for weights, sample order and augmentation", "fit"),
        Option("task", "NAME", "segmentation or instance", _ALL),
        Option("trust", "", "run classes that options name by class_path", _ALL),
        Option("print_config", "", "print every option with its value, and exit"),
    ),
    "what is measured": (
        Option(
            "results",
            "DIR",
            "folder for the results (default: test, in the folder of the run)",
            "test",
        ),
        Option("report", "DIR", "write a page that shows the errors", "test"),
        Option("label_maps", "true", "write the predictions", "test"),
        Option(
            "noise",
            "SIGMA",
            "sigma of Gaussian noise added to images, on a scale of 0 to 255",
            "validate test predict",
        ),
        Option(
            "shifts",
            "N",
            "number of shifts of each image, to see what changes when the camera moves",
            "test predict",
        ),
        Option(
            "largest_shift",
            "N",
            "largest shift along an axis, in pixels (default: 32)",
            "test predict",
        ),
        Option("objects", "", "also count objects found, vanished, merged and split", "test"),
        Option("band_widths", "3,7,15|1%,2%", "also compute the figures at other widths", "test"),
        Option("interval", "", "print confidence intervals", "test"),
        Option("groups", "REGEX|FILE.csv", "images to resample together for the intervals", "test"),
        Option(
            "unstable_maps",
            "DIR",
            "write pictures of the pixels that change under shifts",
            "predict",
        ),
    ),
    "data": (
        Option(
            "data.name",
            "NAME",
            "ade20k, camvid, cityscapes, folder, huggingface, scenes, voc2012",
            _ALL,
        ),
        Option(
            "data.root",
            "DIR",
            "folder of the data set (default: $DEALIAS_<NAME>, such as $DEALIAS_CAMVID)",
            _READ,
        ),
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
            "subfolder or list of names to test on (default: that of val)",
            "test check",
        ),
        Option("data.predict_images", "DIR", "images to label", "predict"),
        Option("data.augmentation.crop_size", "[H, W]", "size of training crops", "fit check"),
        Option(
            "data.augmentation.transforms",
            "CLASSES",
            "transforms of torchvision or your own",
            "fit check",
        ),
        Option("data.batch_size", "N", "crops per step and process", "fit"),
        Option("data.workers", "N", "processes that read images", _ALL),
        Option("data.skip_bad", "true", "leave out files that cannot be used, and exit with 1"),
    ),
    "network": (
        Option(
            "model.network.name",
            "NAME",
            "upernet, smp:NAME, torchvision:NAME, timm:NAME or hf:NAME",
        ),
        Option("model.network.class_path", "MODULE.CLASS", "your own network; needs --trust"),
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
        Option(
            "init_from",
            "FILE|DIR",
            "weights to start from; their classes may differ",
            "fit",
        ),
        Option("model.losses", "LIST", "cross_entropy, dice, focal, ..., or your own", "fit"),
        Option(
            "model.class_weights",
            "FILE|LIST",
            "file from dealias data check --output, or numbers",
            "fit",
        ),
        Option("model.optimization.kind", "KIND", "sgd or adamw", "fit"),
        Option("model.optimization.lr", "RATE", "learning rate of the backbone", "fit"),
        Option(
            "model.optimization.head_multiplier",
            "FACTOR",
            "learning rate of the other layers, as a multiple of that of the backbone",
            "fit",
        ),
        Option("trainer.max_steps", "N", "number of training steps", "fit"),
        Option("trainer.max_epochs", "N", "number of training epochs", "fit"),
        Option("trainer.val_check_interval", "N", "steps between validations", "fit"),
        Option("trainer.devices", "N", "number of GPUs or processes"),
        Option("trainer.precision", "KIND", "numerical precision, such as bf16-mixed"),
        Option("trainer.accumulate_grad_batches", "N", "batches per step", "fit"),
        Option("trainer.gradient_clip_val", "NORM", "largest norm of the gradient", "fit"),
        Option(
            "trainer.callbacks",
            "CLASS",
            "callback, such as EarlyStopping or EMAWeightAveraging",
            "fit",
        ),
        Option("trainer.logger", "CLASS", "logger to use instead of TensorBoard and CSV", "fit"),
    ),
}
_OWN_CALL = "dealias {command} --config camvid/upernet_lite0 --data.name folder"
_OWN_FOLDER = f"""\
example, for your own folder with images/{{split}} and labels/{{split}}:
  {_OWN_CALL} --data.root FOLDER \\
      --data.classes CLASSES.yaml --output {{output}}
"""
_OWN_PHOTOGRAPHS = f"""\
example, for a folder of photographs and a network trained on your own classes:
  {_OWN_CALL} \\
      --data.classes CLASSES.yaml --data.predict_images PHOTOS --output {{output}}
"""
_SPLITS = {"fit": "{train,val}", "validate": "val", "test": "val", "data check": "{train,val}"}


def brief_help(command: str) -> str:
    """The short help of "fit", "validate", "test", "predict" or "data check"."""
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
