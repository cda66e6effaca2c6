"""Write the page of one evaluation, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.evaluation import (
    DrawingError,
    Evaluation,
    Options,
    draw_errors,
    evaluate_folders,
    why_undrawn,
)
from dealias.files import OutputError
from dealias.labels import ClassSet, find_images, pair_folders
from dealias.metrics.functional import ERROR_KINDS, ObjectRecall, Protocol
from dealias.processes import gather, process_group
from dealias.report.aliasing import AliasingErrors
from dealias.report.drawing import (
    VOID_MARK,
    Drawn,
    background,
    boundary_bands,
    count_by_pair,
    counting_of,
    draw_files,
    label_plane,
    mark_errors,
    mark_plane,
    object_plane,
    write_thumbnail,
)
from dealias.report.examples import Example, read_example
from dealias.report.folder import PageWriter, file_key
from dealias.report.heat import paint_heat
from dealias.report.kept import keep_labels
from dealias.report.page import DARKENED, OVERLAID
from dealias.report.segmentation_page import finish_report
from dealias.text import printable

_GENERIC = {"predictions", "prediction", "preds", "pred", "labels", "masks", "results", "outputs"}


@dataclass
class ReportPart:
    """What one process has drawn, which is small enough to send between processes.

    Attributes:
        drawn: a row for each image.
        aliasing: counts of all images; None if no image has scores.
    """

    drawn: list[Drawn] = field(default_factory=list)
    aliasing: AliasingErrors | None = None

    def absorb(self, other: ReportPart) -> None:
        """Add what another process has drawn; the page shows an image drawn by both only once."""
        self.drawn += other.drawn
        if other.aliasing is not None:
            own = self.aliasing
            self.aliasing = other.aliasing if own is None else own + other.aliasing


class ReportWriter(PageWriter[Mapping[str, Any]]):
    """Writes the page of an evaluation; see :class:`PageWriter`.

    Args:
        path: folder of the page.
        classes: the class set.
        protocol: see :func:`dealias.metrics.functional.error_map`.
        band_width: width of the boundary bands in pixels, odd.
        object_recall: the shares by which objects are judged and outlined; None to outline no
            objects.

    Attributes:
        part: what this process has drawn, a :class:`ReportPart`.

    `finish` takes the result of :meth:`dealias.evaluation.Evaluation.to_dict` for these images::

        with ReportWriter(folder, classes) as writer:
            for name, image, preds, target in tested:
                writer.add(Example(name, preds, target, image))
            more = writer.finish(evaluation.to_dict())
    """

    title = "Segmentation errors"

    def __init__(
        self,
        path: str | Path,
        classes: ClassSet,
        *,
        protocol: Protocol = "paper",
        band_width: int = 15,
        object_recall: ObjectRecall | None = None,
    ) -> None:
        super().__init__(path)
        self.classes = classes
        self.counting = counting_of({"protocol": protocol, "band_width": band_width}, classes)
        self.object_recall = object_recall
        self.part = ReportPart()

    def add(self, example: Example) -> None:
        """Write the files of one image and count its errors against its aliasing scores.

        Args:
            example: the image; its `aliasing` and `image` may be None.

        Raises:
            OutputError: a file can't be written.
            ValueError: a label is neither a class nor void, or scores are outside [0, 1].
        """
        self.part.absorb(self.draw(example))

    def draw(self, example: Example) -> ReportPart:
        """Write the files of one image, without changing `part`; processes and order don't matter.

        Raises:
            OutputError: a file can't be written.
            ValueError: a label is neither a class nor void; or scores have another size, or are
                outside [0, 1].
        """
        preds, target = example.preds, example.target
        errors = mark_errors(preds, target, self.counting)
        aliasing = None
        if example.aliasing is not None:
            bands = boundary_bands(preds, target, self.counting)
            try:
                aliasing = AliasingErrors.of(example.aliasing, errors, bands)
            except ValueError as error:
                raise ValueError(f"{printable(example.name)}: {error}") from error
        planes = {
            "target": label_plane(target, self.classes),
            "prediction": label_plane(preds, self.classes),
            "errors": mark_plane(errors),
        }
        if self.object_recall is not None:
            planes["objects"] = object_plane(preds, target, self.classes, self.object_recall)
        ground = background(example.image, target, self.classes)
        picture = draw_errors(errors, ground, brightness=1 - DARKENED, opacity=OVERLAID)
        keep_labels(self.folder, example, self.classes)
        if example.unstable is not None:
            path = f"unstable/{file_key(example.name)}.webp"
            write_thumbnail(self.folder, path, paint_heat(example.unstable, ground))
        columns = np.where(planes["errors"] == VOID_MARK, 0, planes["errors"])
        kinds = len(ERROR_KINDS)
        drawn = draw_files(
            self.folder,
            example,
            planes,
            picture,
            columns,
            (target, preds),
            len(self.classes),
            kinds,
        )
        by_pair = count_by_pair(columns, target, preds, kinds)
        return ReportPart([drawn._replace(by_pair=by_pair)], aliasing)

    def _results(self, found: Mapping[str, Any]) -> tuple[dict[str, Any], Any, Any]:
        aliasing = self.part.aliasing
        return dict(found), self.part.drawn, None if aliasing is None else aliasing.to_dict()

    def _write_page(self, result: Mapping[str, Any], drawn: Any, **more: Any) -> None:
        finish_report(self.folder, result, drawn, self.classes, **more)


def report_folders(
    path: Path,
    predictions: Path,
    targets: Path,
    options: Options,
    *,
    output: Path | None = None,
    title: str | None = None,
    probe: Mapping[str, Any] | None = None,
    images: Path | None = None,
    skip_bad: bool = False,
    **reading: Any,
) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate folders and write the page of the evaluation, reading each file once.

    Under torchrun, each process draws the images that it counts, and the first writes the page.

    Args:
        path: folder of the page, made if it does not exist. A page in it is replaced.
        predictions: folder of predicted label maps.
        targets: folder of target label maps.
        options: how to count.
        output: file that the result will be written to; the path of the page is given relative to
            its folder.
        title: heading of the page; by default it names the folder of predictions.
        probe: result of `dealias probe`, for a section on the network; its aliasing maps become a
            layer of the viewer.
        images: folder of photographs.
        skip_bad: list files that can't be used instead of raising.
        reading: other arguments of :func:`dealias.evaluation.evaluate_folders`.

    Returns:
        The evaluation, and in the first process entries for the result's file: ``report``, the path
        of the page, and ``errors_against_aliasing`` if there are aliasing maps.

    Raises:
        OutputError: the page can't be begun.
        DrawingError: all images were counted, but the page can't be drawn; the error has the
            evaluation.
        ValueError: see `evaluate_folders`.
    """
    maps = (probe or {}).get("maps") or {}
    scores: dict[str, Path] = {}
    if maps.get("folder") is not None:
        names = [pair.name for pair in pair_folders(predictions, targets, options.rule).pairs]
        scores = find_images(Path(maps["folder"]), names)
    writer = ReportWriter(
        path,
        options.classes,
        protocol=options.protocol,
        band_width=options.band_width,
        object_recall=options.object_recall,
    )
    draw = partial(_draw, writer, scores, skip_bad)
    first = True
    try:
        with process_group() as (rank, processes):
            first = rank == 0
            # The folder must exist before any process draws.
            for error in gather(_begin(writer) if first else None, processes):
                if error is not None:
                    raise error
            evaluation = evaluate_folders(
                predictions,
                targets,
                options,
                images=images,
                skip_bad=skip_bad,
                draw=draw,
                **reading,
            )
        if not first:
            return evaluation, {}
        if isinstance(evaluation.drawn, ReportPart):
            writer.part = evaluation.drawn
            writer.part.drawn.sort(key=lambda row: row.name)
        problems = [row.problem for row in writer.part.drawn if row.problem]
        evaluation.skipped += [each for each in problems if each not in evaluation.skipped]
        title = title or f"Errors of {run_name(predictions)}"
        try:
            return evaluation, writer.finish(
                evaluation.to_dict(), output=output, probe=probe, site=maps.get("site"), title=title
            )
        except Exception as error:
            raise DrawingError(why_undrawn(error), evaluation) from error
    finally:
        if first:
            writer.discard()


def run_name(folder: Path) -> str:
    """Return the name of a run from its folder of predictions, skipping the name "predictions".

    >>> run_name(Path("/runs/espnet/predictions")), run_name(Path("/runs/espnet"))
    ('espnet', 'espnet')
    """
    full = folder.absolute()
    tells = (part for part in reversed(full.parts[1:]) if part.lower() not in _GENERIC)
    return next(tells, full.name)


def _begin(writer: ReportWriter) -> OutputError | None:
    try:
        writer.begin()
    except OutputError as error:  # raised once every process has reported
        return error
    return None


def _draw(
    writer: ReportWriter,
    scores: Mapping[str, Path],
    skip_bad: bool,
    name: str,
    preds: NDArray[np.integer],
    target: NDArray[np.integer],
    image: Path | None,
) -> ReportPart:
    example = read_example(name, preds, target, image, scores.get(name), skip_bad=skip_bad)
    return writer.draw(example)
