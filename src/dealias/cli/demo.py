"""``dealias demo``."""

from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from dealias.cli._console import output_console, print_comparison
from dealias.demo import run as run_demo


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--folder", type=Path, default=Path("demo"), metavar="DIR", help="where the files go")
    add("--scenes", type=int, default=12, metavar="N", help="scenes to test on")
    add("--seed", type=int, default=0, help="of scenes and weights")


def run(options: Namespace) -> int:
    """Draw, predict, evaluate and print side by side."""
    torch.set_num_threads(1)  # the networks are too small for more
    evaluations = run_demo(options.folder, scenes=options.scenes, seed=options.seed)
    print_comparison(evaluations, output_console())
    return 0
