"""What a command writes: claimed by one process, replaced only if dealias wrote what is there.

A folder of outputs is written beside its place, which it takes once it is whole. Its manifest lists
every file with a digest, so that a later run replaces what is still as it was written and nothing
else.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from dealias.files import (
    PART,
    OutputError,
    hidden_name,
    make_parents,
    sweep_parts,
    to_json,
    write_whole,
)
from dealias.inputs import read_json
from dealias.processes import main_process
from dealias.text import FileError, printable, reason

try:
    import fcntl as _fcntl
except ImportError:  # Windows: one writer an output is up to its user there
    _fcntl = None  # type: ignore[assignment]

fcntl: Any = _fcntl

MANIFEST = ".dealias-manifest"
_LOCK, _OLD, _GONE = "dealias-lock", "dealias-old", "dealias-gone"
_STAYS = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM}  # of a folder that is mounted
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # of file managers: goes with its folder
_OWN = {f".{kind}" for kind in (_LOCK, PART)}  # inside a folder: see _beside and part_of

_held: dict[Path, int] = {}  # what this process has claimed, and how many times over


@contextmanager
def claim_outputs(
    files: Sequence[Path],
    folders: Sequence[Path],
    inputs: Sequence[Path],
    *,
    overwrite: bool,
) -> Iterator[None]:
    """Check that all of this can be written, and keep other commands from writing it meanwhile.

    Of the processes that torchrun started, the main one does it for all.

    Args:
        files: files to write, each of its own.
        folders: folders to fill.
        inputs: files and folders in which nothing may be written, and that stay.
        overwrite: whether what exists may be replaced: the files, and folders that hold only what
            dealias wrote.

    Raises:
        OutputError: something can't be written, would replace what is there, or is being written
            by another process. Nothing is left behind.
    """
    if not main_process():
        yield
        return
    check_apart(files, folders, inputs)
    with ExitStack() as claims:
        for path in (*files, *folders):
            _check_writable(path)
            claims.enter_context(claim(path))
        for path in files:
            _check_file(path, overwrite=overwrite)
        for path in folders:
            check_folder(path, overwrite=overwrite)
        yield


def check_apart(
    files: Sequence[Path], folders: Sequence[Path], inputs: Sequence[Path] = ()
) -> None:
    """Refuse outputs that lie in one another or in the inputs, or hold an input.

    Args:
        files: files to write.
        folders: folders to fill.
        inputs: files and folders that are read.

    Raises:
        OutputError: two of them can't both be.
    """
    outputs = [*files, *folders]
    for number, path in enumerate(outputs):
        real = path.resolve()
        if not real.name:
            raise OutputError(f"{printable(path)}: is the root of the file system; give a name")
        for other in (*outputs[:number], *outputs[number + 1 :]):
            if real == other.resolve():
                raise OutputError(f"{printable(path)}: is given for two outputs")
            if real.is_relative_to(other.resolve()):
                raise OutputError(f"{printable(path)}: lies in another output, {printable(other)}")
        for given in inputs:
            if real.is_relative_to(given.resolve()):
                raise OutputError(f"{printable(path)}: lies in the inputs, {printable(given)}")
            if given.resolve().is_relative_to(real):
                raise OutputError(f"{printable(path)}: holds an input, {printable(given)}")


@contextmanager
def folders_above(path: Path) -> Iterator[None]:
    """Make the folders above an output; if an error comes, those that are empty go again.

    Raises:
        OutputError: one can't be made.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Be the one process that writes a file or folder; what a killed one left of it goes.

    A process may claim the same output several times over.

    Raises:
        OutputError: another process has claimed it, or its folder can't be written.
    """
    path = path.resolve()
    if path in _held:
        _held[path] += 1
        try:
            yield
        finally:
            _held[path] -= 1
        return
    with _lock(path):
        _held[path] = 1
        try:
            _tidy(path)
            yield
        finally:
            del _held[path]
            with suppress(OutputError):  # the next one tries again
                _tidy(path)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    file = _beside(path, _LOCK)
    try:
        handle = _open_locked(file, path)
    except OSError as error:
        raise OutputError(
            f"{printable(path)}: can't be written: {error.strerror or error}"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            if _is_ours(file):
                file.unlink()  # while locked: see _open_locked
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # workers have copies of the handle
        os.close(handle)


def _open_locked(file: Path, path: Path) -> int:
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise OutputError(f"{printable(path)}: another process is writing it") from error
        except OSError:
            pass  # a file system without locks
        # The process that had the lock before may have removed the file that was just opened.
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), file.stat()):
                if _is_ours(file):
                    return handle
                os.close(handle)
                raise _not_ours(file)
        os.close(handle)


def _is_ours(hidden: Path) -> bool:
    """Whether a folder with a name of ours has our mark, or a file or folder with one is empty."""
    if hidden.is_symlink():
        return False
    if hidden.is_dir():
        return (hidden / MANIFEST).is_file() or next(_files_in(hidden), None) is None
    return hidden.is_file() and hidden.stat().st_size == 0


def _not_ours(hidden: Path) -> OutputError:
    return OutputError(f"{printable(hidden)}: dealias did not make it; move it away")


def _beside(path: Path, kind: str) -> Path:
    """A name of ours next to an output; inside it, if it is a folder in one not to be written.

    Every process must come to the same place.
    """
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        return path / f".{kind}"
    return path.with_name(hidden_name(path, kind))


def _check_writable(path: Path) -> None:
    with _writing(path), tempfile.TemporaryFile(dir=part_of(path).parent):
        pass


def _check_file(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{printable(path)}: expected a file, got a folder")
    if path.exists() and not path.is_file():
        raise OutputError(f"{printable(path)}: expected a regular file")
    if path.exists() and not overwrite:
        raise OutputError(f"{printable(path)}: exists already; --overwrite replaces it")


def check_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that may not be replaced.

    Args:
        path: the folder; it may be missing or empty.
        overwrite: whether it may be replaced if dealias wrote all that it holds.

    Raises:
        OutputError: it may not; the message names the first file that dealias did not write, or
            that has changed since.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{printable(path)}: expected a folder, got a file")
    try:
        if not path.is_dir() or next(_files_in(path), None) is None:
            return
        if not overwrite:
            raise OutputError(f"{printable(path)}: is not empty; --overwrite replaces it")
        foreign = _first_foreign(path)
    except OSError as error:
        raise OutputError(f"{printable(path)}: can't be read: {reason(error)}") from error
    if foreign is not None:
        raise OutputError(
            f"{printable(path)}: holds {printable(foreign)}, which dealias did not write there or "
            f"which has changed since; --overwrite replaces only what dealias wrote: move the file "
            f"away, or choose another folder"
        )


def _first_foreign(folder: Path) -> Path | None:
    """The first file that the manifest does not list as it is, as a path from the folder.

    A folder whose files have gone is none: a removal that was cut short leaves such.
    """
    listed = _read_manifest(folder)
    above = {parent.as_posix() for name in listed for parent in PurePosixPath(name).parents}
    for path in _files_in(folder):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST or (name in above and path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or listed.get(name, "") != _digest(path):
            return path.relative_to(folder)
    return None


def _files_in(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it, and folders that are empty."""
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        entries = sorted(path for path in inner.iterdir() if not _is_litter(path))
        if not entries and inner != folder:
            yield inner
        for path in entries:
            if path.parent == folder and path.name in _OWN and _is_ours(path):
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            else:
                yield path


def _is_litter(path: Path) -> bool:
    return path.name in _LITTER and path.is_file() and not path.is_symlink()


def _digest(path: Path) -> str | None:
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


class OutputFolder:
    """A folder that is filled beside its place and takes it once it is whole.

    As a context, it claims the folder; what is not finished by the end is removed, and the folder
    is as it was.

    Args:
        path: the folder; missing, empty, or wholly written by dealias.

    Attributes:
        path: the same.
        part: where to write until it is finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = part_of(path)
        self._mark = ""
        self._open = ExitStack()

    def begin(self) -> None:
        """Claim the folder and make the empty one beside it.

        Raises:
            OutputError: the folder can't be written, holds what dealias did not write, or another
                process is writing it.
        """
        with ExitStack() as stack:
            stack.enter_context(claim(self.path))
            check_folder(self.path, overwrite=True)
            _drop(self.part)
            stack.callback(_clear, self.part)
            with _writing(self.path):
                self.part.mkdir()
                self._mark = os.urandom(8).hex()
                (self.part / MANIFEST).write_text(self._mark, "ascii")
            self._open = stack.pop_all()

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder; folders above it are made.

        Raises:
            OutputError: it can't be written.
        """
        with _writing(self.path / name):
            path = self.part / name
            make_parents(path)
            path.write_bytes(content)

    def finish(self) -> None:
        """Put the folder in its place, in the place of the one that was there.

        Raises:
            OutputError: it can't be written, or the one there has changed meanwhile.
        """
        with _writing(self.path):
            before = _stamps(self.path)
            check_folder(self.path, overwrite=True)
            manifest = self.part / MANIFEST
            if not manifest.is_file() or manifest.read_text("ascii") != self._mark:
                raise OutputError(f"{printable(self.path)}: what was written for it was removed")
            written = (path for path in _files_in(self.part) if path != manifest)
            files = {path.relative_to(self.part).as_posix(): _digest(path) for path in written}
            with write_whole(manifest) as file:
                file.write(to_json({"written by": "dealias", "files": files}))
            _replace(self.part, self.path.resolve(), before)

    def close(self) -> None:
        """Remove what is not finished, and let others write."""
        self._open.close()

    def __getstate__(self) -> tuple[Path, Path]:
        return self.path, self.part  # for workers, which write and leave the rest to this process

    def __setstate__(self, state: tuple[Path, Path]) -> None:
        self.path, self.part = state
        self._mark = ""
        self._open = ExitStack()

    def __enter__(self) -> OutputFolder:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def fill_folder(path: Path | None) -> Iterator[Path | None]:
    """A folder to write into that takes the place of `path` at the end, unless an error comes.

    Of the processes that torchrun started, the main one makes it and puts it in place; they must
    wait for each other before the first writes and after the last has written.

    Raises:
        OutputError: see :class:`OutputFolder`.
    """
    if path is None or not main_process():
        yield None if path is None else part_of(path)
        return
    with OutputFolder(path) as folder:
        yield folder.part
        folder.finish()


def part_of(folder: Path) -> Path:
    """Where a folder of outputs is written before it takes its place: by its side if it can be.

    It can't if the folder can't be renamed, or a shell would be left in the one that goes.
    """
    folder = folder.resolve()
    if folder.is_dir() and (folder.is_mount() or Path.cwd().is_relative_to(folder)):
        return folder / f".{PART}"
    return _beside(folder, PART)


def _stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """What tells whether files have changed or come."""
    found = {} if not folder.is_dir() else {path: path.lstat() for path in _files_in(folder)}
    return {p.relative_to(folder): (at.st_size, at.st_mtime_ns) for p, at in found.items()}


def _check_same(folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    now = _stamps(folder)
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    if changed:
        raise OutputError(f"{printable(changed[0])}: has changed meanwhile; nothing was replaced")


def _replace(new: Path, folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    if not folder.exists():
        new.replace(folder)
        return
    if new.parent == folder:
        _check_same(folder, before)
        _replace_inside(new, folder)
        return
    old = _beside(folder, _OLD)
    try:
        folder.replace(old)
        _check_same(old, before)  # from here on nobody adds to it by its name
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
    own = {*_OWN, MANIFEST}
    manifest = Path(shutil.copyfile(new / MANIFEST, new / f".{_OLD}"))
    entries = sorted(folder.iterdir(), key=lambda path: path.name != "index.html")
    for entry in entries:
        if entry.name not in own:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    manifest.replace(folder / MANIFEST)
    for entry in sorted(new.iterdir(), key=lambda path: path.name == "index.html"):
        if entry.name != MANIFEST:
            entry.replace(folder / entry.name)
    _clear(new)


def _tidy(path: Path) -> None:
    """Remove what killed processes left of an output, and put back what one had moved away.

    Raises:
        OutputError: something has a name of ours, and is not.
    """
    sweep_parts(path)
    with _writing(path):
        for left in (path / f".{PART}", _beside(path, PART), _beside(path, _GONE)):
            _drop(left)
        old = _beside(path, _OLD)
        if not os.path.lexists(old):
            return
        if not _is_ours(old) or (path.exists() and _first_foreign(old) is not None):
            raise _not_ours(old)
        if path.exists():
            _remove(old)
        else:
            old.replace(path)


def _remove(old: Path) -> None:
    """Remove a folder that was replaced: if this is cut short, the rest goes another time."""
    gone = old.with_name(f"{old.name.removesuffix(_OLD)}{_GONE}")
    _drop(gone)
    old.replace(gone)
    _clear(gone)


def _drop(left: Path) -> None:
    """Remove what a killed process left, if it is ours."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if os.path.lexists(left) and not _is_ours(left):
            raise _not_ours(left)
    _clear(left)


def _clear(folder: Path) -> None:
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


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{printable(path)}: can't be written: {error.strerror or error}"
        ) from error
