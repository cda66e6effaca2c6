"""Reading images and label maps as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dealias.images import check_not_turned, open_image, read_photograph
from dealias.labels import ClassSet, LabelFileError, read_label_map
from dealias.text import FileError, list_pixels


class SampleError(FileError):
    """An image can't be used, for example because it does not fit its label map."""


def read_image(path: Path) -> Tensor:
    """Read a photograph; see :func:`dealias.images.read_photograph`.

    Returns:
        uint8 [3, H, W], RGB in [0, 255], with channels innermost in memory.

    Raises:
        ImageError: it can't be read.
    """
    return torch.from_numpy(read_photograph(path)).permute(2, 0, 1)


def read_annotated(path: Path, size: tuple[int, int]) -> Tensor:
    """Read an image that has annotations, uint8 [3, H, W].

    Args:
        path: path of the image.
        size: (height, width) in its annotations.

    Raises:
        ImageError: the image can't be read.
        SampleError: the image has another size.
    """
    image = read_image(path)
    check_same_size(path, image, size, ", as its annotations say")
    return image


def read_target(path: Path, classes: ClassSet) -> Tensor:
    """Read the target of a label map.

    Returns:
        [H, W] of :func:`target_dtype`: classes 0 .. C - 1, and `classes.ignore_index` for void.

    Raises:
        LabelFileError: see :func:`dealias.labels.read_label_map`; or labels are neither classes
            nor void.
    """
    stored = read_label_map(path, classes, "target")
    unknown = ((stored < 0) | (stored >= len(classes))) & (stored != classes.ignore_index)
    if unknown.any():
        labels, pixels = np.unique(stored[unknown], return_counts=True)
        found = list_pixels(list(zip(labels.tolist(), pixels.tolist(), strict=True)))
        raise LabelFileError(
            path,
            f"expected classes 0..{len(classes) - 1} of {classes.name!r} or void "
            f"{classes.ignore_index}, got {found}",
        )
    return torch.from_numpy(stored).to(target_dtype(classes))


def target_dtype(classes: ClassSet) -> torch.dtype:
    """uint8 if the classes and void fit, else int64."""
    fits = len(classes) <= 256 and 0 <= classes.ignore_index <= 255
    return torch.uint8 if fits else torch.int64


def check_same_size(path: Path, image: Tensor, size: tuple[int, int], why: str) -> None:
    """Check the size of an image.

    Args:
        path: the file.
        image: [3, H, W].
        size: (height, width) expected.
        why: where the size comes from, for messages.

    Raises:
        ImageError: the image would have that size if it were rotated as its file says.
        SampleError: the image has another size.
    """
    if image.shape[1:] == size:
        return
    if image.shape[:0:-1] == size:
        with open_image(path) as (stored, _):
            check_not_turned(path, stored)
    raise SampleError(
        path,
        f"expected {size[1]}x{size[0]} pixels{why}, got {image.shape[2]}x{image.shape[1]}",
    )
