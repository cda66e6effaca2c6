"""Reading the images that annotations belong to."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from dealias.data.reading import check_same_size, read_image


def read_annotated(path: Path, size: tuple[int, int]) -> Tensor:
    """Read an image, uint8 [3, H, W].

    Args:
        path: see :func:`dealias.images.read_photograph`.
        size: (H, W) that its annotations are for.

    Raises:
        ImageError: it can't be read.
        SampleError: it is of another size.
    """
    image = read_image(path)
    check_same_size(path, image, size, ", as its annotations say")
    return image
