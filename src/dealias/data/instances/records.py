"""What an annotation file holds: images with instances, and entries that can't be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dealias.metrics.instances import AnnotatedImage


@dataclass(frozen=True)
class Problem:
    """An entry of an annotation file that can't be used.

    Attributes:
        entry: the entry, such as "annotation 17".
        reason: what was expected and what was found.
    """

    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.reason}"


class Notes:
    """Counts by kind of the entries of a file that are used in part or with a replacement."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, entry: str) -> None:
        """Count an entry, such as "annotation 17"."""
        count, first = self._found.get(kind, (0, entry))
        self._found[kind] = count + 1, first

    def listed(self) -> tuple[str, ...]:
        """Return a message for each kind, with the number of entries and the first of them."""
        return tuple(
            f"{kind}: {count:,}, the first of {first}"
            for kind, (count, first) in self._found.items()
        )


@dataclass(frozen=True)
class InstanceSet:
    """Images with their instances.

    Attributes:
        classes: names of classes 1 .. C.
        images: the images, in the order of the file.
        skipped: entries that were left out because they can't be used.
        ignored: for each category that is not a class, the number of instances left out.
        categories: names of all categories of the annotation file by id; empty if there is no file.
        labels: label 1 .. C of each category that is a class, by id; empty if there is no file.
        notes: values that are not used as they are in the file, such as an area of 0, with the
            number of entries.
        missing: ids of the images that were left out because they can't be used.
    """

    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    skipped: tuple[Problem, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def remarks(self) -> list[str]:
        """The notes and the number of instances without a class, to be passed on with results."""
        number = sum(self.ignored.values())
        others = f"annotations whose category is no class, left out: {number:,}"
        return [*self.notes, *([others] if number else [])]
