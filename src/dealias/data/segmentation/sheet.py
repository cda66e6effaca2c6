"""A contact sheet of samples with their labels, and of training crops."""

from __future__ import annotations

import contextlib

from torch import Tensor

from dealias.data.segmentation.datasets import Samples
from dealias.data.segmentation.module import SegmentationDataModule
from dealias.data.sheets import Picture, Sheet, spread_usable
from dealias.data.streams import TrainingStream
from dealias.labels import ClassSet
from dealias.text import FileError

_SHEET = Sheet()


def contact_sheet(
    datamodule: SegmentationDataModule, *, part: str = "train", samples: int = 12, crops: int = 6
) -> Picture:
    """Draw samples spread evenly over a split, and training crops as the network sees them.

    Each image is shown beside its labels in the colours of the classes, with void in black.
    Samples that can't be used are left out.

    Args:
        datamodule: the data set and its augmentation.
        part: "train", "val" or "test".
        samples: largest number of samples.
        crops: number of training crops, from the start of training; 0 for none.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        DataError: the split can't be found.
    """
    found, _ = datamodule.find(part)
    classes = datamodule.classes
    usable = spread_usable(len(found), samples, lambda index: _read(found, index))
    drawn = [_pair(name, image, target, classes) for name, image, target in usable]
    stream = TrainingStream(datamodule.augmented(found, skip_bad=True), seed=datamodule.seed)
    with contextlib.suppress(FileError):  # no sample can be used
        for position in range(crops):
            item = stream[position]
            name = f"crop of {item['name']}"
            drawn.append(_pair(name, item["image"], item["target"], classes))
    return _SHEET.page(drawn, classes.names, classes.colors())


def _read(found: Samples, index: int) -> tuple[str, Tensor, Tensor] | None:
    """Name, image and target; None for a sample that can't be used."""
    with contextlib.suppress(FileError):
        image, target = found.read(index)
        if target is not None:
            return found.names[index], image, target
    return None


def _pair(name: str, image: Tensor, target: Tensor, classes: ClassSet) -> Picture:
    """An image and its labels side by side, under their name."""
    caption = f"{name}, {image.shape[2]}x{image.shape[1]}"
    picture = image.permute(1, 2, 0).numpy()
    return _SHEET.pair(caption, picture, classes.paint(target.numpy()), smooth=False)
