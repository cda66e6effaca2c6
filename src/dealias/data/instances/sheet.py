"""A contact sheet of images with their instances, beside what a network sees."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from torch import Tensor
from torchvision import tv_tensors

from dealias.data.instances.module import InstanceDataModule
from dealias.data.instances.transforms import resizing
from dealias.data.reading import read_annotated
from dealias.data.sheets import Picture, Sheet, spread_usable
from dealias.data.streams import augmentation_seed
from dealias.evaluation.instances import draw_outlines, target_outlines
from dealias.labels import spread_colors
from dealias.metrics.instances import AnnotatedImage
from dealias.text import FileError

_SHEET = Sheet(cell=(270, 360), pairs_a_row=2)
_LINE = 1.5  # width of outlines, in pixels of the page


def instance_contact_sheet(
    datamodule: InstanceDataModule, *, part: str = "train", samples: int = 12
) -> Picture:
    """Draw images spread evenly over a split, with outlines in the colours of the classes.

    Beside each image is what a network sees of it in training: resized and, if configured, dark,
    but not flipped. Images that can't be used are left out.

    Args:
        datamodule: the data set, with the size and the darkness.
        part: "train", "val" or "test".
        samples: largest number of images.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        DataError, LisError, AnnotationError: see :func:`dealias.instance.check_instances`.
    """
    found = datamodule.find(part)
    steps: list[Any] = [] if datamodule.size is None else [resizing(datamodule.size)]
    steps += [] if datamodule.dark is None else [datamodule.dark.transform(None)]
    colors = spread_colors(len(found.classes))

    def read(index: int) -> Picture | None:
        record = found.images[index]
        with contextlib.suppress(FileError):
            image = read_annotated(record.path, record.size)
            with augmentation_seed(datamodule.seed, index):
                seen = _changed(image, steps)
            return _pair(record, image, seen, colors)
        return None

    drawn = list(spread_usable(len(found), samples, read))
    return _SHEET.page(drawn, found.classes, colors)


def _changed(image: Tensor, steps: list[Any]) -> Tensor:
    changed: Tensor = tv_tensors.Image(image)
    for step in steps:
        changed = step(changed)
    return changed.as_subclass(Tensor)


def _pair(record: AnnotatedImage, image: Tensor, seen: Tensor, colors: Any) -> Picture:
    """An image with its instances beside what a network sees, under its name."""
    width = max(1, math.ceil(_LINE * _SHEET.shrinkage(record.size)))
    outlines = target_outlines(record, colors)
    picture = draw_outlines(_pixels(image), outlines, width=width)
    caption = (
        f"{record.name}, {image.shape[2]}x{image.shape[1]}, instances: {len(outlines):,}; "
        f"as seen in training, {seen.shape[2]}x{seen.shape[1]}"
    )
    return _SHEET.pair(caption, picture, _pixels(seen))


def _pixels(image: Tensor) -> Picture:
    pixels: Picture = image.permute(1, 2, 0).numpy()
    return pixels
