"""Folders of pages, index.html and assets/, which are either complete or absent."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from dealias.outputs import OutputFolder

if TYPE_CHECKING:
    from typing_extensions import Self

Found = TypeVar("Found")

_README = "Files of a page that dealias wrote; ../index.html opens it.\n"


class PageFolder:
    """A page that is being written: index.html, and assets/ with the files that it needs.

    The page is written next to its final place, and moved there once it is complete. A page that it
    replaces stays until then. As a context manager, it calls `begin`, and discards what is not
    finished.

    Args:
        path: the folder of index.html; it must be missing, empty, or a page that is as dealias
            wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._output = OutputFolder(path)

    @property
    def new(self) -> Path:
        """The folder to write assets to."""
        return self._output.part / "assets"

    def begin(self) -> None:
        """Make the folder, and write the assets that all pages share.

        Raises:
            OutputError: the folder can't be written, holds files that dealias did not write, or is
                being written by another process.
        """
        self._output.begin()
        try:
            self.write("README.txt", _README.encode())
            for entry in (files("dealias.report") / "static").iterdir():
                self.write(entry.name, entry.read_bytes())
        except BaseException:
            self.discard()
            raise

    def write(self, name: str, content: bytes) -> None:
        """Write an asset, whose name may include a folder.

        Raises:
            OutputError: it can't be written.
        """
        self._output.write(f"assets/{name}", content)

    def finish(self, page: str) -> None:
        """Write index.html and put the page in place.

        Raises:
            OutputError: it can't be written.
        """
        self._output.write("index.html", page.encode("utf-8", "backslashreplace"))
        self._output.finish()
        self._output.close()

    def discard(self) -> None:
        """Remove what was written, unless the page is finished."""
        self._output.close()

    def path_from(self, output: Path | None) -> str:
        """Return the page's path, relative to the folder of a result's file if there is one."""
        base = Path.cwd() if output is None else output.resolve().parent
        return os.path.relpath(self.path.resolve(), base)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class PageWriter(ABC, Generic[Found]):
    """Writes a page image by image, without keeping the images in memory.

    Several processes may write the images of one page: one of them calls `begin` before any process
    calls `add`, and later absorbs the parts of the others and calls `finish`. As a context manager,
    the writer calls `begin`, and discards what is not finished.

    Args:
        path: folder of the page, made if it does not exist. A page in it is replaced at the end.

    Attributes:
        title: default heading of the page.
    """

    title: ClassVar[str]

    def __init__(self, path: str | Path) -> None:
        self.folder = PageFolder(Path(path))

    def begin(self) -> None:
        """Make the folder; see :meth:`PageFolder.begin`."""
        self.folder.begin()

    def finish(
        self,
        found: Found,
        *,
        output: Path | None = None,
        probe: Mapping[str, Any] | None = None,
        site: str | None = None,
        title: str | None = None,
    ) -> dict[str, Any]:
        """Write the page itself, after its images have been written.

        Args:
            found: the figures of these images; see the class.
            output: file that the result will be written to; the path of the page is given relative
                to its folder.
            probe: result of `dealias probe`, for a section on the network.
            site: name of the downsampling step of the aliasing scores.
            title: heading of the page; by default `title` of the class.

        Returns:
            Entries for the result's file: ``report``, the path of the page, and
            ``errors_against_aliasing`` if any image had scores.

        Raises:
            OutputError: the page can't be written.
            ValueError: Jinja2 is not installed.
        """
        result, drawn, aliasing = self._results(found)
        more: dict[str, Any] = {"report": self.folder.path_from(output)}
        if aliasing is not None:
            more["errors_against_aliasing"] = aliasing | {"site": site}
        self._write_page(result | more, drawn, probe=probe, title=title or self.title)
        return more

    @abstractmethod
    def _results(self, found: Found) -> tuple[dict[str, Any], Any, dict[str, Any] | None]:
        """Return the result as in files, what was drawn, and errors against aliasing, if any."""

    @abstractmethod
    def _write_page(self, result: Mapping[str, Any], drawn: Any, **more: Any) -> None:
        """Write index.html and the data for its scripts; `more` has a probe and a title."""

    def discard(self) -> None:
        """Remove what was written, unless the page is finished."""
        self.folder.discard()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def file_key(name: str) -> str:
    """Return a name for the files of an image that is valid in any file system."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
