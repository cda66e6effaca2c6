"""Resizing and flipping images with their boxes and masks."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from dealias.data.batches import Item
from dealias.data.instances.datasets import Transform
from dealias.data.loading import check_probability

_PER_INSTANCE = ("labels", "area", "iscrowd")
_LEAST = 2  # pixels along either side, the size of a Bayer pattern


def instance_transform(
    *, size: tuple[int, int] | None = (600, 400), flip: float = 0.0
) -> Transform:
    """Resize images, and flip some of them, together with their instances.

    Args:
        size: (longer side, shorter side), in pixels, into which images are fitted, keeping their
            aspect ratio, such as 600x400 in the LIS recipe; None keeps their size.
        flip: probability of a horizontal flip, in [0, 1].

    Returns:
        A transform of the items of :class:`dealias.instance.InstanceDataset`. It clips boxes to the
        image, and removes instances whose box is less than a pixel wide or high, or whose mask has
        no pixel left.

    Raises:
        ValueError: an argument is out of range.
    """
    check_probability("flip", flip)
    steps: list[Any] = [] if size is None else [resizing(size)]
    if flip:
        steps.append(v2.RandomHorizontalFlip(flip))
    steps += [v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(labels_getter=_per_instance)]
    steps.append(_without_vanished)
    transform: Transform = v2.Compose(steps)
    return transform


def resizing(size: tuple[int, int]) -> Any:
    """A transform that fits images into (longer side, shorter side), keeping their aspect ratio.

    Very thin images keep at least two pixels.

    Raises:
        ValueError: the sides are impossible.
    """
    if len(size) != 2 or not 1 <= size[1] <= size[0]:
        raise ValueError(f"size: expected (longer side, shorter side), got {size!r}")
    return _FitWithin(*size)


class _FitWithin(v2.Transform):  # type: ignore[misc]
    """torchvision's Resize, except that thin images keep two pixels instead of losing all."""

    def __init__(self, longer: int, shorter: int) -> None:
        super().__init__()
        self.longer = longer
        self.shorter = shorter

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Called by torchvision once per sample: the arguments of its resizing."""
        height, width = v2.query_size(flat_inputs)
        if self.longer * min(height, width) < _LEAST * max(height, width):
            least = min(_LEAST, self.shorter)
            sides = (self.longer, least) if height > width else (least, self.longer)
            return {"size": [*sides], "max_size": None}
        shortest = [self.shorter] if self.shorter < self.longer else None
        return {"size": shortest, "max_size": self.longer}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Called by torchvision for each part of a sample."""
        if isinstance(inpt, tv_tensors.Mask):
            # torchvision's own kernel for masks picks the pixel to the upper left, which shifts
            # them relative to the image and the boxes.
            nearest = v2.InterpolationMode.NEAREST_EXACT
            masks = v2.functional.resize(inpt.as_subclass(Tensor), **params, interpolation=nearest)
            return tv_tensors.wrap(masks, like=inpt)
        return v2.functional.resize(inpt, **params)


def _without_vanished(item: Item) -> Item:
    """Remove instances whose mask has no pixel left."""
    target = item["target"]
    left = (target["masks"].as_subclass(Tensor) != 0).flatten(1).any(1)
    if left.all():
        return item
    kept = {
        key: tv_tensors.wrap(target[key].as_subclass(Tensor)[left], like=target[key])
        for key in ("boxes", "masks")
    }
    kept |= {key: target[key][left] for key in _PER_INSTANCE}
    return item | {"target": target | kept}


def _per_instance(item: Item) -> tuple[Tensor, ...]:
    return tuple(item["target"][key] for key in _PER_INSTANCE)
