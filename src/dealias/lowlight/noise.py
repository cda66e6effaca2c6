"""Sensor noise after Wei et al. (ELD, CVPR 2020), and plain Gaussian noise.

Sensor signals are in digital numbers above the black level, [..., H, W]. Noise parameters are
numbers, or tensors with one number per image.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from dealias.lowlight.capture import per_image


def shot_noise(
    signal: Tensor, system_gain: Tensor | float, *, generator: Generator | None = None
) -> Tensor:
    """Draw the shot noise of photons: K times a Poisson number with mean signal / K.

    Args:
        signal: mean values; negative values count as 0.
        system_gain: K, in digital numbers per electron.
        generator: random generator on the device of the signal; by default the global one.

    Returns:
        The noisy signal, with mean `signal` and variance K `signal`.
    """
    gain = per_image(system_gain, signal, 2)
    return gain * torch.poisson(signal.clamp_min(0) / gain, generator=generator)


def read_noise(
    signal: Tensor,
    scale: Tensor | float,
    shape: Tensor | float,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Add noise with a Tukey-lambda distribution, which has longer tails than a Gaussian.

    Args:
        signal: the signal.
        scale: scale of the distribution, in digital numbers.
        shape: lambda, positive; 0.14 is close to a Gaussian, and smaller values have longer tails.
        generator: see :func:`shot_noise`.
    """
    noise = tukey_lambda(signal, shape, generator=generator)
    return signal + per_image(scale, signal, 2) * noise


def row_noise(
    signal: Tensor, scale: Tensor | float, *, generator: Generator | None = None
) -> Tensor:
    """Add one Gaussian number to each row of the sensor, with standard deviation `scale`."""
    shape = (*signal.shape[:-1], 1)
    normal = torch.randn(shape, generator=generator, dtype=signal.dtype, device=signal.device)
    return signal + per_image(scale, signal, 2) * normal


def quantization_noise(signal: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Add a number uniform in +-1/2 to each pixel: the rounding to digital numbers."""
    return signal + (_uniform(signal, generator) - 0.5)


def tukey_lambda(
    like: Tensor, shape: Tensor | float, *, generator: Generator | None = None
) -> Tensor:
    r"""Draw from the Tukey-lambda distribution through its quantile function.

    .. math:: Q(p) = (p^\lambda - (1 - p)^\lambda) / \lambda

    Args:
        like: tensor [..., H, W] with the shape, dtype and device of the result.
        shape: lambda, positive; a number, or one per image.
        generator: see :func:`shot_noise`.
    """
    power = per_image(shape, like, 2)
    p = _uniform(like, generator)  # on a grid of steps of 2^-24, or 2^-53 in float64
    half = torch.finfo(like.dtype).eps / 4
    return ((p + half).pow(power) - ((1 - p) - half).pow(power)) / power


def gaussian_noise(images: Tensor, sigma: float, *, generator: Generator | None = None) -> Tensor:
    """Add Gaussian noise to each value, and clip the result.

    For uint8 images, torchvision's GaussianNoise truncates the noise towards zero before adding it,
    which makes it too weak. It also takes no generator.

    Args:
        images: [..., H, W], uint8 in [0, 255] or floating point in [0, 1].
        sigma: standard deviation on the scale of 0 to 255, whatever the dtype; not negative.
        generator: random generator on the device of the images; by default the global one.

    Returns:
        Images with the shape, dtype and range of `images`; uint8 values are rounded to the nearest.

    Raises:
        ValueError: an unsupported dtype or sigma.

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


def check_sigma(sigma: float) -> None:
    """Raise ValueError unless `sigma` is a non-negative number."""
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: expected a number from 0 on, of 0 to 255, got {sigma!r}")


def _uniform(like: Tensor, generator: Generator | None) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
