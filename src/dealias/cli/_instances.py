"""The table of average precision."""

from typing import Any

from rich.console import Console
from rich.table import Table

from dealias._text import printable
from dealias.cli._console import add_row, percent

_SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def print_instances(evaluation: Any, console: Console) -> None:
    """Print the scores and the classes of a :class:`dealias.instance.InstanceEvaluation`."""
    result = evaluation.to_dict()
    title = (
        f"{result['images']:,} images, {result['instances']:,} instances, "
        f"{result['detections']:,} detections; in percent"
    )
    scores = Table("overlap of", title=title, title_justify="left")
    for name in _SCORES:
        scores.add_column(name, justify="right")
    for overlap, values in result["metrics"].items():
        add_row(scores, overlap, *(percent(values[name]) for name in _SCORES))
    console.print(scores)
    classes = Table("class")
    classes.add_column("instances", justify="right")
    for overlap in result["metrics"]:
        classes.add_column(f"{overlap} AP", justify="right")
    for row in result["classes"]:
        values = (percent(row[overlap]) for overlap in result["metrics"])
        add_row(classes, row["name"], f"{row['instances']:,}", *values)
    console.print(classes)
    for message in result["skipped"]:
        console.print(f"skipped {printable(message)}", soft_wrap=True)
