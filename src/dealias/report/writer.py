"""Pages written while a network is tested, image by image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dealias.labels import ClassSet
from dealias.metrics.functional import Protocol
from dealias.report.aliasing import AliasingErrors
from dealias.report.drawing import Drawn
from dealias.report.examples import Example
from dealias.report.folder import PageFolder
from dealias.report.pages.segmentation import finish_report
from dealias.report.segmentation import count_aliasing, draw_example

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class ReportPart:
    """What one process has drawn; small, and sent between processes as it is.

    Attributes:
        drawn: a row an image.
        aliasing: counts of all its images; None if none had scores.
    """

    drawn: list[Drawn] = field(default_factory=list)
    aliasing: AliasingErrors | None = None

    def absorb(self, other: ReportPart) -> None:
        """Add what another process has drawn; an image that both have counts once in the page."""
        self.drawn += other.drawn
        if other.aliasing is not None:
            own = self.aliasing
            self.aliasing = other.aliasing if own is None else own + other.aliasing


class PageWriter:
    """A page that is there whole or not at all.

    As a context, it begins, and discards what is not finished.

    Args:
        path: folder of the page; made if it isn't there. A page in it is replaced at the end.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = PageFolder(Path(path))
        self._finished = False

    def begin(self) -> None:
        """Make the folder.

        Raises:
            OutputError: it can't be written, or holds assets of something else.
        """
        self.folder.begin()

    def discard(self) -> None:
        """Remove what was written, unless it is finished."""
        if not self._finished:
            self.folder.discard()

    def finished(self, output: Path | None) -> dict[str, str]:
        """Keep what was written, as the page is complete.

        Args:
            output: file that the result will be written to.

        Returns:
            The key ``report`` for that file: the way from there to the page.
        """
        self._finished = True
        return {"report": way_to(self.folder.path, output)}

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


class ReportWriter(PageWriter):
    """Write the page of an evaluation with images as they come, none of them kept.

    Several processes may write the images of one page: one of them calls `begin` before any calls
    `add`, and later absorbs the parts of the others and calls `finish`.

    Args:
        path: folder of the page; made if it isn't there. A page in it is replaced at the end.
        classes: what the labels mean.
        protocol: see :func:`dealias.metrics.functional.error_map`.
        band_width: of the boundary bands in pixels, odd.

    Attributes:
        part: what this process has drawn, a :class:`ReportPart`.

    As a context, it begins, and discards what is not finished::

        with ReportWriter(folder, classes) as writer:
            for name, image, preds, target in tested:
                writer.add(Example(name, preds, target, image))
            more = writer.finish(evaluation.to_dict())
    """

    def __init__(
        self,
        path: str | Path,
        classes: ClassSet,
        *,
        protocol: Protocol = "paper",
        band_width: int = 15,
    ) -> None:
        super().__init__(path)
        self.classes = classes
        self.counting = {
            "num_classes": len(classes),
            "ignore_index": classes.ignore_index,
            "band_width": band_width,
            "protocol": protocol,
        }
        self.part = ReportPart()

    def add(self, example: Example) -> None:
        """Write the files of one image and count its errors against its aliasing scores.

        Args:
            example: the image; its `aliasing` and `image` may be None.

        Raises:
            OutputError: a file can't be written.
            ValueError: labels that are neither a class nor void, or scores outside [0, 1].
        """
        aliasing = count_aliasing(example, self.counting)
        drawn = draw_example(self.folder, example, self.classes, self.counting)
        self.part.absorb(ReportPart([drawn], aliasing))

    def finish(
        self,
        result: Mapping[str, Any],
        *,
        output: Path | None = None,
        probe: Mapping[str, Any] | None = None,
        site: str | None = None,
        title: str = "Segmentation errors",
    ) -> dict[str, Any]:
        """Write the page itself.

        Args:
            result: as :meth:`dealias.evaluation.Evaluation.to_dict` gives it, of these images.
            output: file that the result will be written to, for the way from there to the page.
            probe: result of `dealias probe`, for a section on the network.
            site: name of the downsampling step that the aliasing scores are of.
            title: heading.

        Returns:
            Keys for the result's file: ``report``, where the page is, and
            ``errors_against_aliasing`` if any image had scores.

        Raises:
            OutputError: it can't be written.
            ValueError: Jinja2 is not installed.
        """
        more: dict[str, Any] = {}
        if self.part.aliasing is not None:
            more["errors_against_aliasing"] = self.part.aliasing.to_dict() | {"site": site}
        finish_report(
            self.folder,
            dict(result) | more,
            self.part.drawn,
            self.classes,
            probe=probe,
            title=title,
        )
        return self.finished(output) | more


def way_to(page: Path, output: Path | None) -> str:
    """The path of a page as seen from the folder of a result's file, or from here without one."""
    base = Path.cwd() if output is None else output.resolve().parent
    return os.path.relpath(page.resolve(), base)
