"""Folders of outputs, written beside their place until they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dealias.files import OutputError, make_parents, to_json, write_whole
from dealias.outputs.claims import claim
from dealias.outputs.manifests import MANIFEST, check_folder, digest, files_in
from dealias.outputs.places import part_of, writing
from dealias.outputs.replacing import clear, drop, replace_folder, stamps
from dealias.processes import main_process
from dealias.text import printable


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
            drop(self.part)
            stack.callback(clear, self.part)
            with writing(self.path):
                self.part.mkdir()
                self._mark = os.urandom(8).hex()
                (self.part / MANIFEST).write_text(self._mark, "ascii")
            self._open = stack.pop_all()

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder; folders above it are made.

        Raises:
            OutputError: it can't be written.
        """
        with writing(self.path / name):
            path = self.part / name
            make_parents(path)
            path.write_bytes(content)

    def finish(self) -> None:
        """Put the folder in its place, in the place of the one that was there.

        Raises:
            OutputError: it can't be written, or the one there has changed meanwhile.
        """
        with writing(self.path):
            before = stamps(self.path)
            check_folder(self.path, overwrite=True)
            manifest = self.part / MANIFEST
            if not manifest.is_file() or manifest.read_text("ascii") != self._mark:
                raise OutputError(f"{printable(self.path)}: what was written for it was removed")
            written = (path for path in files_in(self.part) if path != manifest)
            files = {path.relative_to(self.part).as_posix(): digest(path) for path in written}
            with write_whole(manifest) as file:
                file.write(to_json({"written by": "dealias", "files": files}))
            replace_folder(self.part, self.path.resolve(), before)

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
