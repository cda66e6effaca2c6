"""Reading the images that annotations belong to."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dealias._text import FileError, printable


class InstanceImageError(FileError):
    """An image can't be read, or is not the one that was annotated."""


def read_photograph(path: Path, size: tuple[int, int]) -> Tensor:
    """Read an image, uint8 [3, H, W].

    Args:
        path: anything that Pillow reads.
        size: (H, W) that its annotations are for.

    Raises:
        InstanceImageError: it can't be read, or is of another size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
    except Exception as error:  # decoders fail in many ways on broken files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InstanceImageError(path, f"can't be read: {printable(reason)}") from error
    if pixels.shape[:2] != size:
        raise InstanceImageError(
            path,
            f"expected {size[1]}x{size[0]} pixels, as its annotations say, "
            f"got {pixels.shape[1]}x{pixels.shape[0]}",
        )
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
