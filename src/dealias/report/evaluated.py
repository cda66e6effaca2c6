"""The page of an evaluation of folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dealias.evaluation import Evaluation
from dealias.report.examples import FolderExamples
from dealias.report.segmentation import write_report
from dealias.report.work import Progress
from dealias.report.writer import way_to


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
        path: folder of the page.
        output: file that the result will be written to, for the way from there to the page.
        probe: see :func:`write_report`; its aliasing maps become a layer.
        skip_bad: go without photographs that can't be read.
        workers: see :func:`write_report`.
        progress: see :func:`write_report`.

    Returns:
        Keys for the result's file: ``report``, where the page is, and
        ``errors_against_aliasing`` if there are aliasing maps.

    Raises:
        LabelFileError: a file can't be read, or its labels are no longer those that were counted.
        ValueError: as :func:`write_report`; or an evaluation not of folders.
    """
    if evaluation.sources is None:
        raise ValueError("evaluation: expected one of folders, with its sources")
    maps = ((probe or {}).get("maps") or {}).get("folder")
    examples = FolderExamples(
        evaluation.sources,
        aliasing=None if maps is None else Path(maps),
        digests={row.name: row.digests for row in evaluation.images},
        skip_bad=skip_bad,
    )
    title = f"Errors of {evaluation.sources.predictions.name}"
    more = write_report(
        path,
        evaluation.to_dict(),
        examples,
        probe=probe,
        title=title,
        workers=workers,
        progress=progress,
    )
    evaluation.skipped += more.pop("problems")
    return {"report": way_to(path, output)} | more
