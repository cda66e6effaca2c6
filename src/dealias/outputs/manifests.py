"""Manifests of output folders, by which dealias recognises its own files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dealias.files import OutputError
from dealias.inputs import read_json
from dealias.outputs.places import OWN
from dealias.text import FileError, printable, reason

MANIFEST = ".dealias-manifest"
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # from file managers; removed with its folder


def check_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that may not be replaced.

    Args:
        path: the folder; it may be missing or empty.
        overwrite: whether it may be replaced if dealias wrote everything in it.

    Raises:
        OutputError: the folder may not be replaced. The message names the first file that dealias
            did not write or that has changed since.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{printable(path)}: expected a folder, got a file")
    try:
        if not path.is_dir() or next(files_in(path), None) is None:
            return
        if not overwrite:
            raise OutputError(f"{printable(path)}: is not empty; --overwrite replaces it")
        foreign = first_foreign(path)
    except OSError as error:
        raise OutputError(f"{printable(path)}: can't be read: {reason(error)}") from error
    if foreign is not None:
        raise OutputError(
            f"{printable(path)}: holds {printable(foreign)}, which dealias did not write there or "
            f"which has changed since; --overwrite replaces only what dealias wrote: move the file "
            f"away, or choose another folder"
        )


def first_foreign(folder: Path) -> Path | None:
    """Find the first file that does not match the manifest, as a path relative to the folder.

    Missing files do not count, because an interrupted removal leaves such a folder.
    """
    listed = _read_manifest(folder)
    above = {parent.as_posix() for name in listed for parent in PurePosixPath(name).parents}
    for path in files_in(folder):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST or (name in above and path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or listed.get(name, "") != digest(path):
            return path.relative_to(folder)
    return None


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, and empty subfolders."""
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        entries = sorted(path for path in inner.iterdir() if not _is_litter(path))
        if not entries and inner != folder:
            yield inner
        for path in entries:
            if path.parent == folder and path.name in OWN and is_ours(path):
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            else:
                yield path


def _is_litter(path: Path) -> bool:
    return path.name in _LITTER and path.is_file() and not path.is_symlink()


def digest(path: Path) -> str | None:
    """Return a digest of the bytes of a regular file; None for anything else."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        found = hashlib.blake2b(digest_size=16)
        while block := file.read(2**20):
            found.update(block)
        return found.hexdigest()


def _read_manifest(folder: Path) -> dict[str, str]:
    try:
        content = read_json(folder / MANIFEST)
    except FileError:
        return {}
    listed = content.get("files") if isinstance(content, dict) else None
    return listed if isinstance(listed, dict) else {}


def is_ours(hidden: Path) -> bool:
    """Whether dealias made a file or folder with a hidden name: it is empty or has a manifest."""
    if hidden.is_symlink():
        return False
    if hidden.is_dir():
        return (hidden / MANIFEST).is_file() or next(files_in(hidden), None) is None
    return hidden.is_file() and hidden.stat().st_size == 0


def not_ours(hidden: Path) -> OutputError:
    """Return the error for a file or folder with a name of dealias that dealias did not make."""
    return OutputError(f"{printable(hidden)}: dealias did not make it; move it away")
