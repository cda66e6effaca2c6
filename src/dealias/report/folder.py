"""The folder of a page: index.html and assets/, there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from dealias.files import OutputError, write_whole
from dealias.text import printable

_MARKER = "README.txt"
_MARKER_TEXT = "Files of a page that dealias wrote; ../index.html opens it.\n"


@dataclass(frozen=True)
class PageFolder:
    """A page being written.

    Files come to lie in `new`, which takes the place of `assets` once all of them are there;
    index.html comes last. So a folder without index.html holds no whole page, and a page that is
    replaced stays until the new one is complete.

    Attributes:
        path: where index.html goes.
    """

    path: Path

    @property
    def new(self) -> Path:
        """Where assets are written."""
        return self.path / "assets.part"

    def begin(self) -> None:
        """Make the folder and put in it what every page has.

        Raises:
            OutputError: it can't be written, or holds assets of something else.
        """
        with _writing(self.path):
            for assets in (self.path / "assets", self.new):
                if assets.exists() and not (assets / _MARKER).is_file():
                    raise OutputError(f"{printable(assets)}: is not of a dealias page")
            shutil.rmtree(self.new, ignore_errors=True)
            self.new.mkdir(parents=True)
            (self.new / _MARKER).write_text(_MARKER_TEXT, "utf-8")
            for entry in (files("dealias.report") / "static").iterdir():
                (self.new / entry.name).write_bytes(entry.read_bytes())

    def write(self, name: str, content: bytes) -> None:
        """Write an asset, in a folder of its own kind if the name has one.

        Raises:
            OutputError: it can't be written.
        """
        path = self.new / name
        with _writing(path):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    def finish(self, page: str) -> None:
        """Put the assets in place, then index.html.

        Raises:
            OutputError: it can't be written.
        """
        index, assets = self.path / "index.html", self.path / "assets"
        with _writing(self.path):
            index.unlink(missing_ok=True)
            if assets.exists():
                shutil.rmtree(assets)
            self.new.replace(assets)
        with write_whole(index) as file:
            file.write(page.encode("utf-8", "backslashreplace"))

    def discard(self) -> None:
        """Remove what was written of a page that won't be finished."""
        if (self.new / _MARKER).is_file():
            shutil.rmtree(self.new, ignore_errors=True)


@contextmanager
def page_folder(path: Path) -> Iterator[PageFolder]:
    """Write a page; an error or an interrupt leaves the folder as it was."""
    folder, existed = PageFolder(path), path.exists()
    try:
        folder.begin()
        yield folder
    except BaseException:
        folder.discard()
        if not existed:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{printable(path)}: can't be written: {error.strerror}") from error
