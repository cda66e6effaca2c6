"""The instances of a data set, and the detections of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dealias.metrics.instances.masks import Rle
from dealias.text import printable


@dataclass(frozen=True)
class Instance:
    """One object in an image.

    Attributes:
        label: class of the object, 1 .. C.
        box: (left, top, right, bottom) in pixels; right and bottom are exclusive.
        mask: run lengths; None if the annotations have only boxes.
        area: area in pixels, from the annotation file if it has one, else of the mask, or of the
            box if there is no mask.
        crowd: whether it is a group of objects, which counts as neither found nor missed.
    """

    label: int
    box: tuple[float, float, float, float]
    mask: Rle | None
    area: float
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its instances.

    Attributes:
        id: unique in its data set.
        name: name of the image in the annotation file.
        path: file of the image.
        size: (height, width) in pixels.
        instances: the instances in it.
    """

    id: int
    name: str
    path: Path
    size: tuple[int, int]
    instances: tuple[Instance, ...] = ()

    @property
    def masks(self) -> list[Rle]:
        """The masks of the instances.

        Raises:
            ValueError: an instance has only a box.
        """
        masks = [instance.mask for instance in self.instances if instance.mask is not None]
        if len(masks) < len(self.instances):
            raise ValueError(
                f"{printable(self.name)}: expected masks of its instances, got boxes alone"
            )
        return masks


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


@dataclass(frozen=True)
class Detections:
    """The instances that a network detected in one image, in any order.

    Attributes:
        boxes: floating point `[N, 4]`, (left, top, right, bottom) in pixels, finite.
        labels: integers `[N]`, 1 .. C.
        scores: floating point `[N]`, finite; higher is more confident.
        masks: N run lengths with the size of the image; None to compare only boxes.

    Raises:
        ValueError: lengths differ, a label is below 1, or a number is not finite.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: list[Rle] | None

    def __post_init__(self) -> None:
        what = "scores" if self.masks is None else "masks"
        count = len(getattr(self, what))
        for name, shape in (("boxes", [count, 4]), ("labels", [count]), ("scores", [count])):
            value: Tensor = getattr(self, name)
            if list(value.shape) != shape:
                raise ValueError(
                    f"{name}: expected shape {shape} for {count} {what}, got {list(value.shape)}"
                )
            if not value.isfinite().all():
                bad = value[~value.isfinite()][0].item()
                raise ValueError(f"{name}: expected finite numbers, got {bad}")
        if count and self.labels.min() < 1:
            raise ValueError(f"labels: expected 1 or more, got {int(self.labels.min())}")

    def check_against(self, image: AnnotatedImage, *, classes: int | None = None) -> None:
        """Check that the detections can be compared with the instances of an image.

        Raises:
            ValueError: a mask does not have the size of the image, the detections have masks but
                the instances do not, or a label is above the number of classes.
        """
        for rle in () if self.masks is None else (*self.masks, *image.masks):
            if tuple(rle["size"]) != tuple(image.size):
                raise ValueError(
                    f"{printable(image.name)}: expected masks of {image.size[1]}x{image.size[0]}, "
                    f"got one of {rle['size'][1]}x{rle['size'][0]}"
                )
        labels = [*self.labels.tolist(), *(instance.label for instance in image.instances)]
        if classes is not None and max(labels, default=0) > classes:
            raise ValueError(
                f"{printable(image.name)}: expected labels of {classes} classes, got {max(labels)}"
            )

    @classmethod
    def none(cls, *, boxes_alone: bool = False) -> Detections:
        """Return an empty set of detections, without masks if `boxes_alone`."""
        labels = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0, 4), labels, torch.zeros(0), None if boxes_alone else [])

    def __len__(self) -> int:
        return len(self.scores)


def as_coco(box: Sequence[float]) -> list[float]:
    """Return (left, top, width, height), without the rounding error of subtracting decimals."""
    left, top, right, bottom = box
    return [left, top, round(right - left, 9), round(bottom - top, 9)]
