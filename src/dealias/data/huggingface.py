"""Data sets of the `datasets` library on disk: the tables of a split, and their columns."""

from __future__ import annotations

from pathlib import Path

from dealias.data.finding import DataError, find_root
from dealias.inputs import read_json
from dealias.tables import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    SAVED,
    ImageTable,
    TableError,
    check_shards,
    in_order,
    split_shard,
    table_files,
)
from dealias.text import FileError, printable, shorten

NAME = "huggingface"
TREE = """\
dataset_dict.json, train/state.json, train/data-00000-of-00001.arrow ...: DatasetDict.save_to_disk
  or, with . for the split,
state.json, data-00000-of-00001.arrow ...: Dataset.save_to_disk
  or, also in the folder data,
train-00000-of-00002.parquet ..., validation.parquet, test/0000.parquet ..."""
_INNER = (".", "data")


def find_table(split: str, root: Path | None) -> ImageTable:
    """The table of a split.

    Args:
        split: name of the split; "." for a data set that was saved without splits.
        root: folder of the data set; by default the environment variable DEALIAS_HUGGINGFACE.

    Raises:
        DataError: there is no such split, it is in several places, some of its files are missing
            or can't be read, or the folder contains a program, which is never run.
    """
    base, source = find_root(NAME, root, TREE)
    try:
        return ImageTable(_find(base, split))
    except FileError as error:
        raise DataError(
            f"{NAME}, split {printable(split)!r}: {error}\n"
            f"Looked in {printable(base)}, which {source} says; expected there:\n{TREE}"
        ) from error


def choose_columns(table: ImageTable, images: str | None, labels: str | None) -> tuple[str, str]:
    """The columns of the images and of the label maps.

    Args:
        table: table of a split.
        images: name of the column of images; None for the one with a usual name.
        labels: name of the column of label maps; None likewise.

    Raises:
        DataError: there is no such column, there are several, or both columns are the same.
    """
    try:
        chosen = (
            table.choose("data.images", images, IMAGE_COLUMNS),
            table.choose("data.labels", labels, LABEL_COLUMNS),
        )
    except TableError as error:
        raise DataError(str(error)) from error
    if chosen[0] == chosen[1]:
        raise DataError(
            f"{printable(table.files[0])}: data.labels: expected another column than that of the "
            f"images, {shorten(chosen[0])}"
        )
    return chosen


def _find(base: Path, split: str) -> list[Path]:
    """The files of a split."""
    if not base.is_dir():
        raise FileError(base, "not a folder")
    programs = sorted(path.name for path in base.glob("*.py"))
    if programs:
        raise FileError(
            base / programs[0],
            "a data set with a program, which is not run: load it with datasets and save it by "
            "save_to_disk",
        )
    if (base / SAVED).is_file():
        known = _text(base / SAVED, "_split")
        if split not in (".", known):
            raise FileError(base, f"expected the split {printable(known or '.')}, as it was saved")
        return table_files(base / SAVED)
    if (base / "dataset_dict.json").is_file():
        splits = sorted(path.parent.name for path in base.glob(f"*/{SAVED}"))
        if split not in splits:
            raise FileError(
                base, f"expected one of its splits, {', '.join(map(printable, splits))}"
            )
        return table_files(base / split / SAVED)
    found = _parquet(base)
    if split not in found:
        listed = ", ".join(map(printable, sorted(found))) or "none"
        raise FileError(base, f"expected Parquet files of the split, got those of {listed}")
    folders = {path.parent for path in found[split]}
    if len(folders) > 1:
        listed = ", ".join(printable(folder) for folder in sorted(folders))
        raise FileError(base, f"expected the files of a split in one folder, got {listed}")
    check_shards(found[split])
    return found[split]


def _parquet(base: Path) -> dict[str, list[Path]]:
    """Parquet files by split, in order."""
    found: dict[str, list[Path]] = {}
    for inner in _INNER:
        for path in in_order((base / inner).glob("*.parquet")):
            found.setdefault(split_shard(path)[0], []).append(path)
        for path in in_order((base / inner).glob("*/*.parquet")):
            if path.parent.name not in _INNER:
                found.setdefault(path.parent.name, []).append(path)
    return found


def _text(path: Path, key: str) -> str | None:
    content = read_json(path)
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None
