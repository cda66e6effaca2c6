"""Output folders that are written next to their final place until they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dealias.files import OutputError, make_parents, to_json, write_whole, writing
from dealias.outputs.claims import claim
from dealias.outputs.manifests import MANIFEST, check_folder, digest, files_in
from dealias.outputs.places import part_of
from dealias.outputs.replacing import clear, drop, replace_folder, stamps
from dealias.processes import main_process
from dealias.text import printable


class OutputFolder:
    """A folder that is filled next to its final place, and moved there once it is complete.

    As a context manager, it claims the folder. If it is not finished by the end, what was written
    is removed, and the folder stays as it was.

    Args:
        path: the folder; it must be missing, empty, or written entirely by dealias.

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
        """Claim the folder, and make an empty one next to it.

        Raises:
            OutputError: the folder can't be written, holds files that dealias did not write, or is
                being written by another process.
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
        """Write a file in the folder; folders above it are made if necessary.

        Raises:
            OutputError: the file can't be written.
        """
        with writing(self.path / name):
            path = self.part / name
            make_parents(path)
            path.write_bytes(content)

    def finish(self) -> None:
        """Move the folder to its place, replacing the one that was there.

        Raises:
            OutputError: the folder can't be written, or the one to replace has changed meanwhile.
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
        """Remove what is not finished, and release the claim."""
        self._open.close()

    def __getstate__(self) -> tuple[Path, Path]:
        return self.path, self.part  # for workers, which only write; this process does the rest

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
    """Open a folder to write into, which replaces `path` at the end unless there is an error.

    Under torchrun, the main process makes the folder and moves it into place. The processes must
    wait for each other before the first one writes and after the last one has written.

    Raises:
        OutputError: see :class:`OutputFolder`.
    """
    if path is None or not main_process():
        yield None if path is None else part_of(path)
        return
    with OutputFolder(path) as folder:
        yield folder.part
        folder.finish()
