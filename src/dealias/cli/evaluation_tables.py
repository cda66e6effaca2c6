"""Tables of one evaluation of label maps, and of several."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dealias.cli.console import arrow
from dealias.cli.object_tables import print_objects
from dealias.cli.tables import add_row, percent
from dealias.cli.width_tables import width_table
from dealias.evaluation import Evaluation
from dealias.metrics.functional import ARROWS, ERROR_KINDS, FEWEST_UNITS, MEANS, error_pixels
from dealias.report import FINE_GRAINED_NOTES
from dealias.text import printable

_WORST = 5  # images that are listed


def print_evaluation(evaluation: Evaluation, console: Console, *, interval: bool = False) -> None:
    """Print the classes, the kinds of error and the worst images.

    Args:
        evaluation: the counts and what follows from them.
        console: where to print.
        interval: print the confidence interval of each figure below it.
    """
    result = evaluation.to_dict()
    console.print(_fitting_class_table(result, console, interval))
    absent = sum(row["IoU"] is None for row in result["classes"])
    if absent:
        console.print(f"left out, as neither in targets nor predicted: {absent:,} classes")
    if interval:
        console.print(_interval_note(result["intervals"]), soft_wrap=True)
    covered = [
        f"{printable(name)} ({percent(share)} %)"
        for name, share in result["covered_by_bands"].items()
    ]
    if covered:
        names = ", ".join(covered)
        console.print(
            f"in bands nearly wholly, so that BIoU says little more than IoU: {names}",
            soft_wrap=True,
        )
    if "widths" in result:
        console.print(width_table(result["widths"]))
    console.print(_kind_table(result))
    console.print(_fine_grained_table(result))
    rows = evaluation.worst(_WORST)
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
    if "objects" in result:
        print_objects(result["objects"], console)
    for message in evaluation.warnings():
        console.print(f"warning: {printable(message)}", soft_wrap=True)
    for message in evaluation.skipped:
        console.print(f"skipped {printable(message)}", soft_wrap=True)


def print_comparison(evaluations: Mapping[str, Evaluation], console: Console) -> None:
    """Print the mean metrics and the shares of wrong pixels of several evaluations."""
    metrics = Table(title="in percent", title_justify="left")
    metrics.add_column("")
    for name, way in ARROWS.items():
        head = f"{MEANS.get(name, name)} {arrow(way, console)}"
        metrics.add_column(head, justify="right")
    pixels = Table(title="wrong pixels", title_justify="left")
    pixels.add_column("")
    for kind in ERROR_KINDS:
        pixels.add_column(kind.title.lower(), justify="right")
    for name, evaluation in evaluations.items():
        found = evaluation.mean_metrics()
        values = [percent(found[MEANS.get(column, column)]) for column in ARROWS]
        add_row(metrics, name, *values)
        wrong = error_pixels(evaluation.counts.confusion)
        add_row(pixels, name, *(f"{int(count):,}" for count in wrong.values()))
    console.print(metrics)
    console.print(pixels)


def _fitting_class_table(result: dict[str, Any], console: Console, interval: bool) -> Table:
    """The table of classes; limits of an interval are stacked if they don't fit side by side."""
    if not interval or result["intervals"]["missing"] is not None:
        return _class_table(result, console)
    table = _class_table(result, console, "..")
    anywhere = console.options.update(width=sys.maxsize)
    fits = console.measure(table, options=anywhere).minimum <= console.width  # names are folded
    return table if fits else _class_table(result, console, "..\n")


def _class_table(result: dict[str, Any], console: Console, to: str | None = None) -> Table:
    """The table of classes, with a row of intervals for each if `to`, their separator, is given."""
    title = (
        f"{result['images']:,} images, {result['class_set']}, protocol {result['protocol']}, "
        f"bands of {result['band_width']} px; in percent"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("class", overflow="fold")
    columns = {MEANS.get(name, name): name for name in ARROWS}
    extra = [name for name in ("boundary_IoU", "boundary_F") if name in result["metrics"]]
    for name in columns.values():
        heading = f"{name} {arrow(ARROWS[name], console)}"
        table.add_column(heading, justify="right", no_wrap=to is not None)
    for name in extra:
        table.add_column(f"{name.replace('_', ' ')} {arrow('↑', console)}", justify="right")
    found = result["intervals"]
    for row, limits in zip(result["classes"], found["classes"], strict=True):
        if row["IoU"] is None:  # neither in targets nor predicted
            continue
        values = [row[name] for name in (*columns.values(), *extra)]
        add_row(table, row["name"], *map(percent, values))
        if to is not None:
            table.add_row(*_limits(found, [limits[name] for name in columns.values()], to))
    table.add_section()
    table.add_row("mean", *(percent(result["metrics"][name]) for name in (*columns, *extra)))
    if to is not None:
        table.add_row(*_limits(found, [found["metrics"][name] for name in columns], to))
    return table


def _limits(
    found: Mapping[str, Any], pairs: Sequence[Sequence[float] | None], to: str
) -> list[Text]:
    """Cells of a row of intervals."""
    texts = ([f"{100 * end:.1f}" for end in pair or ()] for pair in pairs)
    cells = [to.join(text) or "-" for text in texts]
    return [Text(cell) for cell in (f"  {found['level']:.0%} interval", *cells)]


def _interval_note(found: Mapping[str, Any]) -> str:
    if found["missing"] is not None:
        return f"no intervals: {printable(found['missing'])}"
    return (
        f"{found['level']:.0%} intervals by a bootstrap over {found['units']:,} {found['unit']}s: "
        f"{found['resamples']:,} resamples, seed {found['seed']}; none for what fewer than "
        f"{FEWEST_UNITS} of them have"
    )


def _fine_grained_table(result: Mapping[str, Any]) -> Table:
    table = Table("mIoU, image by image", "%", "what it is")
    for name, note in FINE_GRAINED_NOTES.items():
        value = (result["fine_grained"] or {}).get(name)
        add_row(table, name.replace("_worst_tenth", ", worst tenth"), percent(value), note)
    return table


def _kind_table(result: dict[str, Any]) -> Table:
    table = Table("wrong pixels")
    table.add_column("share", justify="right")
    table.add_column("mIoU if corrected", justify="right")
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
