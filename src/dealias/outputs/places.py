"""Where outputs are written before they take their place: hidden names beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dealias.files import PART, OutputError, hidden_name
from dealias.text import printable

LOCK, OLD, GONE = "dealias-lock", "dealias-old", "dealias-gone"
OWN = {f".{kind}" for kind in (LOCK, PART)}  # inside a folder: see beside and part_of


def beside(path: Path, kind: str) -> Path:
    """A name of ours next to an output; inside it, if it is a folder in one not to be written.

    Every process must come to the same place.
    """
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        return path / f".{kind}"
    return path.with_name(hidden_name(path, kind))


def part_of(folder: Path) -> Path:
    """Where a folder of outputs is written before it takes its place: by its side if it can be.

    It can't if the folder can't be renamed, or a shell would be left in the one that goes.
    """
    folder = folder.resolve()
    if folder.is_dir() and (folder.is_mount() or Path.cwd().is_relative_to(folder)):
        return folder / f".{PART}"
    return beside(folder, PART)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OutputError, with the name of the output, for what the system raises."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{printable(path)}: can't be written: {error.strerror or error}"
        ) from error
