"""Output files that are whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dealias.labels import show_path


class OutputError(ValueError):
    """An output can't be written, or would replace what is there."""


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless the file `path` can be written; nothing is left behind."""
    if path.is_dir():
        raise OutputError(f"{show_path(path)}: expected a file, got a folder")
    if path.exists() and not overwrite:
        raise OutputError(f"{show_path(path)}: exists already; --overwrite replaces it")
    _check_folder(path.parent, path)


def check_output_folder(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless files can be written to the folder `path`."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{show_path(path)}: expected a folder, got a file")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(f"{show_path(path)}: is not empty; --overwrite writes into it")
    _check_folder(path if path.is_dir() else path.parent, path)


def _check_folder(folder: Path, output: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{show_path(output)}: can't be written: {error.strerror}") from error


@contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write beside `path`, which it replaces once it is complete.

    An error or an interrupt removes it and leaves `path` as it was.

    Raises:
        OutputError: the file can't be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    except OSError as error:
        raise OutputError(f"{show_path(path)}: can't be written: {error.strerror}") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # mkstemp's files are for their owner alone
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"{show_path(path)}: can't be written: {error.strerror}") from error
        raise
