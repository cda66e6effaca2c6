"""``dealias study``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table as RichTable

from dealias.cli.console import output_console, progress, tell
from dealias.cli.tables import add_row
from dealias.text import printable

if TYPE_CHECKING:
    from dealias.study import Table


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    config = "configuration of dealias fit that all variants share"
    add("--config", type=str, required=True, metavar="NAME", help=config)
    variants = "names of the variants, each with the options in which it differs"
    add("--variants", type=Path, required=True, metavar="FILE", help=variants)
    seeds = "number of seeds, or two or more seeds to use"
    add("--seeds", type=int, nargs="+", default=[8], metavar="N", help=seeds)
    output = "folder for the runs, as VARIANT/SEED"
    add("--output", type=Path, required=True, metavar="DIR", help=output)
    results = "folder for study.json and the table; that of --output if not given"
    add("--results", type=Path, metavar="DIR", help=results)
    add("--jobs", type=int, default=1, metavar="N", help="number of trainings to run at a time")
    shifts = "number of shifts of each test image (0: none); 5 for label maps if not given"
    add("--shifts", type=int, metavar="N", help=shifts)
    largest = "largest shift along an axis, in pixels"
    add("--largest-shift", type=int, default=32, metavar="N", help=largest)
    noise = (
        "sigma of the Gaussian noise in the noise tests, on a scale of 0 to 255; 20 if not given; "
        "--noise without a value skips them"
    )
    add("--noise", type=float, nargs="*", metavar="SIGMA", help=noise)
    conditions = "names of further tests, each with the data options that it changes"
    add("--conditions", type=Path, metavar="FILE", help=conditions)
    add("--cost", type=bool, default=True, help="also measure time and memory")
    baseline = "variant to compare the others with; the first in the file if not given"
    add("--baseline", metavar="NAME", help=baseline)
    add("--overwrite", action="store_true", help="redo runs that were made with other options")
    add("--summarise", action="store_true", help="summarise the finished runs without training")
    add("--trust", action="store_true", help="run classes that options name by class_path")


def run(options: Namespace) -> int:
    """Train and test what is missing, and print and write the results."""
    from dealias.study import Study, run_study

    seeds = options.seeds
    found = run_study(
        Study(
            config=options.config,
            variants=options.variants,
            seeds=range(seeds[0]) if len(seeds) == 1 else seeds,
            output=options.output,
            results=options.results,
            jobs=options.jobs,
            shifts=options.shifts,
            largest_shift=options.largest_shift,
            noise=options.noise,
            conditions=options.conditions,
            cost=options.cost,
            baseline=options.baseline,
            overwrite=options.overwrite,
            summarise=options.summarise,
            trust=options.trust,
        ),
        tell=tell,
        progress=progress,
    )
    console = output_console()
    for table in found.tables:
        console.print(_upright(table))
    for note in found.notes:
        console.print(f"note: {printable(note)}", soft_wrap=True)
    console.print(f"study.json, table.md, figure.png: {printable(found.folder)}", soft_wrap=True)
    return 1 if found.failed else 0


def _upright(table: Table) -> RichTable:
    """A transposed table for the terminal: there are more figures than variants."""
    shown = RichTable(title=table.title, title_justify="left")
    shown.add_column("")
    for name, _ in table.rows:
        shown.add_column(name, justify="right")
    for index, head in enumerate(table.heads):
        add_row(shown, head, *(cells[index] for _, cells in table.rows))
    return shown
