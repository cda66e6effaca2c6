"""Write the table of classes as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from dealias.evaluation.results import Evaluation
from dealias.files import write_whole
from dealias.metrics.functional import MEANS
from dealias.text import printable

_FORMULA = ("=", "+", "-", "@")  # first characters that make a cell a formula in spreadsheets


def write_csv(evaluation: Evaluation, path: Path) -> None:
    """Write a table with a row for each class and one for the mean, as fractions.

    A name that a spreadsheet would take for a formula gets a leading apostrophe; control
    characters are escaped.
    """
    result = evaluation.to_dict()
    columns = [key for key, value in result["classes"][0].items() if not isinstance(value, dict)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"name": _as_text(row["name"])} for row in result["classes"])
    metrics = {column: result["metrics"].get(MEANS.get(column, column)) for column in columns}
    pixels = sum(row["pixels"] for row in result["classes"])
    writer.writerow(metrics | {"name": "mean", "pixels": pixels})
    with write_whole(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _as_text(name: str) -> str:
    text = printable(name)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
