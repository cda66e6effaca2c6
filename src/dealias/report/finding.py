"""Where the images of a result file can be read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dealias.evaluation import Sources, digest_rows
from dealias.report.examples import Examples, FolderExamples
from dealias.report.page_examples import PageExamples
from dealias.report.result_files import ResultFileError
from dealias.text import printable


def find_examples(result: Mapping[str, Any], path: Path) -> Examples:
    """Find the images of a result: in the folders that were evaluated, or else in its page.

    Args:
        result: from :func:`read_result`.
        path: its file.

    Raises:
        ResultFileError: they are in neither; the message says why.
        ValueError: they are, but can't be used. Loading an image raises it where labels are no
            longer those that were counted.
    """
    problems = []
    rows = result["per_image"]
    digests = {
        str(row["name"]): (row["digests"]["prediction"], row["digests"]["target"])
        for row in rows
        if "digests" in row
    }
    if result.get("sources") is not None:
        sources = Sources.from_dict(result["sources"], printable(path))
        folders = [sources.predictions, sources.targets]
        gone = next((folder for folder in folders if not folder.is_dir()), None)
        if gone is None:
            if sources.images is not None and not sources.images.is_dir():
                parts = (sources.classes, sources.predictions, sources.targets)
                sources = Sources(*parts, map_predictions=sources.map_predictions)
            return FolderExamples(sources, digests=digests, skip_bad=True)
        problems.append(f"{printable(gone)} is no folder")
    if isinstance(result.get("report"), str):
        page = path.parent / result["report"]
        if (page / "index.html").is_file():
            return PageExamples(page, digest_rows(rows))
        problems.append(f"{printable(page)} holds no page")
    why = "; ".join(problems) or "it names neither folders nor a page"
    raise ResultFileError(f"{printable(path)}: its images are not to be found: {why}")
