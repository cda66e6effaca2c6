"""Flip and resize images with their boxes and masks."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision.transforms import v2

from dealias.instance._dataset import Item, Transform


def instance_transform(
    *, size: tuple[int, int] | None = (600, 400), flip: float = 0.0
) -> Transform:
    """Resize images, and flip some of them, with all that belongs to them.

    Args:
        size: (longer side, shorter side) in pixels that an image just fits in, its shape kept, as
            600x400 is meant in the LIS recipe; None leaves it.
        flip: probability of a horizontal flip, in [0, 1].

    Returns:
        A transform of the items of :class:`dealias.instance.InstanceDataset`. It clips boxes to the
        image, and takes out instances whose box is less than a pixel wide or high.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0 <= flip <= 1:
        raise ValueError(f"flip: expected a probability in [0, 1], got {flip}")
    steps: list[Any] = [] if size is None else [resizing(size)]
    if flip:
        steps.append(v2.RandomHorizontalFlip(flip))
    steps += [v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(labels_getter=_per_instance)]
    transform: Transform = v2.Compose(steps)
    return transform


def resizing(size: tuple[int, int]) -> Any:
    """A transform that makes images just fit in (longer side, shorter side), their shape kept.

    Raises:
        ValueError: no such sides.
    """
    if len(size) != 2 or not 1 <= size[1] <= size[0]:
        raise ValueError(f"size: expected (longer side, shorter side), got {size!r}")
    longer, shorter = size
    return v2.Resize(shorter if shorter < longer else None, max_size=longer)


def _per_instance(item: Item) -> tuple[Tensor, ...]:
    return tuple(item["target"][key] for key in ("labels", "area", "iscrowd"))
