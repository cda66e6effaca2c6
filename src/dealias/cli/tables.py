"""Cells of tables on the terminal."""

from rich.table import Table
from rich.text import Text

from dealias.text import printable


def add_row(table: Table, *cells: str) -> None:
    """Add cells literally: names of files and classes are not markup."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def percent(value: float | None, *, sign: bool = False) -> str:
    """A fraction in percent, with two decimals; "-" where it is not defined."""
    if value is None or value != value:
        return "-"
    return f"{100 * value:{'+' if sign else ''}.2f}"
