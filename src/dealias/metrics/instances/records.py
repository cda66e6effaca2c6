"""The instances of a data set, and the detections of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
