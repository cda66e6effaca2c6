"""Looking through a data set with instances before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dealias.data.checks import parts_to_read, shared_files, size_rows
from dealias.data.instances.annotated import read_annotated
from dealias.data.instances.module import InstanceDataModule
from dealias.metrics.instances import AnnotatedImage, InstanceSet
from dealias.processes import Progress, open_progress, read_in_order
from dealias.text import FileError

# COCO's, in pixels.
_MEDIUM = 32**2
_LARGE = 96**2


@dataclass
class ClassCounts:
    """What a split holds of a class.

    Attributes:
        name: of the class.
        instances: how many there are, without crowds.
        images: how many images have one.
        crowds: groups, which count as neither found nor missed.
        small: instances whose area is below 32x32 pixels.
        medium: instances between small and large.
        large: instances from 96x96 pixels on.
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
    """What a split holds.

    Attributes:
        part: "train", "val" or "test".
        split: the split of the data set.
        images: number of images, with those that can't be read and without those that are not
            there.
        sizes: number of images of each size (H, W) among those that can be used, the most frequent
            first.
        empty: number of those without an instance; a crowd is none.
        classes: what they hold of each class.
        ignored: number of annotations left out because their category is no class, by category.
        problems: what is wrong with each annotation or image that can't be used.
        notes: what is used otherwise than it stands in the file, such as an area of 0.
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


@dataclass(frozen=True)
class InstanceCheck:
    """What the splits of a data set with instances hold.

    Attributes:
        data_set: its name.
        splits: what is in each split.
        shared: images that are in more than one split, though the splits differ.
    """

    data_set: str
    splits: list[InstanceSplitCheck]
    shared: list[Path]

    @property
    def ok(self) -> bool:
        """Whether all annotations and images can be used, and no image is in two splits."""
        return not (self.shared or any(split.problems for split in self.splits))

    def to_dict(self) -> dict[str, Any]:
        """Everything as what JSON can hold."""
        return {
            "data_set": self.data_set,
            "ok": self.ok,
            "splits": [
                {
                    "part": split.part,
                    "split": split.split,
                    "images": split.images,
                    "sizes": size_rows(split.sizes),
                    "empty": split.empty,
                    "instances": split.instances,
                    "classes": [asdict(counts) for counts in split.classes],
                    "unseen": split.unseen,
                    "ignored": split.ignored,
                    "problems": split.problems,
                    "notes": split.notes,
                }
                for split in self.splits
            ],
            "shared": [str(path) for path in self.shared],
        }


def check_instances(
    datamodule: InstanceDataModule,
    *,
    parts: Sequence[str] = ("train", "val"),
    workers: int | None = None,
    progress: Progress | None = None,
) -> InstanceCheck:
    """Read all annotations and images of a data set, and count what is in them.

    Annotations that can't be used, and images that can't be read or are not of the size that their
    annotations say, are listed, not raised.

    Args:
        datamodule: the data set; its options say which splits, and how many images of them. With a
            limit of images, all annotations are looked at still.
        parts: of "train", "val" and "test"; a split that is two of them is read once.
        workers: reading processes; by default those of `datamodule`; 0 for none.
        progress: given the number of images of all splits, opens a context that gives a function
            to call after each.

    Raises:
        ValueError: no or unknown parts.
        DataError, LisError: a split can't be found at all.
        AnnotationError, LabelFileError: nothing of its annotations can be used.
    """
    splits = datamodule.source.splits
    found = {part: datamodule.find(part) for part in parts_to_read(splits, parts)}
    reading = datamodule.workers if workers is None else workers
    checked = []
    with open_progress(progress, sum(map(len, found.values()))) as tick:
        for part, instances in found.items():
            checked.append(_check_split(part, splits[part], instances, reading, tick))
    shared = shared_files(
        [image.path for image in instances.images] for instances in found.values()
    )
    return InstanceCheck(datamodule.source.name, checked, shared)


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
