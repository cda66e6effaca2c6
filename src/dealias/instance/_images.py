"""Reading the images that annotations belong to."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from dealias.data import SampleError
from dealias.data._images import read_image


def read_annotated(path: Path, size: tuple[int, int]) -> Tensor:
    """Read an image, uint8 [3, H, W].

    Args:
        path: see :func:`dealias.data._images.read_image`.
        size: (H, W) that its annotations are for.

    Raises:
        SampleError: it can't be read, or is of another size.
    """
    image = read_image(path)
    if image.shape[1:] != size:
        raise SampleError(
            path,
            f"expected {size[1]}x{size[0]} pixels, as its annotations say, "
            f"got {image.shape[2]}x{image.shape[1]}",
        )
    return image
