"""Let one process write an output: outputs are checked and locked before any work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from dealias.files import OutputError, writing
from dealias.outputs.manifests import check_folder, is_ours, not_ours
from dealias.outputs.places import LOCK, beside, part_of
from dealias.outputs.replacing import tidy
from dealias.processes import main_process
from dealias.text import printable

try:
    import fcntl as _fcntl
except ImportError:  # Windows: there, users must see to it that only one process writes an output
    _fcntl = None  # type: ignore[assignment]

fcntl: Any = _fcntl

_held: set[Path] = set()  # what this process has claimed


@contextmanager
def claim_outputs(
    files: Sequence[Path],
    folders: Sequence[Path],
    inputs: Sequence[Path],
    *,
    overwrite: bool,
) -> Iterator[None]:
    """Check that all outputs can be written, and keep other commands from writing them meanwhile.

    Under torchrun, the main process does this for all processes.

    Args:
        files: files to write, all different.
        folders: folders to fill.
        inputs: files and folders that must not be changed.
        overwrite: whether existing outputs may be replaced: files, and folders that hold only files
            dealias wrote.

    Raises:
        OutputError: an output can't be written, would replace an existing one, or is being written
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
    """Refuse outputs that are inside each other or inside an input, or contain an input.

    Args:
        files: files to write.
        folders: folders to fill.
        inputs: files and folders that are read.

    Raises:
        OutputError: two of the paths conflict.
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
    """Make the folders above an output; after an error, remove those that are still empty.

    Raises:
        OutputError: a folder can't be made.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Claim a file or folder for this process, and remove what killed processes left of it.

    A process may claim the same output several times.

    Raises:
        OutputError: another process has claimed it, or its folder can't be written.
    """
    path = path.resolve()
    if path in _held:
        yield
        return
    with _lock(path):
        _held.add(path)
        try:
            tidy(path)
            yield
        finally:
            _held.remove(path)
            with suppress(OutputError):  # the next process tries again
                tidy(path)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    file = beside(path, LOCK)
    with writing(path):
        handle = _open_locked(file, path)
    try:
        yield
    finally:
        with suppress(OSError):
            if is_ours(file):
                file.unlink()  # still locked; see _open_locked
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
        # The previous holder of the lock may have removed the file that was just opened.
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), file.stat()):
                if is_ours(file):
                    return handle
                os.close(handle)
                raise not_ours(file)
        os.close(handle)


def _check_writable(path: Path) -> None:
    with writing(path), tempfile.TemporaryFile(dir=part_of(path).parent):
        pass


def _check_file(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{printable(path)}: expected a file, got a folder")
    if path.exists() and not path.is_file():
        raise OutputError(f"{printable(path)}: expected a regular file")
    if path.exists() and not overwrite:
        raise OutputError(f"{printable(path)}: exists already; --overwrite replaces it")
