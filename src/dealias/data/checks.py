"""Going through a data set before hours are spent on training: what all kinds have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dealias.processes import Progress, open_progress


class CheckedSplit(Protocol):
    """What a split holds."""

    @property
    def ok(self) -> bool:
        """Whether everything in it can be used."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as values that JSON can hold."""


S = TypeVar("S", bound=CheckedSplit)


@dataclass(frozen=True)
class DataCheck(Generic[S]):
    """What the splits of a data set hold.

    Attributes:
        data_set: its name.
        splits: what is in each split.
        shared: images that are in more than one split, although the splits differ.
        training: what the file of the check says of the training split for those who train on it.
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
        """All of it as values that JSON can hold; shares that are not defined are None."""
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
        images: their files; none for samples that are drawn.
        check: reads them all, and calls its argument after each.
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
        data_set: its name.
        splits: its splits, by part.
        parts: of "train", "val" and "test".
        find: finds the split of a part.
        progress: see :func:`dealias.data.check_data`.

    Raises:
        ValueError: no or unknown parts.
    """
    found = [find(part) for part in parts_to_read(splits, parts)]
    with open_progress(progress, sum(split.length for split in found)) as tick:
        checked = [split.check(tick) for split in found]
    times = Counter(path for split in found for path in {*split.images})
    shared = sorted(path for path, count in times.items() if count > 1)
    return DataCheck(data_set, checked, shared)


def parts_to_read(splits: Mapping[str, str], parts: Sequence[str]) -> list[str]:
    """The parts to read: those asked for, but only the first of several with the same split.

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


def size_rows(sizes: Mapping[tuple[int, int], int]) -> list[dict[str, int]]:
    """Numbers of samples by size (height, width), as values that JSON can hold."""
    return [
        {"height": height, "width": width, "samples": count}
        for (height, width), count in sizes.items()
    ]
