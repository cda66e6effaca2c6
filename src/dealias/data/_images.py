"""Reading images and their label maps."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from dealias._text import FileError, list_pixels, printable
from dealias.labels import ClassSet, LabelFileError, read_label_map


class SampleError(FileError):
    """An image can't be read, or does not fit its label map."""


def read_image(path: Path) -> Tensor:
    """Read an image as colours.

    Args:
        path: anything that Pillow reads. Gray and palette images become RGB, transparency is
            dropped, 16 bits are cut to the upper 8, and no rotation that the file may ask for is
            done, since label maps follow the pixels as stored.

    Returns:
        uint8 [3, H, W], RGB in [0, 255], laid out with the channels of a pixel side by side.

    Raises:
        SampleError: no such file, not an image, truncated, or larger than Pillow's guard against
            decompression bombs (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.info.pop("transparency", None)  # Pillow would warn that it is dropped
                if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
                    gray = np.array(image).astype(np.uint16) >> 8
                    pixels = np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
                else:
                    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SampleError(path, f"refused as a decompression bomb: {error}") from error
    except FileNotFoundError as error:
        raise SampleError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise SampleError(path, "not an image that can be read") from error
    except Exception as error:  # decoders fail in many ways on broken files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SampleError(path, f"can't be read: {printable(reason)}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def read_target(path: Path, classes: ClassSet) -> Tensor:
    """Read a label map as the classes of a target.

    Returns:
        [H, W] of :func:`target_dtype`: classes 0 .. C - 1, and `classes.ignore_index` for void.

    Raises:
        LabelFileError: see :func:`dealias.labels.read_label_map`; or labels that are neither
            classes nor void.
    """
    stored = read_label_map(path, classes, "target")
    unknown = (stored >= len(classes)) | (stored < 0) if stored.dtype != np.uint8 else None
    if unknown is None:
        unknown = stored >= len(classes)
    unknown &= stored != classes.ignore_index
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


def check_same_size(image_path: Path, image: Tensor, label_path: Path, target: Tensor) -> None:
    """Raise SampleError unless an image [3, H, W] and its target [H, W] are of one size."""
    if image.shape[1:] != target.shape:
        raise SampleError(
            image_path,
            f"expected {target.shape[1]}x{target.shape[0]} pixels like its label map "
            f"{printable(label_path)}, got {image.shape[2]}x{image.shape[1]}",
        )
