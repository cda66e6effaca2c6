"""Checking a data set before training: what all kinds of data sets have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dealias.processes import Progress, open_progress


class CheckedSplit(Protocol):
    """What was found in a split."""

    @property
    def ok(self) -> bool:
        """Whether everything in it can be used."""

    def to_dict(self) -> dict[str, Any]:
        """The findings as values that JSON can hold."""


S = TypeVar("S", bound=CheckedSplit)


@dataclass(frozen=True)
class DataCheck(Generic[S]):
    """What was found in the splits of a data set.

    Attributes:
        data_set: name of the data set.
        splits: what was found in each split.
        shared: images that are in more than one split, although the splits differ.
        training: further entries of the file of the check, about the training split, for training.
    """

    data_set: str
    splits: list[S]
    shared: list[Path]
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every file and annotation can be used, and no image is in two splits."""
        return not self.shared and all(split.ok for split in self.splits)

    def to_dict(self) -> dict[str, Any]:
        """The findings as values that JSON can hold; undefined shares are None."""
        return {
            "data_set": self.data_set,
            "ok": self.ok,
            "splits": [split.to_dict() for split in self.splits],
            "shared": [str(path) for path in self.shared],
            **self.training,
        }


class FoundSplit(NamedTuple):
    """A split that is about to be checked.

    Attributes:
        length: number of samples.
        images: their files; empty for procedural samples.
        check: reads all samples, and calls its argument after each.
    """

    length: int
    images: Iterable[Path]
    check: Callable[[Callable[[], object]], Any]


def check_splits(
    data_set: str,
    splits: Mapping[str, str],
    parts: Sequence[str],
    find: Callable[[str], FoundSplit],
    progress: Progress | None,
) -> DataCheck[Any]:
    """Find all splits, then check one after the other.

    Args:
        data_set: name of the data set.
        splits: its splits, by part.
        parts: some of "train", "val" and "test".
        find: finds the split of a part.
        progress: see :func:`dealias.data.check_data`.

    Raises:
        ValueError: there are no parts, or unknown ones.
    """
    found = [find(part) for part in parts_to_read(splits, parts)]
    with open_progress(progress, sum(split.length for split in found)) as tick:
        checked = [split.check(tick) for split in found]
    times = Counter(path for split in found for path in {*split.images})
    shared = sorted(path for path, count in times.items() if count > 1)
    return DataCheck(data_set, checked, shared)


def parts_to_read(splits: Mapping[str, str], parts: Sequence[str]) -> list[str]:
    """The parts to read: the requested ones, but only the first of several with the same split.

    Args:
        splits: splits of the data set, by part.
        parts: some of "train", "val" and "test".

    Raises:
        ValueError: there are no parts, or unknown ones.

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


def size_rows(sizes: Mapping[tuple[int, int], int]) -> list[dict[str, int]]:
    """Numbers of samples by size (height, width), as values that JSON can hold."""
    return [
        {"height": height, "width": width, "samples": count}
        for (height, width), count in sizes.items()
    ]
