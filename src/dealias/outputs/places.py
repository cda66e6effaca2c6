"""Hidden places next to outputs, where they are written until they are complete."""

from __future__ import annotations

import os
from pathlib import Path

from dealias.files import PART, hidden_name

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
