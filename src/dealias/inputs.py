"""Read untrusted files as data, within limits: bytes, JSON and YAML."""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PureWindowsPath
from typing import IO, Any

import yaml

from dealias.text import FileError, on_a_line, printable, reason

LARGEST_JSON = 2**28  # bytes
LARGEST_COCO = 2**31  # the annotations of LVIS are half as large
LARGEST_YAML = 2**19
LARGEST_DIRECTORY = 2**24  # bytes in a ZIP file; a tensor takes about 70
_DEEPEST = 64  # levels of nesting
_MOST_JSON_VALUES = 2**22
# An estimate: the training annotations of LVIS, 1.1 GB with 1.3 million instances, use 7 or 8 bytes
# per coordinate, so they have 160 million values at most.
MOST_COCO_VALUES = 2**28
# A list or mapping takes about 100 bytes of memory, but as few as 2 bytes of a file. Annotation
# files have at least 25 bytes for each, those of COCO and LVIS about 200. So the limit is a fixed
# number for any file, plus one for every few bytes of the file.
_MOST_HOLDERS, _BYTES_A_HOLDER = 2**20, 16
_MOST_VALUES = 200_000  # in a YAML document, aliases expanded
_LONGEST_NUMBER = 100  # characters in YAML, where 1:1:1 is a base-60 number
_LONGEST_INTEGER = 20  # characters, enough for 64 bits and a sign
_YAML = "tag:yaml.org,2002:"
_NUMBERS = {_YAML + kind for kind in ("int", "float")}
_SCALARS = {_YAML + kind for kind in ("str", "int", "float", "bool", "null", "merge")}


class HeldFile(type(Path())):  # type: ignore[misc]  # Path itself has no subclasses before 3.12
    """A file inside another file, such as a table: its name and its content.

    Attributes:
        content: its bytes.
    """

    content: bytes

    @classmethod
    def of(cls, path: Path, content: bytes) -> HeldFile:
        """Create one; `path` is used in messages."""
        held = cls(path)
        held.content = content
        return held

    def __reduce__(self) -> tuple[object, ...]:
        return Path, (str(self),)  # errors need only its name


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, never a device, a pipe or a folder.

    The content of a :class:`HeldFile` is read from memory.

    Raises:
        FileError: the file does not exist, can't be opened, or is not a regular file.
    """
    if isinstance(path, HeldFile):
        yield BytesIO(path.content)
        return
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except FileNotFoundError as error:
        raise FileError(path, "no such file") from error
    except (OSError, ValueError) as error:  # ValueError for a null character in the name
        raise FileError(path, f"can't be read: {reason(error)}") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise FileError(path, f"expected a regular file, got {kind}")
    with os.fdopen(handle, "rb") as file:
        yield file


_BINARY = getattr(os, "O_BINARY", 0)  # on Windows


@contextmanager
def open_zip(file: IO[bytes], most: int) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP file, if every reader finds its directory in the same place.

    If parts of a file contradict each other, Python and PyTorch may read different directories. So
    the file must end the way both write it: with the directory and its record, and without a
    comment.

    Args:
        file: the file, open for reading.
        most: largest size of the directory in bytes.

    Raises:
        zipfile.BadZipFile: the file is not such a ZIP file.
        ValueError: the directory is larger.
        Exception: other errors that the standard library raises for broken files.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 98))
    tail = file.read(98)
    end, place = tail[-22:], size - 22
    count, length, start = struct.unpack("<10xHLL2x", end) if len(end) == 22 else (0, 0, 0)
    if tail[-42:-38] == b"PK\6\7":  # files above 4 GiB, and all files of PyTorch
        place = size - 98
        count, length, start = struct.unpack("<32x3Q42x", tail.rjust(98, b"\0"))
        # The locator of the 64-bit record, and the beginning of that record.
        if tail[:4] != b"PK\6\6" or struct.unpack("<4xQ4x", tail[-38:-22])[0] != place:
            raise zipfile.BadZipFile("it does not end as a ZIP file")
    if end[:4] != b"PK\5\6" or end[20:] != b"\0\0" or start + length != place:
        raise zipfile.BadZipFile("it does not end as a ZIP file")
    if length > most:
        raise ValueError("expected few entries, got a list of very many")
    with zipfile.ZipFile(file) as archive:
        if archive.start_dir != start or len(archive.infolist()) != count:
            raise zipfile.BadZipFile("its directory is not where it should be")
        yield archive


def read_bytes(path: Path, most: int) -> bytes:
    """Read the content of a regular file.

    Args:
        path: the file.
        most: largest size in bytes.

    Raises:
        FileError: see :func:`open_regular`; the file can't be read, or is larger.
    """
    with open_regular(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise FileError(path, f"can't be read: {reason(error)}") from error
    if len(content) > most:
        raise FileError(path, f"expected at most {most:,} bytes, got more")
    return content


def read_json(
    path: Path,
    most: int = LARGEST_JSON,
    *,
    exact: bool = True,
    finite: bool = True,
    values: int = _MOST_JSON_VALUES,
) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        most: largest size in bytes.
        exact: whether to refuse numbers that don't fit in 64 bits and duplicate keys. Without these
            checks, large files are read several times as fast, and 1e999 becomes infinity.
        finite: whether to refuse the words NaN and Infinity, which are not valid JSON.
        values: largest number of values.

    Raises:
        FileError: see :func:`read_bytes`; the file is not JSON, or exceeds the limits.
    """
    content = read_bytes(path, most)
    if not content.strip():
        raise FileError(path, "expected JSON, got an empty file")
    try:
        return parse_json(content, exact=exact, finite=finite, values=values)
    except ValueError as error:
        raise FileError(path, str(error)) from error


def parse_json(
    content: bytes, *, exact: bool = True, finite: bool = True, values: int = _MOST_JSON_VALUES
) -> Any:
    """Parse JSON.

    Args:
        content: the JSON, in UTF-8 or UTF-16.
        exact: see :func:`read_json`.
        finite: see :func:`read_json`.
        values: largest number of values.

    Raises:
        ValueError: the content is not JSON, or exceeds the limits.
    """
    hooks: dict[str, Any] = {"parse_constant": _refuse} if finite else {}
    # Characters inside text count too: these are upper bounds, found before any value is created.
    holders = sum(map(content.count, (b"[", b"{")))
    if holders + content.count(b",") > values:
        raise ValueError(f"expected JSON of at most {values:,} values, got more")
    if holders > _MOST_HOLDERS + len(content) // _BYTES_A_HOLDER:
        raise ValueError(f"expected JSON of few lists and mappings, got {holders:,}")
    if _is_deep(content):
        raise ValueError(f"expected JSON of at most {_DEEPEST} levels of nesting, got more")
    if exact:
        hooks |= {
            "parse_int": _integer,
            "parse_float": _real,
            "object_pairs_hook": _unique,
        }
    try:
        return json.loads(content, **hooks)
    except RecursionError as error:
        raise ValueError("expected JSON, got too many levels of nesting") from error
    except ValueError as error:
        raise ValueError(f"expected JSON: {printable(str(error))}") from error


def _is_deep(content: bytes) -> bool:
    """Whether JSON is nested too deeply, found without recursion; other content may pass."""
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):
        content = content.decode(encoding, "replace").encode("utf-8", "replace")
    # Remove escaped quotes first, then everything between quotes, which is text.
    kept = content.replace(rb"\\", b"").replace(rb"\"", b"").translate(_NESTING, _REST)
    nested = b"".join(kept.split(b'"')[::2])
    for _ in range(_DEEPEST):  # removes the innermost level
        nested = nested.replace(b"[]", b"")
    return b"[]" in nested


_NESTING = bytes.maketrans(b"{}", b"[]")
_REST = bytes({*range(256)} - {*b'[]{}"'})


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:_LONGEST_INTEGER]} is out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name, count in times.items() if count > 1)
        raise ValueError(f"the key {twice[:80]!r} is given twice")
    return found


def read_yaml(path: Path, most: int = LARGEST_YAML) -> Any:
    """Read a YAML file; see :func:`parse_yaml`.

    Raises:
        FileError: see :func:`read_bytes` and :func:`parse_yaml`.
    """
    content = read_bytes(path, most)
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FileError(path, f"expected YAML: {error}") from error
    except ValueError as error:
        raise FileError(path, str(error)) from error


def parse_yaml(text: str) -> Any:
    """Parse a YAML document to plain values: mappings, lists, text, numbers, booleans and None.

    Dates stay text. Anchors and aliases are resolved as long as the expanded document is small.

    Raises:
        ValueError: the text is not YAML, has tags for other types, has a duplicate key, or is too
            large or nested too deeply.

    >>> parse_yaml("a: [1, 2024-01-01]")
    {'a': [1, '2024-01-01']}
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(loader, node, {}, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("expected YAML, got too many levels of nesting") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        problem = printable(on_a_line(error))
        raise ValueError(f"expected YAML: {problem[:400]}") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which leaves dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: [pair for pair in pairs if pair[0] != f"{_YAML}timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_scalar(self, node: Any) -> Any:
        if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            raise ValueError(f"a number of {len(node.value):,} digits")
        return super().construct_scalar(node)


def _count(loader: Any, node: yaml.Node, known: dict[yaml.Node, int], depth: int) -> int:
    """Count the values that a node stands for, with aliases expanded."""
    if depth > _DEEPEST:
        raise ValueError(f"expected at most {_DEEPEST} levels of nesting")
    if node in known:
        if not known[node]:
            raise ValueError(f"an alias of what it lies in,{node.start_mark}")
        return known[node]
    known[node] = 0  # being counted
    if isinstance(node, yaml.ScalarNode):
        inside = []
        if node.tag not in _SCALARS:
            raise ValueError(f"the tag {node.tag!r},{node.start_mark}")
    elif isinstance(node, yaml.SequenceNode) and node.tag == f"{_YAML}seq":
        inside = node.value
    elif isinstance(node, yaml.MappingNode) and node.tag == f"{_YAML}map":
        _check_keys(loader, node)
        inside = [part for pair in node.value for part in pair]
    else:
        raise ValueError(f"the tag {node.tag!r},{node.start_mark}")
    total = 1 + sum(_count(loader, part, known, depth + 1) for part in inside)
    if total > _MOST_VALUES:
        raise ValueError(f"expected at most {_MOST_VALUES:,} values, with what aliases repeat")
    known[node] = total
    return total


def _check_keys(loader: Any, node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"a key that is a list or mapping,{key.start_mark}")
        if key.tag == f"{_YAML}merge":
            continue
        value = loader.construct_object(key)
        if value in seen:
            raise ValueError(f"the key {value!r} is given twice,{key.start_mark}")
        seen.add(value)


def lies_below(path: Path, folder: Path) -> bool:
    """Whether a path from a file leads to something below a folder once links are followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, or a null character
        return False


def leads_out(name: str) -> bool:
    r"""Whether a path or name from a file leads out of the folder it is meant for.

    >>> [name for name in ("a/b", "a/../b", "/a", "c:b", "..\\b") if leads_out(name)]
    ['a/../b', '/a', 'c:b', '..\\b']
    """
    path = PureWindowsPath(name)  # knows the separators and drives of every system
    return bool(path.anchor or path.drive) or ".." in path.parts or "\0" in name
