"""What is known of the instances of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dealias.metrics.instances.masks import Rle


@dataclass(frozen=True)
class Instance:
    """One object in an image.

    Attributes:
        label: its class, 1 .. C.
        box: (left, top, right, bottom) in pixels, right and bottom outside.
        mask: run lengths.
        area: in pixels, as the annotation file says, else that of the mask.
        crowd: whether it is a group, which counts as neither found nor missed.
    """

    label: int
    box: tuple[float, float, float, float]
    mask: Rle
    area: float
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its instances.

    Attributes:
        id: unique in its data set.
        name: as the annotation file calls it.
        path: of the image.
        size: (H, W).
        instances: what is in it.
    """

    id: int
    name: str
    path: Path
    size: tuple[int, int]
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class Problem:
    """An entry of an annotation file that can't be used.

    Attributes:
        entry: such as "annotation 17".
        reason: what was expected and what came.
    """

    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.reason}"


@dataclass(frozen=True)
class InstanceSet:
    """Images with their instances.

    Attributes:
        classes: names of classes 1 .. C.
        images: in the order of the file.
        skipped: entries that were left out because they can't be used.
        ignored: number of instances left out because their category is no class, by category.
        categories: names of all categories of the annotation file by id; empty if there is none.
        labels: label 1 .. C by id of the categories that are classes; empty if there is no file.
        notes: what is used otherwise than it stands in the file, such as an area of 0, with how
            many entries it is.
    """

    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    skipped: tuple[Problem, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def remarks(self) -> list[str]:
        """The notes, and how many instances are of no class, for what comes of the set."""
        number = sum(self.ignored.values())
        others = f"annotations whose category is no class, left out: {number:,}"
        return [*self.notes, *([others] if number else [])]
