"""Folders in a ZIP file, a remote store or a table, whose files are copied first."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from dealias.inputs import LARGEST_DIRECTORY, leads_out, open_regular, open_zip
from dealias.labels.coco import lay_out_coco
from dealias.labels.folders import FILE_SUFFIXES, PairingError
from dealias.tables import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    SAVED,
    TABLE_SUFFIXES,
    ImageTable,
    table_files,
)
from dealias.text import FileError, printable, reason, shorten

PROTOCOLS = ("zip", "memory", "s3", "gs", "az", "http", "https")

Kind = Literal["images", "labels"]
_JSON = ".json"
_MOST_FILES = 2**20
_LARGEST_FILE = 2**31  # bytes
_MOST_BYTES = 2**36
_FREE_BYTES = 2**30  # kept free on the disk of the copies
_BLOCK = 2**20

# The path of a file in its folder, and the open file.
_Entry = tuple[str, Callable[[], IO[bytes]]]


def is_copied(given: str) -> bool:
    """Whether :func:`local_folder` makes a copy for this path or URL."""
    return is_url(given) or file_of(given).endswith((_JSON, *TABLE_SUFFIXES))


def file_of(given: str) -> str:
    """Remove the column from a path such as val.parquet#annotation."""
    path, _, column = given.rpartition("#")
    is_table = column and path.endswith((SAVED, *TABLE_SUFFIXES)) and not is_url(given)
    return path if is_table else given


def name_table(given: str) -> str:
    """Return the path itself, or for a folder of the library datasets the path of its files.

    Raises:
        PairingError: the folder has several splits.
    """
    path, mark, column = given.rpartition("#") if "#" in given else (given, "", "")
    folder = Path(path)
    if is_url(given) or not folder.is_dir() or (mark and Path(given).exists()):
        return given
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(one.parent.name for one in folder.glob(f"*/{SAVED}"))
        raise PairingError(
            f"{printable(folder)}: expected the folder of a split, got one of several: "
            f"{printable(', '.join(splits))}"
        )
    if (folder / SAVED).is_file() and (folder / "dataset_info.json").is_file():
        return f"{folder / SAVED}{mark}{column}"
    entries = [one for one in folder.iterdir() if not one.name.startswith(".")]
    suffixes = {"/" if one.is_dir() else one.suffix.lower() for one in entries}
    is_table = ".parquet" in suffixes and not suffixes & {"/", *FILE_SUFFIXES}
    return f"{folder / '*.parquet'}{mark}{column}" if is_table else given


def is_url(given: str) -> bool:
    """Whether a folder is given as a URL, such as zip://masks.zip or s3://bucket/masks."""
    return "://" in given


@contextmanager
def local_folder(given: str, kind: Kind = "labels") -> Iterator[Path]:
    """Open a folder on this machine: the one given, or a copy that is removed at the end.

    Args:
        given: path of a folder; or a URL: zip://FILE.zip, zip://FOLDER::FILE.zip for a folder
            inside it, where FILE.zip may itself be a URL, or an fsspec URL of a folder in a store.
            Only visible files with the suffix of an image or label map are copied from it. Or the
            path of a COCO JSON file, see :func:`lay_out_coco`. Or a table of encoded images, see
            :func:`dealias.tables.table_files`, followed by # and the name of the column if several
            columns have usual names.
        kind: what to look for in a table.

    Yields:
        The folder.

    Raises:
        PairingError: the protocol is unknown; fsspec or a package that it needs is not installed;
            there is nothing to copy; a name leads out of the folder; or there are more than a
            million files, more than 2 GiB in one file or 64 GiB in all, or less than 1 GiB would
            stay free on the disk.
    """
    path = Path(given)
    if not is_url(given):
        if path.is_dir() or not is_copied(given):
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="dealias-") as folder:
            file = file_of(given)
            is_table = file.endswith((SAVED, *TABLE_SUFFIXES))
            place = Path(folder) / ("table" if is_table else path.stem)
            place.mkdir()
            if is_table:
                _lay_out_table(Path(file), given[len(file) + 1 :] or None, kind, place)
            else:
                lay_out_coco(path, place)
            yield place
        return
    protocol = given.partition("://")[0]
    if protocol not in PROTOCOLS:
        raise PairingError(
            f"{printable(given)}: expected a folder or a URL of {', '.join(PROTOCOLS)}"
        )
    with tempfile.TemporaryDirectory(prefix="dealias-") as folder:
        name = PurePosixPath(given.partition("://")[2].replace("::", "/")).name
        place = Path(folder) / (name if name and not leads_out(name) else "files")
        try:
            with _opened(given, protocol) as entries:
                _copy(entries, place)
        except PairingError as error:
            raise PairingError(f"{printable(given)}: {error}") from error
        except FileError as error:
            raise PairingError(f"{printable(given)}: {error.problem}") from error
        except Exception as error:  # stores and broken archives raise many types of error
            raise PairingError(f"{printable(given)}: can't be read: {reason(error)}") from error
        yield place


@contextmanager
def _opened(url: str, protocol: str) -> Iterator[Iterable[_Entry]]:
    """Open the files of a folder in a ZIP file or a store."""
    if protocol != "zip":
        yield _stored(url)
        return
    inner, several, outer = url.removeprefix("zip://").partition("::")
    if not several:
        inner, outer = "", inner
    if is_url(outer) and outer.partition("://")[0] not in PROTOCOLS[1:]:
        raise PairingError(f"expected a ZIP file or a URL of {', '.join(PROTOCOLS[1:])}")
    file: Any = _fsspec().open(outer, "rb") if is_url(outer) else open_regular(Path(outer))
    with file as opened, open_zip(opened, LARGEST_DIRECTORY) as archive:
        yield _zipped(archive, inner.strip("/"))


def _zipped(archive: ZipFile, folder: str) -> Iterator[_Entry]:
    start = f"{folder}/" if folder else ""
    for entry in archive.infolist():
        if entry.is_dir() or not entry.filename.startswith(start):
            continue
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise PairingError(
                f"{shorten(entry.filename)}: an unusual compression, whose memory has no limit"
            )
        yield entry.filename.removeprefix(start), partial(archive.open, entry)


def _stored(url: str) -> Iterator[_Entry]:
    system, root = _fsspec().core.url_to_fs(url)
    for path in sorted(system.find(root)):
        name = PurePosixPath(path).relative_to(root).as_posix()
        yield name, partial(system.open, path, "rb")


def _lay_out_table(path: Path, column: str | None, kind: Kind, place: Path) -> None:
    """Write the images in a column of a table to a folder, within the limits."""
    usual = LABEL_COLUMNS if kind == "labels" else IMAGE_COLUMNS
    try:
        table = ImageTable(table_files(path))
        chosen = table.choose(f"{printable(path)}#COLUMN", column, usual)
        names = table.names([*(one for one in IMAGE_COLUMNS if one in table.images), chosen])
        rows = (table.read(row, chosen, name) for row, name in enumerate(names))
        _copy(((row.name, partial(BytesIO, row.content)) for row in rows), place)
    except FileError as error:
        raise PairingError(str(error)) from error


def _copy(entries: Iterable[_Entry], place: Path) -> None:
    """Copy files to a folder, within the limits."""
    place.mkdir(exist_ok=True)
    total = copied = 0
    for number, (name, opened) in enumerate(entries):
        if number >= _MOST_FILES:
            raise PairingError(f"expected at most {_MOST_FILES:,} files, got more")
        if leads_out(name):
            raise PairingError(f"expected names inside the folder, got {shorten(name)}")
        path = place / name
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or path.suffix.lower() not in FILE_SUFFIXES:
            continue
        if path.exists():
            raise PairingError(f"{shorten(name)} is there twice")
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened() as source, path.open("xb") as target:
            total += _copy_file(name, source, target, total)
        copied += 1
    if not copied:
        raise PairingError("expected images or label maps, got none")


def _copy_file(name: str, source: IO[bytes], target: IO[bytes], before: int) -> int:
    """Copy a file, and return its actual number of bytes, whatever the archive claims."""
    size = 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > _LARGEST_FILE or before + size > _MOST_BYTES:
            raise PairingError(
                f"{shorten(name)}: expected at most {_LARGEST_FILE:,} bytes of a file and "
                f"{_MOST_BYTES:,} in all, got more"
            )
        if shutil.disk_usage(Path(target.name).parent).free < _FREE_BYTES:
            raise PairingError(f"{shorten(name)}: no room for a copy; TMPDIR says on which disk")
        target.write(block)
    return size


def _fsspec() -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise PairingError("fsspec is not installed: pip install 'dealias[remote]'") from error
