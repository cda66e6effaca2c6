"""A page of samples with their labels, and of training crops, to look at."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from dealias._text import printable
from dealias.data._datasets import Samples, TrainingStream
from dealias.data._images import SampleError
from dealias.data._module import SegmentationDataModule
from dealias.labels import ClassSet, LabelFileError

Picture = NDArray[np.uint8]

_CELL = (180, 240)  # height and width of a picture
_CAPTION = 16
_GAP = 4
_PAIRS_A_ROW = 3
_LINE = 18
_MOST_IN_LEGEND = 60
_PAPER = 255


def contact_sheet(
    datamodule: SegmentationDataModule, *, part: str = "train", samples: int = 12, crops: int = 6
) -> Picture:
    """Draw samples spread evenly over a split, and training crops as the network gets them.

    Each is an image with its labels in the colours of the classes beside it, void in black.
    Samples that can't be used are left out.

    Args:
        datamodule: the data set and its augmentation.
        part: "train", "val" or "test".
        samples: how many samples; not more than there are are shown.
        crops: how many training crops, from the start of training; 0 for none.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        DataError: the split can't be found.
    """
    found, _ = datamodule.find(part)
    classes = datamodule.classes
    drawn = [_pair(name, image, target, classes) for name, image, target in _spread(found, samples)]
    stream = TrainingStream(found, datamodule.augmentation(), seed=datamodule.seed, skip_bad=True)
    with contextlib.suppress(SampleError, LabelFileError):  # none of them can be used
        for position in range(crops):
            item = stream[position]
            name = f"crop of {item['name']}"
            drawn.append(_pair(name, item["image"], item["target"], classes))
    return np.concatenate([_grid(drawn), _legend(classes)])


def write_contact_sheet(
    datamodule: SegmentationDataModule,
    path: str | Path,
    *,
    part: str = "train",
    samples: int = 12,
    crops: int = 6,
) -> None:
    """Write :func:`contact_sheet` as PNG, whole or not at all.

    Raises:
        DataError: the split can't be found.
        OSError: the file can't be written.
    """
    page = contact_sheet(datamodule, part=part, samples=samples, crops=crops)
    data = io.BytesIO()
    Image.fromarray(page).save(data, "png")
    path = Path(path)
    handle, beside = tempfile.mkstemp(dir=path.resolve().parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.getvalue())
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def color_labels(target: Tensor, classes: ClassSet) -> Picture:
    """Colours uint8 (H, W, 3) of a target [H, W]; void is black."""
    colors = np.vstack([classes.colors(), np.zeros((1, 3), np.uint8)])
    labels = target.numpy().astype(np.int64)
    colored: Picture = colors[np.where(labels == classes.ignore_index, len(classes), labels)]
    return colored


def _spread(found: Samples, count: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Samples at even distances, the next one in place of any that can't be used."""
    count = min(count, len(found))
    bounds = [number * len(found) // max(count, 1) for number in range(count + 1)]
    for start, end in itertools.pairwise(bounds):
        for index in range(start, end):
            try:
                image, target = found.read(index)
            except (SampleError, LabelFileError):
                continue
            if target is not None:
                yield found.names[index], image, target
            break


def _pair(name: str, image: Tensor, target: Tensor, classes: ClassSet) -> Picture:
    """An image and its labels side by side, under their name."""
    pictures = [image.permute(1, 2, 0).numpy(), color_labels(target, classes)]
    cells = [
        _fit(picture, method)
        for picture, method in zip(
            pictures, (Image.Resampling.BILINEAR, Image.Resampling.NEAREST), strict=True
        )
    ]
    width = 2 * _CELL[1] + _GAP
    caption = Image.new("RGB", (width, _CAPTION), (_PAPER,) * 3)
    size = f", {image.shape[2]}x{image.shape[1]}"
    ImageDraw.Draw(caption).text((2, 2), _plain(name) + size, fill=(0, 0, 0))
    gap = np.full((_CELL[0], _GAP, 3), _PAPER, np.uint8)
    return np.concatenate([np.asarray(caption), np.hstack([cells[0], gap, cells[1]])])


def _fit(picture: Picture, method: Image.Resampling) -> Picture:
    """Resize a picture into a cell, keeping its aspect."""
    height, width = picture.shape[:2]
    factor = min(_CELL[0] / height, _CELL[1] / width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    cell = np.full((*_CELL, 3), _PAPER, np.uint8)
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize(size[::-1], method)
    cell[: size[0], : size[1]] = np.asarray(resized)
    return cell


def _grid(pairs: list[Picture]) -> Picture:
    """Pairs row by row."""
    height, width = _CELL[0] + _CAPTION + 2 * _GAP, 2 * _CELL[1] + 3 * _GAP
    rows = max(1, -(-len(pairs) // _PAIRS_A_ROW))
    page = np.full((rows * height, _PAIRS_A_ROW * width, 3), _PAPER, np.uint8)
    for number, pair in enumerate(pairs):
        top = number // _PAIRS_A_ROW * height + _GAP
        left = number % _PAIRS_A_ROW * width + _GAP
        page[top : top + pair.shape[0], left : left + pair.shape[1]] = pair
    return page


def _legend(classes: ClassSet) -> Picture:
    """The colours of the classes and their names."""
    width = _PAIRS_A_ROW * (2 * _CELL[1] + 3 * _GAP)
    named = list(zip(classes.names, classes.colors().tolist(), strict=True))[:_MOST_IN_LEGEND]
    columns = width // _CELL[1]
    lines = -(-len(named) // columns)
    page = Image.new("RGB", (width, lines * _LINE + _GAP), (_PAPER,) * 3)
    draw = ImageDraw.Draw(page)
    for number, (name, color) in enumerate(named):
        left, top = number % columns * _CELL[1] + _GAP, number // columns * _LINE
        draw.rectangle((left, top, left + _LINE, top + _LINE - 3), fill=tuple(color))
        draw.text((left + _LINE + 4, top + 2), _plain(name), fill=(0, 0, 0))
    return np.asarray(page)


def _plain(name: str) -> str:
    """What Pillow's own font can write."""
    return printable(name).encode("ascii", "replace").decode()
