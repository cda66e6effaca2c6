"""Put a folder in the place of another, so that a kill at any moment can be mended."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from dealias.files import PART, OutputError, sweep_parts
from dealias.outputs.manifests import MANIFEST, files_in, first_foreign, is_ours, not_ours
from dealias.outputs.places import GONE, OLD, OWN, beside, writing
from dealias.text import printable

_STAYS = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM}  # of a folder that is mounted


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """What tells whether files have changed or come."""
    found = {} if not folder.is_dir() else {path: path.lstat() for path in files_in(folder)}
    return {p.relative_to(folder): (at.st_size, at.st_mtime_ns) for p, at in found.items()}


def check_same(folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    """Raise OutputError if a file of a folder has changed or come since its `stamps`."""
    now = stamps(folder)
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    if changed:
        raise OutputError(f"{printable(changed[0])}: has changed meanwhile; nothing was replaced")


def replace_folder(new: Path, folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    """Put a folder with its manifest in the place of another.

    Args:
        new: the folder, beside the place or inside it; see :func:`dealias.outputs.part_of`.
        folder: the place.
        before: `stamps` of what is there, when it was checked.

    Raises:
        OutputError: what is there has changed since.
        OSError: it can't be done; what was there is there.
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
        check_same(old, before)  # from here on nobody adds to it by its name
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
    """Replace the content, at each moment of which the manifest lists what is there.

    A page without index.html is not whole.
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
    """Remove what killed processes left of an output, and put back what one had moved away.

    Raises:
        OutputError: something has a name of ours, and is not.
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
    """Remove a folder that was replaced: if this is cut short, the rest goes another time."""
    gone = old.with_name(f"{old.name.removesuffix(OLD)}{GONE}")
    drop(gone)
    old.replace(gone)
    clear(gone)


def drop(left: Path) -> None:
    """Remove what a killed process left, if it is ours."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if os.path.lexists(left) and not is_ours(left):
            raise not_ours(left)
    clear(left)


def clear(folder: Path) -> None:
    """Remove a folder, our mark last, as far as that can be done."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MANIFEST:
                entry.unlink(missing_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError:  # another process wrote into it meanwhile
            (folder / MANIFEST).touch()
