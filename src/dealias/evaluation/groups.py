"""Groups of images that belong together, such as frames of a video or images of a patient."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dealias.inputs import read_bytes
from dealias.text import FileError, printable

_LARGEST_FILE = 2**26  # bytes
_LISTED = 3


class GroupError(ValueError):
    """Images can't be put into groups."""


@dataclass(frozen=True)
class Groups:
    """Finds the group of an image from its name; see :func:`read_groups`.

    Attributes:
        pattern: regular expression that finds the group in the name; None to use the table.
        table: groups by name of the image, if there is no pattern.
    """

    pattern: re.Pattern[str] | None = None
    table: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """Return the group of an image; empty if it has none."""
        if self.pattern is None:
            return self.table.get(name, "")
        found = self.pattern.search(name)
        return "" if found is None else found[1 if self.pattern.groups else 0] or ""

    def check(self, names: Sequence[str]) -> None:
        """Raise GroupError unless every image has a group."""
        without = [name for name in names if not self.of(name)]
        if without:
            listed = ", ".join(printable(name) for name in without[:_LISTED])
            raise GroupError(
                f"groups: expected a group of each image, got none of {len(without):,}: {listed}"
            )


def read_groups(asked: str) -> Groups:
    """Read the value of ``--groups``.

    Args:
        asked: path of a CSV file with two columns, the name of an image and the name of its group;
            or a regular expression to search in the names of the images. The group is then what its
            first pair of parentheses matches, or the whole match if it has none.

    Raises:
        GroupError: the value is neither a file nor a regular expression, or the file can't be used.

    >>> read_groups("^([a-z]+)_").of("zurich_000012_000019")
    'zurich'
    """
    path = Path(asked)
    if _is_file(path):
        return Groups(table=_read_table(path))
    if asked.lower().endswith(".csv"):
        raise GroupError(f"groups: {printable(asked)!r}: no such file")
    try:
        return Groups(re.compile(asked))
    except (re.error, OverflowError, RecursionError) as error:
        raise GroupError(
            f"groups: {printable(asked)!r}: no such file, and no regular expression: {error}"
        ) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or has a null character
        return False


def _read_table(path: Path) -> dict[str, str]:
    try:
        lines = read_bytes(path, _LARGEST_FILE).decode("utf-8-sig").splitlines()
        rows = [row for row in csv.reader(lines) if row]
    except FileError as error:
        raise GroupError(str(error)) from error
    except (ValueError, csv.Error) as error:
        raise GroupError(f"{printable(path)}: expected CSV: {error}") from error
    table: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise GroupError(
                f"{printable(path)}: row {number}: expected the name of an image and its group, "
                f"got {len(row)} columns"
            )
        name, group = (cell.strip() for cell in row)
        if table.setdefault(name, group) != group:
            raise GroupError(f"{printable(path)}: row {number}: {printable(name)} has two groups")
    return table
