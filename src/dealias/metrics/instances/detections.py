"""What a network found in an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dealias.metrics.instances.masks import Rle
from dealias.metrics.instances.records import AnnotatedImage
from dealias.text import printable


@dataclass(frozen=True)
class Detections:
    """Instances that a network found in one image, in any order.

    Attributes:
        boxes: floating point [N, 4], (left, top, right, bottom) in pixels, finite.
        labels: integers [N], 1 .. C.
        scores: floating point [N], finite, the higher the surer.
        masks: N run lengths of the size of the image.

    Raises:
        ValueError: not as many of one as of another, a label below 1, or numbers that are not
            finite.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: list[Rle]

    def __post_init__(self) -> None:
        count = len(self.masks)
        for name, shape in (("boxes", (count, 4)), ("labels", (count,)), ("scores", (count,))):
            value: Tensor = getattr(self, name)
            if value.shape != shape:
                raise ValueError(
                    f"{name}: expected shape {shape} for {count} masks, got {tuple(value.shape)}"
                )
            if not value.isfinite().all():
                bad = value[~value.isfinite()][0].item()
                raise ValueError(f"{name}: expected finite numbers, got {bad}")
        if count and self.labels.min() < 1:
            raise ValueError(f"labels: expected 1 or more, got {int(self.labels.min())}")

    def check_against(self, image: AnnotatedImage, *, classes: int | None = None) -> None:
        """Make sure that these can be compared with what is in an image.

        Raises:
            ValueError: a mask of either is not of the size of the image, or a label is over the
                number of classes.
        """
        for rle in (*self.masks, *(instance.mask for instance in image.instances)):
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
    def none(cls) -> Detections:
        """Nothing found."""
        labels = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0, 4), labels, torch.zeros(0), [])

    def __len__(self) -> int:
        """The number of instances."""
        return len(self.scores)
