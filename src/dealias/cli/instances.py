"""What commands print about instances: the check of a data set, and a test."""

from typing import Any

from rich.console import Console
from rich.table import Table

from dealias.cli.console import list_sizes, print_list
from dealias.cli.tables import add_row, percent
from dealias.instance import (
    BOX_ERRORS,
    INSTANCE_ERRORS,
    SCORES,
    InstanceCheck,
    InstanceSplitCheck,
)
from dealias.text import printable

_COLUMNS = ("instances", "images", "small", "medium", "large", "crowds")


def print_results(evaluation: Any, console: Console) -> None:
    """Print the scores and the classes of a :class:`dealias.instance.InstanceEvaluation`."""
    result = evaluation.to_dict()
    title = (
        f"{result['images']:,} images, {result['instances']:,} instances, "
        f"{result['detections']:,} detections; in percent"
    )
    scores = Table("overlap of", title=title, title_justify="left")
    for name in SCORES:
        scores.add_column(name, justify="right")
    for overlap, values in result["metrics"].items():
        add_row(scores, overlap, *(percent(values[name]) for name in SCORES))
    console.print(scores)
    if "mask" in result["metrics"]:
        console.print(
            f"APs, APm and APl of mask and boundary: by the area of a detection's "
            f"{result['detection_area']}",
            soft_wrap=True,
        )
    classes = Table("class")
    classes.add_column("instances", justify="right")
    for overlap in result["metrics"]:
        classes.add_column(f"{overlap} AP", justify="right")
    for row in result["classes"]:
        values = (percent(row[overlap]) for overlap in result["metrics"])
        add_row(classes, row["name"], f"{row['instances']:,}", *values)
    console.print(classes)
    errors = result["errors"]
    best = f"where F1 is best: {percent(errors['F1'])} %" if errors["F1"] else "none right"
    boxes = errors["overlap"] == "box"
    what = "boxes" if boxes else "masks"
    title = f"errors of {what} at IoU 0.5 from a score of {errors['threshold']:.2f} on, {best}"
    console.print(title, style="table.title", soft_wrap=True)
    kinds = Table("kind")
    for heading in ("number", "AP50 if corrected"):
        kinds.add_column(heading, justify="right")
    for kind in BOX_ERRORS if boxes else INSTANCE_ERRORS:
        row = errors["kinds"][kind.key]
        add_row(
            kinds, kind.title.lower(), f"{row['count']:,}", percent(row["AP50_gain"], sign=True)
        )
    console.print(kinds)
    for message in result["skipped"]:
        console.print(f"skipped {printable(message)}", soft_wrap=True)
    for note in result["notes"]:
        console.print(printable(note), soft_wrap=True)


def print_check(found: InstanceCheck, console: Console) -> None:
    """Print the contents of the splits of a data set."""
    for split in found.splits:
        _print_split(split, console)


def _print_split(split: InstanceSplitCheck, console: Console) -> None:
    title = (
        f"{split.part}: split {printable(split.split)}, {split.images:,} images of "
        f"{list_sizes(split.sizes)}; {split.empty:,} of them without an instance"
    )
    console.print(title, soft_wrap=True)
    table = Table("class")
    for head in _COLUMNS:
        table.add_column(head, justify="right")
    for counts in split.classes:
        add_row(table, counts.name, *(f"{getattr(counts, key):,}" for key in _COLUMNS))
    console.print(table)
    if split.unseen:
        absent = ", ".join(map(printable, split.unseen))
        console.print(f"classes without an instance: {absent}", soft_wrap=True)
    if split.ignored:
        listed = ", ".join(f"{printable(name)} {count:,}" for name, count in split.ignored.items())
        console.print(f"left out, as they are no classes: {listed}", soft_wrap=True)
    for note in split.notes:
        console.print(printable(note), soft_wrap=True)
    if split.problems:
        console.print(f"annotations or images that can't be used: {len(split.problems):,}")
        print_list(split.problems, console)
