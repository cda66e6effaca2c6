"""What a sensor adds to the light, after Wei et al. (ELD, CVPR 2020).

Signals are in digital numbers above black, [..., H, W]; parameters are numbers, or one an image.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from dealias.lowlight.tensors import per_image


def shot_noise(
    signal: Tensor, system_gain: Tensor | float, *, generator: Generator | None = None
) -> Tensor:
    """Count photons: K times a Poisson number with mean signal / K.

    Args:
        signal: mean values; negative ones count as 0.
        system_gain: K, in digital numbers per electron.
        generator: on the device of the signal; by default the global one.

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
    """Add noise of the Tukey-lambda distribution, with longer tails than a Gaussian.

    Args:
        signal: values.
        scale: of the distribution, in digital numbers.
        shape: lambda, positive; 0.14 is near a Gaussian, towards 0 the tails grow.
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
    r"""Draw from the Tukey-lambda distribution, by its quantile function.

    .. math:: Q(p) = (p^\lambda - (1 - p)^\lambda) / \lambda

    Args:
        like: [..., H, W]; gives shape, dtype and device of the result.
        shape: lambda, positive; a number or one an image.
        generator: see :func:`shot_noise`.
    """
    power = per_image(shape, like, 2)
    p = _uniform(like, generator)  # on a grid of steps of 2^-24, or 2^-53 in float64
    half = torch.finfo(like.dtype).eps / 4
    return ((p + half).pow(power) - ((1 - p) - half).pow(power)) / power


def _uniform(like: Tensor, generator: Generator | None) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
