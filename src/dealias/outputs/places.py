"""Hidden places next to outputs, where they are written until they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dealias.files import PART, OutputError, hidden_name
from dealias.text import printable

LOCK, OLD, GONE = "dealias-lock", "dealias-old", "dealias-gone"
OWN = {f".{kind}" for kind in (LOCK, PART)}  # inside a folder; see beside and part_of


def beside(path: Path, kind: str) -> Path:
    """Return a hidden path next to an output, or inside it if its parent can't be written.

    Every process must arrive at the same path.
    """
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        return path / f".{kind}"
    return path.with_name(hidden_name(path, kind))


def part_of(folder: Path) -> Path:
    """Return where an output folder is written until it is complete: next to it if possible.

    It is inside the folder if that is a mount point, or if the working directory is in it, so that
    no shell is left in a removed folder.
    """
    folder = folder.resolve()
    if folder.is_dir() and (folder.is_mount() or Path.cwd().is_relative_to(folder)):
        return folder / f".{PART}"
    return beside(folder, PART)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the system into OutputError with the name of the output."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{printable(path)}: can't be written: {error.strerror or error}"
        ) from error
