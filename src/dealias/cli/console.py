"""Tables and progress on the terminal."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from dealias.evaluation import Evaluation
from dealias.metrics.functional import ERROR_KINDS, error_pixels
from dealias.processes import main_process
from dealias.text import printable

# The order and the arrows of the paper.
COLUMNS = {"IoU": "↑", "BIoU": "↑", "BAcc": "↑", "FErr": "↓", "MErr": "↓", "DErr": "↓"}
_MEANS = {"IoU": "mIoU"}
_PIPE_WIDTH = 100
_LISTED = 10


def output_console() -> Console:
    """Standard output: as wide as the terminal, or fixed when piped."""
    output = sys.stdout or io.StringIO()  # there is none if it was closed
    width = None if output.isatty() else _PIPE_WIDTH
    return Console(file=output, width=width, markup=False, highlight=False, emoji=False)


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[], object]]:
    """Show a progress bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    if not (console.is_terminal and main_process()):
        yield lambda: None
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Images per second so far."""
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s")


def print_evaluation(evaluation: Evaluation, console: Console, *, worst: int = 5) -> None:
    """Print the classes, the kinds of error and the worst images."""
    result = evaluation.to_dict()
    console.print(_class_table(result, console))
    console.print(_kind_table(result))
    rows = evaluation.worst(worst)
    longest = max((len(printable(row.name)) for row in rows), default=0)
    table = Table()
    table.add_column("worst images", overflow="fold", min_width=min(longest, 40))
    table.add_column("mIoU", justify="right")
    for kind in ERROR_KINDS:
        table.add_column(f"{kind.title.lower()} (px)", justify="right")
    for row in rows:
        pixels = [f"{count:,}" for count in row.error_pixels]
        add_row(table, row.name, percent(row.miou), *pixels)
    console.print(table)
    for message in evaluation.warnings():
        console.print(f"warning: {printable(message)}", soft_wrap=True)
    for message in evaluation.skipped:
        console.print(f"skipped {printable(message)}", soft_wrap=True)


def print_comparison(evaluations: Mapping[str, Evaluation], console: Console) -> None:
    """Print the mean metrics and the shares of wrong pixels of several evaluations."""
    metrics = Table(title="in percent", title_justify="left")
    metrics.add_column("")
    for name, arrow in COLUMNS.items():
        head = f"{_MEANS.get(name, name)} {_arrow(arrow, console)}"
        metrics.add_column(head, justify="right")
    pixels = Table(title="wrong pixels", title_justify="left")
    pixels.add_column("")
    for kind in ERROR_KINDS:
        pixels.add_column(kind.title.lower(), justify="right")
    for name, evaluation in evaluations.items():
        found = evaluation.to_dict()["metrics"]
        values = [percent(found[_MEANS.get(column, column)]) for column in COLUMNS]
        add_row(metrics, name, *values)
        wrong = error_pixels(evaluation.counts.confusion)
        add_row(pixels, name, *(f"{int(count):,}" for count in wrong.values()))
    console.print(metrics)
    console.print(pixels)


def print_differences(comparison: Mapping[str, Any], console: Console) -> None:
    """Print what :func:`dealias.report.compare_results` found: each figure of both, and B - A."""
    first, second = comparison["names"]
    means = Table(title=f"A: {first}, B: {second}; in percent", title_justify="left")
    means.add_column("")
    for heading in ("A", "B", "B - A"):
        means.add_column(heading, justify="right")
    for name, arrow in COLUMNS.items():
        mean = _MEANS.get(name, name)
        pair = comparison["metrics"][mean]
        add_row(means, f"{mean} {_arrow(arrow, console)}", *_change(pair))
    for name, pair in (comparison["agreement"] or {}).items():
        add_row(means, f"{name.replace('_', ' ')} {_arrow('↑', console)}", *_change(pair))
    classes = Table("class", title="B - A by class, in points", title_justify="left")
    for name, arrow in COLUMNS.items():
        classes.add_column(f"{name} {_arrow(arrow, console)}", justify="right")
    for row in comparison["classes"]:
        add_row(classes, row["name"], *(_change(row[name])[2] for name in COLUMNS))
    wrong = Table("wrong pixels")
    for heading in ("A", "B", "B - A"):
        wrong.add_column(heading, justify="right")
    for kind in ERROR_KINDS:
        pixels = comparison["error_pixels"][kind.key]
        counts = (f"{pixels['a']:,}", f"{pixels['b']:,}", f"{pixels['difference']:+,}")
        add_row(wrong, kind.title.lower(), *counts)
    for table in (means, classes, wrong):
        console.print(table)
    for note in comparison["notes"]:
        console.print(printable(note), soft_wrap=True)


def short_names(paths: Sequence[Path]) -> list[str]:
    """What tells files apart: their names without suffix, or as much of the path as it takes.

    >>> short_names([Path("runs/plain/result.json"), Path("runs/filtered/result.json")])
    ['plain', 'filtered']
    """
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    for depth in range(1, 1 + min(len(path.parts) for path in paths)):
        names = [path.parts[-depth] for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path.with_suffix("")) for path in paths]


def _change(pair: Mapping[str, float | None]) -> tuple[str, str, str]:
    return percent(pair["a"]), percent(pair["b"]), percent(pair["difference"], sign=True)


def _class_table(result: dict[str, Any], console: Console) -> Table:
    title = (
        f"{result['images']:,} images, {result['class_set']}, protocol {result['protocol']}, "
        f"bands of {result['band_width']} px; in percent"
    )
    table = Table("class", title=title, title_justify="left")
    columns = {_MEANS.get(name, name): name for name in COLUMNS}
    extra = [name for name in ("boundary_IoU", "boundary_F") if name in result["metrics"]]
    for mean, name in columns.items():
        table.add_column(f"{mean} {_arrow(COLUMNS[name], console)}", justify="right")
    for name in extra:
        table.add_column(f"{name.replace('_', ' ')} {_arrow('↑', console)}", justify="right")
    for row in result["classes"]:
        values = [row[name] for name in (*columns.values(), *extra)]
        add_row(table, row["name"], *map(percent, values))
    table.add_section()
    table.add_row("mean", *(percent(result["metrics"][name]) for name in (*columns, *extra)))
    return table


def _kind_table(result: dict[str, Any]) -> Table:
    table = Table("wrong pixels")
    table.add_column("share", justify="right")
    table.add_column("mIoU if mended", justify="right")
    table.add_column("costliest pairs (target as prediction, mIoU)")
    for kind in ERROR_KINDS:
        gain = result["mIoU_gain"][kind.key]
        pairs = [
            f"{pair['target']} as {pair['prediction']} {percent(pair['mIoU_gain'], sign=True)}"
            for pair in result["costly_pairs"][kind.key][:3]
        ]
        add_row(
            table,
            kind.title.lower(),
            percent(result["error_shares"][kind.key]),
            percent(gain, sign=True),
            ", ".join(pairs),
        )
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add cells as they are: names of files and classes are not markup."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def print_list(lines: Sequence[str], console: Console) -> None:
    """Print the first lines of a list, and how many more there are."""
    for line in lines[:_LISTED]:
        console.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > _LISTED:
        console.print(f"  and {len(lines) - _LISTED:,} more")


def list_sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    """The first sizes (H, W) of images, and how many others there are.

    >>> list_sizes({(360, 480): 7, (720, 960): 1})
    '480x360, 960x720'
    """
    listed = [f"{width}x{height}" for height, width in sizes]
    more = f" and {len(listed) - 3:,} other sizes" if len(listed) > 3 else ""
    return f"{', '.join(listed[:3]) or 'no size'}{more}"


def _arrow(arrow: str, console: Console) -> str:
    return arrow if console.encoding.startswith("utf") else {"↑": "^", "↓": "v"}[arrow]


def percent(value: float | None, *, sign: bool = False) -> str:
    """A fraction in percent, with two decimals; "-" where it is not defined."""
    if value is None or value != value:
        return "-"
    return f"{100 * value:{'+' if sign else ''}.2f}"
