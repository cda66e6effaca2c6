"""The options of training and testing that most people need, on a screen.

The parser of these commands asks the signatures of Lightning and of the data sets for several
hundred options, and takes seconds to import them.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from functools import partial
from typing import NamedTuple

from dealias.cli import COMMANDS


class Option(NamedTuple):
    """An option, its value and what it does; of some commands, or of all."""

    name: str
    value: str
    help: str
    commands: str = "fit validate test predict"


OPTIONS = {
    "run": (
        Option("config", "NAME|FILE", "configuration, any number of times; the last one counts"),
        Option("output", "DIR", "folder of the run; runs/NAME"),
        Option("overwrite", "", "replace outputs of an earlier run"),
        Option("ckpt_path", "last", "go on with a run that was stopped", "fit"),
        Option("ckpt_path", "FILE|DIR", "weights; those of best.ckpt", "validate test predict"),
        Option("checkpoint_every", "N", "steps between last.ckpt", "fit"),
        Option("seed_everything", "N", "seed of weights, order and augmentation", "fit"),
        Option("task", "NAME", "segmentation or instance"),
        Option("trust", "", "run classes that options name by class_path"),
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
            "data.name", "NAME", "ade20k, camvid, cityscapes, folder, huggingface, scenes, voc2012"
        ),
        Option("data.root", "DIR", "where it lies; $DEALIAS_NAME, such as DEALIAS_CAMVID"),
        Option("data.images", "DIR", "of a folder, below the root; or column of huggingface"),
        Option(
            "data.labels",
            "DIR",
            "the same; labels, or annotation and the like",
            "fit validate test",
        ),
        Option("data.classes", "SET|FILE.yaml", "class set, which these two need"),
        Option("data.splits.train", "NAME", "subfolder, or text file of names", "fit"),
        Option("data.splits.val", "NAME", "the same, to validate on", "fit validate"),
        Option("data.splits.test", "NAME", "the same, to test on", "test"),
        Option("data.predict_images", "DIR", "images to label", "predict"),
        Option("data.augmentation.crop_size", "[H, W]", "of training", "fit"),
        Option("data.augmentation.transforms", "CLASSES", "of torchvision or your own", "fit"),
        Option("data.batch_size", "N", "crops a step and process", "fit"),
        Option("data.workers", "N", "reading processes"),
        Option("data.skip_bad", "true", "leave out what can't be used; exit with 1"),
    ),
    "network": (
        Option("model.network.name", "NAME", "upernet, or hf:TYPE|FOLDER of transformers"),
        Option("model.network.backbone", "NAME", "of timm, for upernet"),
        Option("model.network.backbone_weights", "FILE", "or packaged", "fit"),
        Option("model.network.dealias", "OPTIONS", "filters against aliasing; {} for the defaults"),
        Option("filter_ramp", "SHARE", "let filters of strength 0 in over it", "fit"),
    ),
    "training": (
        Option("model.optimization.kind", "KIND", "sgd or adamw", "fit"),
        Option("model.optimization.lr", "RATE", "of the backbone", "fit"),
        Option("model.optimization.head_multiplier", "FACTOR", "of the other layers", "fit"),
        Option("trainer.max_steps", "N", "length of the training", "fit"),
        Option("trainer.val_check_interval", "N", "steps between validations", "fit"),
        Option("trainer.devices", "N", "GPUs or processes"),
        Option("trainer.precision", "KIND", "such as bf16-mixed"),
        Option("trainer.accumulate_grad_batches", "N", "batches a step", "fit"),
        Option("trainer.logger", "CLASS", "instead of TensorBoard and CSV", "fit"),
    ),
}
_OWN_FOLDER = """\
a folder of one's own, with images/train, images/val, labels/train and labels/val in it:
  dealias {command} --config camvid/upernet_lite0 --data.name folder --data.root FOLDER \\
      --data.classes CLASSES.yaml --output RUN
"""


def brief_help(command: str, all_options: str) -> str:
    """The help of a command.

    Args:
        command: "fit", "validate", "test" or "predict".
        all_options: option that lists all options.
    """
    parser = ArgumentParser(
        prog=f"dealias {command}",
        usage="%(prog)s --config NAME|FILE [options]",
        description=COMMANDS[command],
        epilog=f"{_OWN_FOLDER.format(command=command)}\nevery option: "
        f"dealias {command} {all_options}",
        formatter_class=partial(RawDescriptionHelpFormatter, max_help_position=42),
        add_help=False,
    )
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for option in options:
            if command in option.commands.split():
                group.add_argument(f"--{option.name}", metavar=option.value, help=option.help)
    return parser.format_help()
