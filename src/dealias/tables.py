"""Read columns of encoded images in Parquet and Arrow files written by the library datasets."""

from __future__ import annotations

import bisect
import importlib
import itertools
import os
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dealias.inputs import HeldFile, leads_out, open_regular, read_json
from dealias.text import FileError, printable, reason, shorten

TABLE_SUFFIXES = (".parquet", ".arrow")
SAVED = "state.json"  # in a folder of Dataset.save_to_disk
IMAGE_COLUMNS = ("image", "pixel_values")
LABEL_COLUMNS = ("annotation", "label", "segmentation_mask", "labels", "mask", "prediction")

_MOST_ROWS = 2**24
_LARGEST_GROUP = 2**28  # bytes of a column to read at once
_FEWEST_DIGITS = 6
_SHARD = re.compile(
    r"(?:(.*?)-)?(\d+)(?:-of-(\d+))?(?:-[0-9a-f]{16})?"
)  # the hexadecimal digits mark a version
# Suffixes of files by their first bytes.
_KINDS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
}
_PICTURES = {*_KINDS.values(), ".jpeg", ".tiff"}


class TableError(FileError):
    """A table can't be read, or lacks a column."""


class ImageTable:
    """Rows of one or more files, read one at a time; rows read before are not kept.

    A column of images holds bytes, or structures of bytes and a path as in ``datasets.Image``. The
    paths only serve as names of rows; the files that they name are never opened.

    Args:
        files: Parquet or Arrow files, in the order of their rows.

    Attributes:
        files: the files as given.
        columns: the type of each column, as text.
        images: columns of images.

    Raises:
        TableError: pyarrow is not installed; a file can't be read; the files have different
            columns; or there are more than 16 million rows.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self._parts = [_open(path) for path in self.files]
        self.columns = self._parts[0].columns
        self.images = self._parts[0].images
        for part in self._parts[1:]:
            if part.images != self.images:
                raise TableError(
                    part.path,
                    f"expected columns of images as in {printable(self.files[0])}, "
                    f"{_listed(self.images)}, got {_listed(part.images)}",
                )
        self._starts = list(itertools.accumulate((len(part) for part in self._parts), initial=0))
        if len(self) > _MOST_ROWS:
            raise TableError(
                self.files[0], f"expected at most {_MOST_ROWS:,} rows, got {len(self):,}"
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def choose(self, option: str, given: str | None, usual: Sequence[str]) -> str:
        """Return the given column of images, or else the only one with a usual name.

        Args:
            option: option that gives the column, for messages.
            given: name of the column, or None.
            usual: usual names of such a column.

        Raises:
            TableError: there is no such column of images, or there are several.
        """
        found = [given] if given is not None else [name for name in usual if name in self.images]
        if len(found) == 1 and found[0] in self.images:
            return str(found[0])
        columns = ", ".join(f"{shorten(name)[1:-1]} ({t})" for name, t in self.columns.items())
        asked = f"the name of a column of images as {option}"
        got = f"got {shorten(given)}" if given is not None else f"{_listed(found)} have usual names"
        raise TableError(
            self.files[0], f"expected {asked}, {got}; columns: {shorten(columns, 600)[1:-1]}"
        )

    def names(self, columns: Sequence[str]) -> list[str]:
        """Return a name for each row.

        The names are the file names in the paths of the first column whose paths give each row a
        unique name, without folders and the suffix of an image. If there is no such column, they
        are the numbers of the rows from 0, with six digits.

        Raises:
            TableError: the paths can't be read.
        """
        for column in columns:
            names = [name for part in self._parts for name in part.names(column)]
            if all(names) and len({name.lower() for name in names}) == len(self):
                return names
        digits = max(_FEWEST_DIGITS, len(str(len(self))))
        return [f"{row:0{digits}d}" for row in range(len(self))]

    def read(self, row: int, column: str, name: str) -> HeldFile:
        """Read an encoded image, as a file with this name and the suffix of its format.

        Raises:
            TableError: the image can't be read; or the row has none, but perhaps the path of a
                file.
        """
        index = bisect.bisect_right(self._starts, row) - 1
        part = self._parts[index]
        place = part.path / column / name
        try:
            content = part.read(row - self._starts[index], column)
        except TableError:
            raise
        except Exception as error:  # broken files raise many types of error
            raise TableError(place, f"can't be read: {reason(error)}") from error
        if content is None:
            raise TableError(
                place,
                "expected an encoded image in the table, got none; a path in a table is not "
                "followed: datasets.Dataset.save_to_disk and push_to_hub put files into it",
            )
        kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
        if kind is None:
            raise TableError(
                place, f"expected PNG, JPEG, TIFF, BMP or WebP, got {shorten(content[:8])} ..."
            )
        return HeldFile.of(place.with_name(f"{name}{kind}"), content)


def table_files(path: Path) -> list[Path]:
    """List the files of a table.

    Args:
        path: a Parquet or Arrow file; a pattern for several files, with ``*`` in its name; or
            state.json in a folder written by Dataset.save_to_disk.

    Raises:
        TableError: there are no files; or some are missing, according to numbers in their names
            such as -00000-of-00002.
    """
    if path.name == SAVED:
        return _saved(path)
    files = in_order(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not files:
        raise TableError(path, "no such files")
    check_shards(files)
    return files


def check_shards(files: Sequence[Path]) -> None:
    """Check that files with numbers in their names are complete, in order, and of one split.

    Raises:
        TableError: files are missing, or belong to several splits.
    """
    shards = defaultdict(list)
    for path in files:
        start, number, total = split_shard(path)
        shards[start].append((number, total))
    if len(shards) > 1:
        raise TableError(
            files[0].parent, f"expected files of one split, got {shorten(list(shards))}"
        )
    found = shards[start]
    numbers, totals = [number for number, _ in found], {total for _, total in found}
    first = 0 if totals != {None} else (numbers[0] or 0)
    if totals not in ({None}, {len(found)}) or (
        numbers != [None] and numbers != list(range(first, first + len(found)))
    ):
        raise TableError(
            files[0].parent,
            f"expected all files of {shorten(start)}, as they count themselves, got "
            f"{shorten([path.name for path in files], 200)}",
        )


def in_order(files: Iterable[Path]) -> list[Path]:
    """Sort files by the numbers in their names, else by name: train-2 comes before train-10."""
    return sorted(
        files, key=lambda path: (path.parent, *split_shard(path)[:1], _number(path), path)
    )


def _number(path: Path) -> int:
    number = split_shard(path)[1]
    return -1 if number is None else number


def split_shard(path: Path) -> tuple[str, int | None, int | None]:
    """Read the name of a file: its split, its number and the number of files.

    >>> split_shard(Path("data/train-00001-of-00004.parquet"))
    ('train', 1, 4)
    >>> split_shard(Path("val.parquet"))
    ('val', None, None)
    >>> split_shard(Path("test/0002.parquet"))
    ('', 2, None)
    """
    found = _SHARD.fullmatch(path.stem)
    if found is None:
        return path.stem, None, None
    return found[1] or "", int(found[2]), None if found[3] is None else int(found[3])


def _saved(path: Path) -> list[Path]:
    """List the files of a folder written by Dataset.save_to_disk, from its state.json."""
    content = read_json(path)
    entries = content.get("_data_files") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise TableError(path, "expected what Dataset.save_to_disk writes, with _data_files")
    if content.get("_indices_data_files") or content.get("_indices_files"):
        raise TableError(path, "expected rows in their order, got indices: save it once more")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    for name in names:
        if not isinstance(name, str) or leads_out(name):
            raise TableError(path, f"expected names of files beside it, got {shorten(name)}")
    return [path.parent / str(name) for name in names]


class _Part(ABC):
    """One file of a table.

    Attributes:
        path: the file.
        columns: the type of each column, as text.
        images: columns of images.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        self.columns = {field.name: str(field.type) for field in schema}
        self.images = [field.name for field in schema if _bytes_of(field.type) is not None]
        structures = {f.name: f.type for f in schema if _bytes_of(f.type) not in (None, "")}
        self._structures = {*structures}
        self._with_paths = {name for name, kind in structures.items() if _has_path(kind)}

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def read(self, row: int, column: str) -> bytes | None:
        """Return an encoded image, or None if there is none."""

    def names(self, column: str) -> list[str]:
        """Return the name in the path of each row, see :func:`_stem`; "" if there is none."""
        if column not in self._with_paths:
            return [""] * len(self)
        try:
            return [_stem(path) for path in self._paths(column)]
        except TableError:
            raise
        except Exception as error:  # broken files raise many types of error
            raise TableError(self.path, f"can't be read: {reason(error)}") from error

    @abstractmethod
    def _paths(self, column: str) -> Iterator[str | None]:
        """Yield the path of each row of a column that has paths."""

    def _content(self, values: Any, row: int, column: str) -> bytes | None:
        """Return the bytes in a row of an array."""
        value = values[row].as_py()
        if column in self._structures:
            value = None if value is None else value.get("bytes")
        return value or None


class _Parquet(_Part):
    """A Parquet file, read one row group at a time; the last group is kept.

    Columns are read as dictionaries: values that a file repeats without storing them again would
    otherwise take memory that it does not declare.
    """

    def __init__(self, path: Path) -> None:
        self._of: tuple[int, Any] | None = None
        file = _parquet(path)
        super().__init__(path, file.schema_arrow)
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        self._starts = list(itertools.accumulate((g.num_rows for g in groups), initial=0))
        self._kept: dict[str, tuple[int, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_of": None, "_kept": {}}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _file(self) -> Any:
        """The file, opened by this process, so that its position is not shared with others."""
        if self._of is None or self._of[0] != os.getpid():
            names = [self._name(column, "bytes") for column in self.images]
            names += [self._name(column, "path") for column in self._with_paths]
            self._of = os.getpid(), _parquet(self.path, names)
        return self._of[1]

    def read(self, row: int, column: str) -> bytes | None:
        """Return an encoded image, or None if there is none."""
        group = bisect.bisect_right(self._starts, row) - 1
        if self._kept.get(column, (None,))[0] != group:
            self._kept[column] = group, self._group(group, column)
        return self._content(self._kept[column][1], row - self._starts[group], column)

    def _name(self, column: str, inner: str) -> str:
        return f"{column}.{inner}" if column in self._structures else column

    def _group(self, group: int, column: str, inner: str = "bytes") -> Any:
        name = self._name(column, inner)
        found = self._file().metadata.row_group(group)
        parts = [found.column(index) for index in range(found.num_columns)]
        parts = [part for part in parts if part.path_in_schema == name]
        deltas = [kind for part in parts for kind in part.encodings if kind.startswith("DELTA")]
        if deltas:
            raise TableError(
                self.path,
                f"{column}: expected values as PLAIN or RLE_DICTIONARY, got {deltas[0]}",
            )
        size = sum(part.total_uncompressed_size for part in parts)
        if size > _LARGEST_GROUP:
            raise TableError(
                self.path,
                f"{column}: expected groups of rows of at most {_LARGEST_GROUP:,} bytes, of which "
                f"each is read for one row, got {size:,}: write it with row_group_size=100",
            )
        return self._file().read_row_group(group, columns=[name], use_threads=False).column(0)

    def _paths(self, column: str) -> Iterator[str | None]:
        for group in range(len(self._starts) - 1):
            for value in self._group(group, column, "path"):
                yield (value.as_py() or {}).get("path")


class _Arrow(_Part):
    """An Arrow file, which is memory-mapped."""

    def __init__(self, path: Path) -> None:
        self._table = _arrow(path)
        super().__init__(path, self._table.schema)
        self._table = self._table.select(self.images)
        self._table.validate(full=True)  # else offsets in untrusted files could lead anywhere

    def __reduce__(self) -> tuple[object, ...]:
        return _Arrow, (self.path,)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def read(self, row: int, column: str) -> bytes | None:
        """Return an encoded image, or None if there is none."""
        return self._content(self._table.column(column), row, column)

    def _paths(self, column: str) -> Iterator[str | None]:
        for chunk in self._table.column(column).chunks:
            yield from (path.as_py() for path in chunk.field("path"))


def _open(path: Path) -> _Part:
    kind = {".parquet": _Parquet, ".arrow": _Arrow}.get(path.suffix.lower())
    if kind is None:
        raise TableError(path, f"expected one of {', '.join(TABLE_SUFFIXES)}")
    try:
        with open_regular(path):
            pass
        return kind(path)
    except TableError:
        raise
    except FileError as error:
        raise TableError(path, error.problem) from error
    except ImportError as error:
        raise TableError(path, "pyarrow is not installed: pip install 'dealias[tables]'") from error
    except Exception as error:  # broken files raise many types of error
        raise TableError(path, f"can't be read: {reason(error)}") from error


def _parquet(path: Path, dictionaries: Sequence[str] = ()) -> Any:
    parquet = importlib.import_module("pyarrow.parquet")
    return parquet.ParquetFile(path, memory_map=True, read_dictionary=list(dictionaries))


def _arrow(path: Path) -> Any:
    arrow = importlib.import_module("pyarrow")
    mapped = arrow.memory_map(str(path))
    with open_regular(path) as file:
        is_file = file.read(6) == b"ARROW1"  # else a stream, as written by datasets
    opened = (arrow.ipc.open_file if is_file else arrow.ipc.open_stream)(mapped)
    return opened.read_all()


def _bytes_of(kind: Any) -> str | None:
    """Return the field of a type that has the bytes, "" for the type itself, None for others."""
    types = importlib.import_module("pyarrow").types
    is_bytes = [types.is_binary, types.is_large_binary]
    if any(test(kind) for test in is_bytes):
        return ""
    if not types.is_struct(kind):
        return None
    inner = {field.name: field.type for field in kind}
    held = inner.get("bytes")
    return "bytes" if held is not None and any(test(held) for test in is_bytes) else None


def _has_path(kind: Any) -> bool:
    """Whether a structure has a path that is text."""
    types = importlib.import_module("pyarrow").types
    paths = [field.type for field in kind if field.name == "path"]
    return any(types.is_string(path) or types.is_large_string(path) for path in paths)


def _stem(path: str | None) -> str:
    """Return the name of a file without its suffix, if it can safely name another; else ""."""
    name = PurePosixPath(str(path or "").replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    name = stem if dot and f".{suffix.lower()}" in _PICTURES else name
    bad = name.startswith(".") or len(name.encode("utf-8", "replace")) > 200 or leads_out(name)
    return "" if bad or not name.isprintable() else name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shorten(name)[1:-1] for name in names) or "none"
