"""Read images as input for networks."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.images import ImageError, read_photograph
from dealias.labels import IMAGE_SUFFIXES, files_in

NO_IMAGES = f"no images ({', '.join(IMAGE_SUFFIXES)})"
# Most networks halve their maps five times, so images are cropped to multiples of this.
MULTIPLE = 32
_LONGEST = 2048  # pixels a side; the maps of a network take many times the memory of an image


def image_paths(folder: Path, limit: int | None = None) -> list[Path]:
    """List the first images of a folder and its subfolders, sorted by path, without hidden files.

    Raises:
        ImageError: the folder does not exist, or has no images.
        ValueError: ``limit`` is less than 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    if not folder.is_dir():
        raise ImageError(folder, "not a folder")
    found = [path for path in files_in(folder, IMAGE_SUFFIXES) if path.is_file()]
    if not found:
        raise ImageError(folder, NO_IMAGES)
    return found[:limit]


def read_image(path: Path, *, noise: float = 0.0, seed: int = 0) -> Tensor:
    """Read an image for a network.

    Args:
        path: see :func:`dealias.images.read_photograph`.
        noise: standard deviation of Gaussian noise to add, on a scale of 0 to 255; the sum is
            clipped.
        seed: seed of the noise.

    Returns:
        float32 [3, H, W], RGB in [0, 1]: the centre of the image, with sides that are multiples of
        32 and at most 2048.

    Raises:
        ImageError: the file can't be read, or the image is less than 32 pixels high or wide.
    """
    x = torch.from_numpy(crop(path, read_photograph(path))).permute(2, 0, 1).float() / 255
    if noise:
        generator = torch.Generator().manual_seed(seed)
        x = x + torch.randn(x.shape, generator=generator) * (noise / 255)
    return x.clamp(0, 1).contiguous()


def crop(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop the centre of an image [H, W, 3], with sides of multiples of 32 pixels, at most 2048.

    Raises:
        ImageError: the image is less than 32 pixels high or wide; the message names `path`.
    """
    places = []
    for side in pixels.shape[:2]:
        size = min(side // MULTIPLE * MULTIPLE, _LONGEST)
        if size == 0:
            raise ImageError(path, f"expected {MULTIPLE} pixels or more a side")
        start = (side - size) // 2
        places.append(slice(start, start + size))
    return pixels[places[0], places[1]]
