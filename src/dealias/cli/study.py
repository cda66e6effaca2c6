"""``dealias study``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table as RichTable

from dealias.cli.console import output_console, progress
from dealias.cli.tables import add_row
from dealias.text import printable

if TYPE_CHECKING:
    from dealias.study import Table


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--config", type=str, required=True, metavar="NAME", help="of dealias fit: the base")
    add("--variants", type=Path, required=True, metavar="FILE", help="names and what differs")
    add("--seeds", type=int, nargs="+", default=[8], metavar="N", help="how many, or which")
    add("--output", type=Path, required=True, metavar="DIR", help="of the runs, VARIANT/SEED")
    add("--results", type=Path, metavar="DIR", help="of study.json and the table; the output")
    add("--jobs", type=int, default=1, metavar="N", help="trainings at a time")
    add("--shifts", type=int, metavar="N", help="of each image; 5 for label maps, 0 for none")
    add("--largest-shift", type=int, default=32, metavar="N", help="in pixels along an axis")
    noise = "tests under noise, of 255; 20 if left out, none by --noise alone"
    add("--noise", type=float, nargs="*", metavar="SIGMA", help=noise)
    add("--conditions", type=Path, metavar="FILE", help="further tests: names and options of data")
    add("--cost", type=bool, default=True, help="measure time and memory too")
    add("--baseline", metavar="NAME", help="variant to compare with; the first of the file")
    add("--overwrite", action="store_true", help="do anew what was done with other options")
    add("--summarise", action="store_true", help="sum up what is done, and train nothing")
    add("--trust", action="store_true", help="run classes that options name by class_path")


def run(options: Namespace) -> int:
    """Train and test what is missing, print and write."""
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
        tell=_tell,
        progress=progress,
    )
    console = output_console()
    for table in found.tables:
        console.print(_upright(table))
    for note in found.notes:
        console.print(f"note: {printable(note)}", soft_wrap=True)
    console.print(f"study.json, table.md, figure.png: {printable(found.folder)}", soft_wrap=True)
    return 1 if found.failed else 0


def _tell(text: str) -> None:
    for line in text.splitlines():
        output_console().print(printable(line), soft_wrap=True)


def _upright(table: Table) -> RichTable:
    """A table with a column for each of its rows: there are more figures than variants."""
    shown = RichTable(title=table.title, title_justify="left")
    shown.add_column("")
    for name, _ in table.rows:
        shown.add_column(name, justify="right")
    for index, head in enumerate(table.heads):
        add_row(shown, head, *(cells[index] for _, cells in table.rows))
    return shown
