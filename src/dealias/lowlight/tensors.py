"""One number an image."""

from __future__ import annotations

import torch
from torch import Tensor


def per_image(value: Tensor | float, image: Tensor, dimensions: int) -> Tensor:
    """Numbers, one an image, in a shape that broadcasts over its last `dimensions` dimensions."""
    numbers = torch.as_tensor(value, device=image.device, dtype=image.dtype)
    return numbers.reshape(*numbers.shape, *(1,) * dimensions)
