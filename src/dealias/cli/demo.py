"""``dealias demo``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table

from dealias.cli.console import output_console
from dealias.cli.tables import add_row, percent

if TYPE_CHECKING:
    from dealias.demo import Tested


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--folder", type=Path, default=Path("demo"), metavar="DIR", help="folder for all files")
    steps = "number of training steps; 200 if not given"
    add("--steps", type=int, default=None, metavar="N", help=steps)
    scenes = "number of test scenes; 24 if not given"
    add("--scenes", type=int, default=None, metavar="N", help=scenes)
    add("--seed", type=int, default=0, help="seed of scenes and weights")
    add("--overwrite", action="store_true", help="replace the files of an earlier demo")


def run(options: Namespace) -> int:
    """Train and test both networks, and print their results side by side."""
    from dealias.cli.evaluation_tables import print_comparison
    from dealias.demo import run as run_demo

    found = run_demo(
        options.folder,
        steps=options.steps,
        scenes=options.scenes,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    console = output_console()
    print_comparison({name: tested.clean for name, tested in found.items()}, console)
    console.print(_steadiness(found))
    return 0


def _steadiness(found: Mapping[str, Tested]) -> Table:
    """A table of how stable predictions are when the camera moves, and under noise."""
    from dealias.demo import SIGMA

    table = Table(
        title="pixels that keep their class when the camera moves, and mIoU under noise, %"
    )
    table.title_justify = "left"
    table.add_column("")
    for head in ("all pixels", "target bands", "predicted bands", f"mIoU, sigma {SIGMA}"):
        table.add_column(head, justify="right")
    for name, tested in found.items():
        noisy = tested.noisy.mean_metrics()["mIoU"]
        keys = ("agreement", "agreement_target_band", "agreement_preds_band")
        values = [*(tested.agreement[key] for key in keys), noisy]
        add_row(table, name, *map(percent, values))
    return table
