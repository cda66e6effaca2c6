"""Output files that are whole or not there."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dealias.text import printable


class OutputError(ValueError):
    """An output can't be written, or would replace what is there."""


def check_outputs(
    files: Sequence[Path], folders: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool
) -> None:
    """Raise OutputError unless all of this can be written; nothing is left behind.

    Args:
        files: files to write, each of its own.
        folders: folders to write files into.
        inputs: folders in which nothing may be written.
        overwrite: whether what exists may be replaced.
    """
    seen: set[Path] = set()
    for path in (*files, *folders):
        real = path.resolve()
        if real in seen:
            raise OutputError(f"{printable(path)}: is given for two outputs")
        seen.add(real)
        for folder in inputs:
            if real.is_relative_to(folder.resolve()):
                raise OutputError(f"{printable(path)}: lies in the inputs, {printable(folder)}")
    for path in files:
        _check_file(path, overwrite=overwrite)
    for path in folders:
        _check_output_folder(path, overwrite=overwrite)


def _check_file(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{printable(path)}: expected a file, got a folder")
    if path.exists() and not path.is_file():
        raise OutputError(f"{printable(path)}: expected a regular file")
    if path.exists() and not overwrite:
        raise OutputError(f"{printable(path)}: exists already; --overwrite replaces it")
    _check_folder(path.resolve().parent, path)


def _check_output_folder(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise OutputError(f"{printable(path)}: expected a folder, got a file")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(f"{printable(path)}: is not empty; --overwrite writes into it")
    _check_folder(path if path.is_dir() else path.resolve().parent, path)


def _check_folder(folder: Path, output: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{printable(output)}: can't be written: {error.strerror}") from error


@contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write beside `path`, which it replaces once it is complete.

    An error or an interrupt removes it and leaves `path` as it was. A link is followed.

    Raises:
        OutputError: the file can't be written.
    """
    path = path.resolve()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    except OSError as error:
        raise OutputError(f"{printable(path)}: can't be written: {error.strerror}") from error
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
            raise OutputError(f"{printable(path)}: can't be written: {error.strerror}") from error
        raise


def to_json(content: Any) -> bytes:
    """Lists, mappings, numbers and text as JSON in UTF-8, for people to read too.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def write_json(content: Any, path: Path) -> None:
    """Write what :func:`to_json` makes of lists, mappings, numbers and text.

    Raises:
        OutputError: the file can't be written.
        ValueError: a number is not finite.
    """
    data = to_json(content)
    with write_whole(path) as file:
        file.write(data)
