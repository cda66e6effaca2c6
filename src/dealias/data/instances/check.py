"""Checking a data set with instances before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from dealias.data.checks import DataCheck, FoundSplit, check_splits, size_rows
from dealias.data.instances.module import InstanceDataModule
from dealias.data.instances.records import InstanceSet
from dealias.data.reading import read_annotated
from dealias.metrics.instances import AnnotatedImage
from dealias.processes import Progress, read_in_order
from dealias.text import FileError

# COCO's, in pixels.
_MEDIUM = 32**2
_LARGE = 96**2


@dataclass
class ClassCounts:
    """The instances of a class in a split.

    Attributes:
        name: name of the class.
        instances: number of instances, without crowds.
        images: number of images with an instance.
        crowds: number of groups, which count as neither found nor missed.
        small: number of instances with an area below 32x32 pixels.
        medium: number of instances between small and large.
        large: number of instances with an area of at least 96x96 pixels.
    """

    name: str
    instances: int = 0
    images: int = 0
    crowds: int = 0
    small: int = 0
    medium: int = 0
    large: int = 0


@dataclass(frozen=True)
class InstanceSplitCheck:
    """What was found in a split.

    Attributes:
        part: "train", "val" or "test".
        split: the split of the data set.
        images: number of images, including unreadable ones but not missing ones.
        sizes: number of usable images of each size (height, width), the most frequent first.
        empty: number of usable images without an instance; crowds do not count.
        classes: the instances of each class in usable images.
        ignored: number of annotations left out because their category is not a class, by category.
        problems: what is wrong with each annotation or image that can't be used.
        notes: what is not used as stored in the file, such as an area of 0.
    """

    part: str
    split: str
    images: int
    sizes: dict[tuple[int, int], int]
    empty: int
    classes: list[ClassCounts]
    ignored: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def instances(self) -> int:
        """Number of instances of all classes, without crowds."""
        return sum(counts.instances for counts in self.classes)

    @property
    def unseen(self) -> list[str]:
        """Classes without an instance."""
        return [counts.name for counts in self.classes if not counts.instances]

    @property
    def ok(self) -> bool:
        """Whether all annotations and images can be used."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The findings as values that JSON can hold."""
        return {
            "part": self.part,
            "split": self.split,
            "images": self.images,
            "sizes": size_rows(self.sizes),
            "empty": self.empty,
            "instances": self.instances,
            "classes": [asdict(counts) for counts in self.classes],
            "unseen": self.unseen,
            "ignored": self.ignored,
            "problems": self.problems,
            "notes": self.notes,
        }


InstanceCheck = DataCheck[InstanceSplitCheck]


def check_instances(
    datamodule: InstanceDataModule,
    *,
    parts: Sequence[str] = ("train", "val"),
    workers: int | None = None,
    progress: Progress | None = None,
) -> InstanceCheck:
    """Read all annotations and images of a data set, and count the instances.

    Annotations that can't be used, and images that can't be read or differ in size from their
    annotations, are listed, not raised.

    Args:
        datamodule: the data set; its options select the splits, and the number of images of each.
            All annotations are checked, even if the number of images is limited.
        parts: see :func:`dealias.data.check_data`.
        workers: see :func:`dealias.data.check_data`.
        progress: see :func:`dealias.data.check_data`.

    Raises:
        ValueError: there are no parts, or unknown ones.
        DataError, LisError: a split can't be found at all.
        AnnotationError, LabelFileError: none of the annotations of a split can be used.
    """
    splits = datamodule.source.splits
    reading = datamodule.workers if workers is None else workers

    def find(part: str) -> FoundSplit:
        instances = datamodule.find(part)
        check = partial(_check_split, part, splits[part], instances, reading)
        return FoundSplit(len(instances), [image.path for image in instances.images], check)

    return check_splits(datamodule.source.name, splits, parts, find, progress)


def _check_split(
    part: str, split: str, instances: InstanceSet, workers: int, tick: Callable[[], object]
) -> InstanceSplitCheck:
    problems = [str(problem) for problem in instances.skipped]
    usable = []
    read = read_in_order(_problem, instances.images, workers, tick)
    for image, problem in zip(instances.images, read, strict=True):
        if problem is None:
            usable.append(image)
        else:
            problems.append(problem)
    return InstanceSplitCheck(
        part,
        split,
        len(instances),
        dict(Counter(image.size for image in usable).most_common()),
        sum(all(instance.crowd for instance in image.instances) for image in usable),
        _count(instances.classes, usable),
        dict(instances.ignored),
        problems,
        list(instances.notes),
    )


def _count(classes: Sequence[str], images: Sequence[AnnotatedImage]) -> list[ClassCounts]:
    found = [ClassCounts(name) for name in classes]
    for image in images:
        for label in {instance.label for instance in image.instances if not instance.crowd}:
            found[label - 1].images += 1
        for instance in image.instances:
            counts = found[instance.label - 1]
            if instance.crowd:
                counts.crowds += 1
                continue
            counts.instances += 1
            counts.small += instance.area < _MEDIUM
            counts.medium += _MEDIUM <= instance.area < _LARGE
            counts.large += instance.area >= _LARGE
    return found


def _problem(image: AnnotatedImage) -> str | None:
    """What is wrong with an image; None if it can be used."""
    try:
        read_annotated(image.path, image.size)
    except FileError as error:
        return str(error)
    return None
