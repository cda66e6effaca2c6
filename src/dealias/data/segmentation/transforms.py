"""User-defined transforms: torchvision's, or any that take an image and its label map."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from dealias.data.streams import augmentation_seed
from dealias.text import reason, shorten

_OPTION = "data.augmentation.transforms"
_TRIALS = 8  # calls to check whether void stays void


class TransformError(ValueError):
    """A user-defined transform fails, or its result can't be used for training."""


class OwnTransforms:
    """User-defined transforms, applied in turn, with checks of their results.

    By default, geometric transforms of torchvision fill label maps with 0, which is a class. Here
    they fill them with void instead, also inside other transforms, unless their `fill` has an entry
    for `tv_tensors.Mask`. Images are filled as `fill` says.

    Args:
        transforms: each takes an image and a label map, and returns both.
        most: largest (height, width) of a result.
        num_classes: number of classes.
        ignore_index: the label of void.

    Warns:
        UserWarning: a transform puts classes into a label map that is entirely void.
    """

    def __init__(
        self,
        transforms: Sequence[Callable[..., Any]],
        *,
        most: tuple[int, int],
        num_classes: int,
        ignore_index: int,
    ) -> None:
        self.transforms = transforms
        self.most = most
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        for part in _parts(transforms):
            fill = getattr(part, "_fill", None)
            given = getattr(part, "fill", None)
            if isinstance(fill, dict) and not (isinstance(given, dict) and _MASK in given):
                part._fill = {**fill, _MASK: ignore_index}
        for index in range(len(transforms)):
            self._warn_of_classes(index)

    def __call__(
        self, image: tv_tensors.Image, mask: tv_tensors.Mask
    ) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Change an image uint8 [3, H, W] and its label map [H, W].

        Raises:
            TransformError: a transform raises an error, or does not return an image
                uint8 [3, h, w] of at most `most` and a label map [h, w] of classes and void.
        """
        for index in range(len(self.transforms)):
            image, mask = self._apply(index, image, mask)
        return image, mask

    def _apply(
        self, index: int, image: tv_tensors.Image, mask: tv_tensors.Mask
    ) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        try:
            changed = self.transforms[index](image, mask)
        except Exception as error:  # any code may run here
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise TransformError(
                f"{self._name(index)}: {type(error).__name__}: {reason(error)} "
                f"({Path(where.filename).name}:{where.lineno})"
            ) from error
        problem = self._problem(changed)
        if problem is not None:
            raise TransformError(f"{self._name(index)}: {problem}")
        image, labels = (part.as_subclass(Tensor) for part in changed)
        return tv_tensors.Image(image), tv_tensors.Mask(labels.to(mask.dtype))

    def _problem(self, changed: Any) -> str | None:
        """What is wrong with the result of a transform, or None."""
        if not isinstance(changed, (tuple, list)) or len(changed) != 2:
            return f"expected an image and a label map, got {_brief(changed)}"
        image, mask = changed
        if not (
            isinstance(image, Tensor)
            and image.dtype == torch.uint8
            and image.ndim == 3
            and image.shape[0] == 3
            and image.numel()
        ):
            return f"expected an image uint8 [3, H, W], got {_brief(image)}"
        kinds = (torch.uint8, torch.int16, torch.int32, torch.int64)
        if not isinstance(mask, Tensor) or mask.dtype not in kinds or mask.ndim != 2:
            return f"expected a label map of integers [H, W], got {_brief(mask)}"
        if mask.shape != image.shape[1:]:
            return f"expected a label map of {_size(image)} as its image, got {_size(mask)}"
        if any(length > most for length, most in zip(mask.shape, self.most, strict=True)):
            return (
                f"expected at most {self.most[1]}x{self.most[0]}, the crop_size, got {_size(mask)}"
            )
        labels = mask.as_subclass(Tensor).long()  # a smaller type may not hold the void label
        known = ((labels >= 0) & (labels < self.num_classes)) | (labels == self.ignore_index)
        if not known.all():
            wrong = torch.unique(labels[~known])[:8].tolist()
            return (
                f"expected labels 0..{self.num_classes - 1} or void {self.ignore_index}, got "
                f"{shorten(wrong)}"
            )
        return None

    def _name(self, index: int) -> str:
        transform = self.transforms[index]
        return f"{_OPTION}[{index}] ({getattr(transform, '__name__', type(transform).__name__)})"

    def _warn_of_classes(self, index: int) -> None:
        """Try a transform on pure void, since filling with a class would go unnoticed."""
        for trial in range(_TRIALS):
            void = torch.full(self.most, self.ignore_index, dtype=torch.int64)
            if 0 <= self.ignore_index < 256:
                void = void.to(torch.uint8)
            image = tv_tensors.Image(torch.full((3, *self.most), 128, dtype=torch.uint8))
            try:
                with augmentation_seed(0, trial):
                    _, mask = self._apply(index, image, tv_tensors.Mask(void))
            except TransformError:  # training may have no such label map
                return
            found = mask[mask != self.ignore_index].unique().tolist()
            if found:
                warnings.warn(
                    f"{self._name(index)}: gives pixels of void the classes {shorten(found)}; if "
                    f"it fills label maps, it is to fill them with {self.ignore_index}",
                    stacklevel=2,
                )
                return


_MASK = tv_tensors.Mask


def _parts(transforms: Iterable[Any]) -> Iterator[Any]:
    """Transforms, and the transforms inside them."""
    left, seen = list(transforms), set()
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (list, tuple)):
            left += part
        elif isinstance(part, dict):
            left += part.values()
        elif isinstance(part, nn.Module) or _has_parts(part):
            yield part
            left += vars(part).values()


def _has_parts(value: Any) -> bool:
    return callable(value) and hasattr(value, "__dict__") and not isinstance(value, type)


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__
