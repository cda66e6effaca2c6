"""Write output files so that they are either complete or absent."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dealias.text import printable

PART = "dealias-part"  # suffix of files that are being written
_LONGEST_NAME = 150  # bytes, of the 255 that file systems allow


class OutputError(ValueError):
    """An output can't be written, or would replace what is there."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the system into OutputError with the name of the output."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{printable(path)}: can't be written: {error.strerror or error}"
        ) from error


@contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file next to `path` for writing; it replaces `path` once it is complete.

    An error or an interrupt removes it and leaves `path` as it was. Links are followed. A file that
    replaces another keeps its permissions.

    Raises:
        OutputError: the file can't be written.
    """
    path = path.resolve()
    with writing(path):
        handle, name = tempfile.mkstemp(f".{PART}", hidden_name(path, ""), path.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            umask = os.umask(0)
            os.umask(umask)
            mode = path.stat().st_mode & 0o777 if path.is_file() else 0o666 & ~umask
            part.chmod(mode)  # files made by mkstemp are readable by their owner only
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def make_parents(path: Path) -> None:
    """Make the folders above a file, but do not recreate one that the process in charge removed.

    Raises:
        OutputError: they can't be made.
    """
    removed = [up for up in path.parents if up.name.endswith(f".{PART}") and not up.is_dir()]
    if removed:
        raise OutputError(f"{printable(path)}: can't be written: its folder was removed")
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)


def hidden_name(path: Path, kind: str) -> str:
    """Return the name of a temporary file next to an output: hidden, and not too long."""
    name = path.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.{kind}"


def sweep_parts(path: Path) -> None:
    """Remove temporary files that killed processes left; no process may be writing this file."""
    ours = re.compile(re.escape(hidden_name(path, "")) + rf"\w{{8}}\.{PART}")
    with contextlib.suppress(OSError):
        for part in [entry for entry in path.parent.iterdir() if ours.fullmatch(entry.name)]:
            part.unlink()


def defined(values: Any) -> Any:
    """Convert numbers for :func:`to_json`: those that are NaN become None.

    Args:
        values: a tensor, an array or a number, or a mapping or list of them.

    >>> defined({"mIoU": 0.5, "IoU": [float("nan"), 1.0]})
    {'mIoU': 0.5, 'IoU': [None, 1.0]}
    """
    if isinstance(values, Mapping):
        return {key: defined(value) for key, value in values.items()}
    plain = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(plain, list):
        return [defined(value) for value in plain]
    return None if plain != plain else plain


def to_json(content: Any) -> bytes:
    """Encode lists, mappings, numbers and text as JSON in UTF-8, indented for people.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def write_json(content: Any, path: Path) -> None:
    """Write lists, mappings, numbers and text as JSON; see :func:`to_json`.

    Raises:
        OutputError: the file can't be written.
        ValueError: a number is not finite.
    """
    data = to_json(content)
    with write_whole(path) as file:
        file.write(data)
