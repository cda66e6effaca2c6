"""``dealias probe``."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.outputs import refuse_unused
from dealias.labels import builtin_class_sets

_SPECS = (
    "timm:NAME, torchvision:NAME, smp:NAME, hf:NAME_OR_PATH, dealias:CHECKPOINT_OR_FOLDER, a .pt2 "
    "file or module.path:factory"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", type=str, required=True, metavar="SPEC", help=_SPECS)
    add("--weights", type=Path, metavar="FILE", help="weights to load: .pth, .ckpt, .safetensors")
    add("--images", type=Path, metavar="DIR", help="photographs; not needed with --video")
    add("--limit", type=int, metavar="N", help="use only the first N images")
    cutoff = "auto, or one cutoff for all steps, in cycles per pixel"
    add("--cutoff", type=float | str, default="auto", help=cutoff)
    add(
        "--noise",
        type=float,
        default=0.0,
        metavar="SIGMA",
        help="sigma of Gaussian noise added to the images, on a scale of 0 to 255",
    )
    add("--blur", type=int, metavar="SIZE", help="size of a binomial blur of each map, 2 to 7")
    add("--shifts", type=int, metavar="N", help="compare outputs under N shifts of each image")
    add("--seed", type=int, metavar="N", help="seed of the shifts; 0 if not given")
    largest = "largest shift along an axis, in pixels; 32 if not given"
    add("--largest-shift", type=int, metavar="N", help=largest)
    sets = "|".join(builtin_class_sets())
    classes = "class names, for a network that does not come with any"
    add("--classes", type=str, metavar=f"{sets}|FILE.yaml", help=classes)
    add("--circular", action="store_true", help="shift images circularly, not by cropping")
    video = "frames between which to count changes of class"
    add("--video", type=Path, metavar="DIR|FILE", help=video)
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--figures", type=Path, metavar="DIR", help="draw spectra and aliasing maps")
    add("--maps", type=Path, metavar="DIR", help="write the aliasing score of each pixel")
    add("--trust", action="store_true", help="run the code that the model names or contains")
    add("--overwrite", action="store_true", help="replace existing outputs")


def run(options: Namespace) -> int:
    """Probe the network, and print, write and draw the results."""
    _check(options)
    from dealias.cli.probing import probe

    probe(options)
    return 0


def _check(options: Namespace) -> None:
    if options.images is None:
        if options.video is None:
            raise ValueError("--images: expected photographs, or frames as --video; got neither")
        others = ("limit", "blur", "shifts", "figures", "maps")
        given = [name for name in others if options[name] is not None]
        given += ["noise"] if options.noise else []
        given += ["cutoff"] if options.cutoff != "auto" else []
        if given:
            raise ValueError(f"--{given[0]}: is for --images, and there are none")
    unheeded = ("circular", "classes", "seed", "largest_shift")
    refuse_unused(options, {name: ["shifts"] for name in unheeded})
    for name, least in (("shifts", 1), ("largest_shift", 1), ("seed", 0)):
        if options[name] is not None and options[name] < least:
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: expected at least {least}, got {options[name]}")
