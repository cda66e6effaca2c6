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
    add("--limit", type=int, metavar="N", help="the first N of them")
    add("--cutoff", type=float | str, default="auto", help="auto, or cycles per pixel for all")
    add(
        "--noise",
        type=float,
        default=0.0,
        metavar="SIGMA",
        help="Gaussian noise on the images, of 255",
    )
    add("--blur", type=int, metavar="SIZE", help="binomial blur of each map, 2 to 7")
    add("--shifts", type=int, metavar="N", help="compare the output with that of N shifts an image")
    add("--seed", type=int, metavar="N", help="of the shifts; by default 0")
    add("--largest-shift", type=int, metavar="N", help="pixels along an axis; by default 32")
    sets = "|".join(builtin_class_sets())
    add("--classes", type=str, metavar=f"{sets}|FILE.yaml", help="names, if it has none")
    add("--circular", action="store_true", help="shift images circularly, not by cropping")
    add("--video", type=Path, metavar="DIR|FILE", help="frames, to count changes of class between")
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--figures", type=Path, metavar="DIR", help="draw spectra and aliasing maps")
    add("--maps", type=Path, metavar="DIR", help="write the aliasing score of each pixel")
    add("--trust", action="store_true", help="run the code that the model names or holds")
    add("--overwrite", action="store_true", help="replace outputs that exist")


def run(options: Namespace) -> int:
    """Probe, print, write and draw."""
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
