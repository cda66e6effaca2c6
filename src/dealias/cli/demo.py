"""``dealias demo``."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, print_comparison
from dealias.demo import run as run_demo


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--folder", type=Path, default=Path("demo"), metavar="DIR", help="where the files go")
    add("--steps", type=int, default=None, metavar="N", help="of training; 200 by default")
    add("--scenes", type=int, default=None, metavar="N", help="scenes to test on; 24 by default")
    add("--seed", type=int, default=0, help="of scenes and weights")
    add("--overwrite", action="store_true", help="replace an earlier demonstration")


def run(options: Namespace) -> int:
    """Train twice, test and print side by side."""
    evaluations = run_demo(
        options.folder,
        steps=options.steps,
        scenes=options.scenes,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    print_comparison(evaluations, output_console())
    return 0
