"""Tables of the figures at several band widths on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from dealias.cli.tables import add_row, percent
from dealias.report import width_labels


def width_table(found: Mapping[str, Any]) -> Table:
    """The means at each width; `found` is the "widths" of a result."""
    table = Table("width of the bands", title="in percent", title_justify="left")
    for name in found["metrics"]:
        table.add_column(name, justify="right")
    for at, label in enumerate(width_labels(found)):
        add_row(table, label, *(percent(values[at]) for values in found["metrics"].values()))
    return table


def width_changes(found: Mapping[str, Any]) -> Table:
    """B - A at each width; `found` is the "widths" of a comparison."""
    table = Table("width of the bands", title="B - A, in points", title_justify="left")
    for name in found["a"]:
        table.add_column(name, justify="right")
    for at, label in enumerate(width_labels(found)):
        pairs = [(found["a"][name][at], found["b"][name][at]) for name in found["a"]]
        changes = [None if None in pair else pair[1] - pair[0] for pair in pairs]
        add_row(table, label, *(percent(change, sign=True) for change in changes))
    return table
