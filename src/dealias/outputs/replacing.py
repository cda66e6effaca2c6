"""Replace a folder by another in such a way that a kill at any moment can be repaired."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from dealias.files import PART, OutputError, sweep_parts, writing
from dealias.outputs.manifests import MANIFEST, files_in, first_foreign, is_ours, not_ours
from dealias.outputs.places import GONE, OLD, OWN, beside
from dealias.text import printable

_STAYS = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM}  # the errors for a mounted folder


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the size and time of each file, which show whether files were changed or added."""
    found = {} if not folder.is_dir() else {path: path.lstat() for path in files_in(folder)}
    return {p.relative_to(folder): (at.st_size, at.st_mtime_ns) for p, at in found.items()}


def check_same(folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    """Raise OutputError if a file of a folder was changed or added since its `stamps`."""
    now = stamps(folder)
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    if changed:
        raise OutputError(f"{printable(changed[0])}: has changed meanwhile; nothing was replaced")


def replace_folder(new: Path, folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    """Replace a folder by a new one that has a manifest.

    Args:
        new: the new folder, next to the old one or inside it; see :func:`dealias.outputs.part_of`.
        folder: the folder to replace.
        before: `stamps` of the old folder when it was checked.

    Raises:
        OutputError: the old folder has changed since.
        OSError: the folder can't be replaced; the old one is still there.
    """
    if not folder.exists():
        new.replace(folder)
        return
    if new.parent == folder:
        check_same(folder, before)
        _replace_inside(new, folder)
        return
    old = beside(folder, OLD)
    try:
        folder.replace(old)
        check_same(old, before)  # from here on nobody can add to it by its name
        new.replace(folder)
    except BaseException as error:
        if not folder.exists():
            old.replace(folder)
            raise
        if getattr(error, "errno", None) not in _STAYS:
            raise
        inside = folder / f".{PART}"
        inside.mkdir()
        shutil.copyfile(new / MANIFEST, inside / MANIFEST)
        _replace_inside(shutil.copytree(new, inside, dirs_exist_ok=True), folder)
        return
    _remove(old)


def _replace_inside(new: Path, folder: Path) -> None:
    """Replace the content of a folder; at each moment the manifest lists what is there.

    A page without index.html is incomplete, so index.html is removed first and moved last.
    """
    own = {*OWN, MANIFEST}
    manifest = Path(shutil.copyfile(new / MANIFEST, new / f".{OLD}"))
    entries = sorted(folder.iterdir(), key=lambda path: path.name != "index.html")
    for entry in entries:
        if entry.name not in own:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    manifest.replace(folder / MANIFEST)
    for entry in sorted(new.iterdir(), key=lambda path: path.name == "index.html"):
        if entry.name != MANIFEST:
            entry.replace(folder / entry.name)
    clear(new)


def tidy(path: Path) -> None:
    """Remove what killed processes left of an output, and restore what they had moved away.

    Raises:
        OutputError: a file or folder has a name of dealias, but dealias did not make it.
    """
    sweep_parts(path)
    with writing(path):
        for left in (path / f".{PART}", beside(path, PART), beside(path, GONE)):
            drop(left)
        old = beside(path, OLD)
        if not os.path.lexists(old):
            return
        if not is_ours(old) or (path.exists() and first_foreign(old) is not None):
            raise not_ours(old)
        if path.exists():
            _remove(old)
        else:
            old.replace(path)


def _remove(old: Path) -> None:
    """Remove a folder that was replaced; if interrupted, the rest is removed another time."""
    gone = old.with_name(f"{old.name.removesuffix(OLD)}{GONE}")
    drop(gone)
    old.replace(gone)
    clear(gone)


def drop(left: Path) -> None:
    """Remove what a killed process left, if dealias made it."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if os.path.lexists(left) and not is_ours(left):
            raise not_ours(left)
    clear(left)


def clear(folder: Path) -> None:
    """Remove a folder as far as possible, its manifest last."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MANIFEST:
                entry.unlink(missing_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError:  # another process has written into it meanwhile
            (folder / MANIFEST).touch()
