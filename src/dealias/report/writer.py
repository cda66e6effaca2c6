"""The page of one evaluation, written image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dealias.evaluation import Evaluation, draw_errors
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS, Protocol
from dealias.processes import Progress
from dealias.report.aliasing import AliasingErrors
from dealias.report.drawing import (
    VOID_MARK,
    Drawn,
    boundary_bands,
    count_by_class,
    count_by_pair,
    counting_of,
    draw_files,
    draw_in_order,
    label_plane,
    mark_errors,
    mark_plane,
)
from dealias.report.examples import Example, Examples, folder_examples
from dealias.report.folder import PageFolder, PageWriter
from dealias.report.kept import keep_labels
from dealias.report.segmentation_page import finish_report
from dealias.text import printable


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
        self.counting = counting_of({"protocol": protocol, "band_width": band_width}, classes)
        self.part = ReportPart()

    def add(self, example: Example) -> None:
        """Write the files of one image and count its errors against its aliasing scores.

        Args:
            example: the image; its `aliasing` and `image` may be None.

        Raises:
            OutputError: a file can't be written.
            ValueError: labels that are neither a class nor void, or scores outside [0, 1].
        """
        self.part.absorb(draw_example(self.folder, example, self.classes, self.counting))

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
        more: dict[str, Any] = {"report": self.folder.way_from(output)}
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
        return more


def report_evaluation(
    evaluation: Evaluation,
    path: Path,
    *,
    output: Path | None = None,
    probe: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the page of an evaluation, reading its images from the folders once more.

    Args:
        evaluation: with its sources; photographs that were skipped are added to what it skipped.
        path: folder of the page; made if it isn't there. A page in it is replaced.
        output: file that the result will be written to, for the way from there to the page.
        probe: result of `dealias probe`, for a section on the network; its aliasing maps become a
            layer.
        skip_bad: go without photographs that can't be read.
        workers: processes that read and draw; 0 for this one.
        progress: given the number of images, opens a context that gives a function to call after
            each.

    Returns:
        Keys for the result's file: ``report``, where the page is, and
        ``errors_against_aliasing`` if there are aliasing maps.

    Raises:
        OutputError: the page can't be written.
        LabelFileError: a file can't be read, or its labels are no longer those that were counted.
        ValueError: an evaluation not of folders; or Jinja2 is not installed.
    """
    if evaluation.sources is None:
        raise ValueError("evaluation: expected one of folders, with its sources")
    maps = (probe or {}).get("maps") or {}
    examples = folder_examples(
        evaluation.sources,
        aliasing=Path(maps["folder"]) if maps.get("folder") is not None else None,
        digests={row.name: row.digests for row in evaluation.images},
        skip_bad=skip_bad,
    )
    settings = evaluation.settings
    writer = ReportWriter(
        path, examples.classes, protocol=settings.protocol, band_width=settings.band_width
    )
    draw = partial(_draw, writer.folder, examples, writer.counting)
    names = [row.name for row in evaluation.images]
    with writer:
        for part in draw_in_order(draw, names, workers, progress):
            writer.part.absorb(part)
        evaluation.skipped += [row.problem for row in writer.part.drawn if row.problem]
        return writer.finish(
            evaluation.to_dict(),
            output=output,
            probe=probe,
            site=maps.get("site"),
            title=f"Errors of {evaluation.sources.predictions.name}",
        )


def _draw(
    folder: PageFolder, examples: Examples, counting: Mapping[str, Any], name: str
) -> ReportPart:
    return draw_example(folder, examples.load(name), examples.classes, counting)


def draw_example(
    folder: PageFolder, example: Example, classes: ClassSet, counting: Mapping[str, Any]
) -> ReportPart:
    """Write the files of one image of a report; any process may, in any order.

    Args:
        folder: of the report, begun.
        example: the image.
        classes: what its labels mean.
        counting: arguments of :func:`dealias.metrics.functional.error_map`.

    Raises:
        OutputError: a file can't be written.
        ValueError: labels that are neither a class nor void; scores of another size, or outside
            [0, 1].
    """
    maps = (example.prediction, example.target)
    errors = mark_errors(*maps, counting)
    aliasing = None
    if example.aliasing is not None:
        bands = boundary_bands(*maps, counting)
        try:
            aliasing = AliasingErrors.of(example.aliasing, errors, bands)
        except ValueError as error:
            raise ValueError(f"{printable(example.name)}: {error}") from error
    planes = {
        "target": label_plane(example.target, classes),
        "prediction": label_plane(example.prediction, classes),
        "errors": mark_plane(errors),
    }
    background = example.image
    if background is None:
        background = classes.colors()[np.minimum(planes["target"], len(classes) - 1)]
    keep_labels(folder, example, classes)
    key, has = draw_files(folder, example, planes, draw_errors(errors, background))
    columns = np.where(planes["errors"] == VOID_MARK, 0, planes["errors"])
    totals, by_class = count_by_class(
        columns, (example.target, example.prediction), len(classes), len(ERROR_KINDS)
    )
    by_pair = count_by_pair(columns, example.target, example.prediction, len(ERROR_KINDS))
    height, width = errors.shape
    counts = (totals, by_class, example.problem, by_pair)
    drawn = Drawn(example.name, key, height, width, has, *counts)
    return ReportPart([drawn], aliasing)
