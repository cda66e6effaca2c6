"""Tables of objects on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from dealias.cli.tables import add_row, percent
from dealias.evaluation import OBJECT_FATES

_COLUMNS = ("objects", *OBJECT_FATES, "predicted")


def print_objects(found: Mapping[str, Any], console: Console) -> None:
    """Print the fate of objects by class and by size; `found` is the "objects" of a result."""
    low, high = (f"{100 * found[key]:g} %" for key in ("vanished_below", "found_from"))
    rows = [row for row in found["classes"] if row["objects"] or row["predicted"]]
    title = f"objects; found: {high} of the pixels or more, vanished: less than {low}"
    fates = Table("class", title=title, title_justify="left")
    for name in _COLUMNS:
        fates.add_column(name.replace("_", " "), justify="right")
    title = "vanished and false objects by share of the image"
    sizes = Table("class", title=title, title_justify="left")
    for size in found["sizes"]:
        sizes.add_column(_size_heading(size), justify="right")
    sizes.add_column("all", justify="right")
    for row in rows:
        add_row(fates, row["name"], *(f"{row[key]:,}" for key in _COLUMNS))
        add_row(sizes, row["name"], *map(_vanished, (*row["sizes"], row)))
    fates.add_section()
    add_row(fates, "all", *(f"{found['total'][key]:,}" for key in _COLUMNS))
    sizes.add_section()
    add_row(sizes, "all", *map(_vanished, (*found["sizes"], found["total"])))
    add_row(sizes, "false", *(f"{row['false']:,}" for row in (*found["sizes"], found["total"])))
    for name in ("mIoU", "mAcc"):
        add_row(sizes, f"{name}, %", *(percent(size[name]) for size in found["sizes"]), "")
    console.print(fates)
    console.print(sizes)


def _size_heading(size: Mapping[str, Any]) -> str:
    below = size["below"]
    return str(size["name"]) if below is None else f"{size['name']} < {100 * below:g} %"


def _vanished(row: Mapping[str, Any]) -> str:
    return f"{row['vanished']:,} of {row['objects']:,}" if row["objects"] else "-"
