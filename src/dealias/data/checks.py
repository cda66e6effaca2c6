"""What looking through a data set takes, whatever it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def parts_to_read(splits: Mapping[str, str], parts: Sequence[str]) -> list[str]:
    """The parts to read: those asked for, but only the first of those that are the same split.

    Args:
        splits: of the data set, by part.
        parts: of "train", "val" and "test".

    Raises:
        ValueError: no or unknown parts.

    >>> parts_to_read({"train": "train", "val": "val", "test": "val"}, ["test", "val", "train"])
    ['test', 'train']
    """
    unknown = [part for part in parts if part not in splits]
    if unknown or not parts:
        known = ", ".join(splits)
        raise ValueError(f"parts: expected at least one of {known}, got {list(parts)!r}")
    read: dict[str, str] = {}
    for part in parts:
        read.setdefault(splits[part], part)
    return list(read.values())


def shared_files(splits: Iterable[Iterable[Path]]) -> list[Path]:
    """Files that are in more than one of several splits, sorted."""
    times = Counter(path for files in splits for path in set(files))
    return sorted(path for path, count in times.items() if count > 1)


def size_rows(sizes: Mapping[tuple[int, int], int]) -> list[dict[str, int]]:
    """Numbers of samples by size (H, W), as what JSON can hold."""
    return [
        {"height": height, "width": width, "samples": count}
        for (height, width), count in sizes.items()
    ]
