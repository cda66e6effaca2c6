"""Plain Gaussian noise, the robustness test of the paper."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def gaussian_noise(images: Tensor, sigma: float, *, generator: Generator | None = None) -> Tensor:
    """Add Gaussian noise to each value, and clip.

    torchvision's GaussianNoise cuts the noise for uint8 towards zero before adding it, which makes
    it weaker than asked for, and takes no generator.

    Args:
        images: [..., H, W], uint8 in [0, 255] or floating point in [0, 1].
        sigma: standard deviation on the scale of 0 to 255, whatever the dtype; not negative.
        generator: on the device of the images; by default the global one.

    Returns:
        As `images`: same shape, dtype and range; uint8 rounded to the nearest.

    Raises:
        ValueError: a dtype or sigma that does not fit.

    >>> image = torch.full((3, 4, 4), 128, dtype=torch.uint8)
    >>> gaussian_noise(image, 20).dtype
    torch.uint8
    """
    check_sigma(sigma)
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images: expected uint8 or floating point, got {images.dtype}")
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    normal = torch.randn(images.shape, generator=generator, dtype=dtype, device=images.device)
    if images.dtype == torch.uint8:
        return (images + sigma * normal).round().clamp(0, 255).to(torch.uint8)
    return (images + sigma / 255 * normal).clamp(0, 1).to(images.dtype)


def check_sigma(sigma: float, *, name: str = "sigma") -> None:
    """Raise ValueError, with the name of the option, unless `sigma` is a number from 0 on."""
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not 0 <= sigma < math.inf:
        raise ValueError(f"{name}: expected a number from 0 on, of 0 to 255, got {sigma!r}")
