"""The power of maps by radial frequency."""

from typing import NamedTuple

import torch
from torch import Tensor

from dealias.spectral.arguments import check_maps


class RadialSpectrum(NamedTuple):
    """Power of a map in rings of equal width around frequency zero."""

    frequency: Tensor
    power: Tensor


def radial_spectrum(x: Tensor, *, bins: int = 32) -> RadialSpectrum:
    r"""Power at each distance from frequency zero.

    The distance is :math:`\max(|u|, |v|)`, the one at which a separable filter cuts: the share of
    the power in the rings above a cutoff is the :func:`aliasing_score`. Ring b holds distances
    above b / (2 bins) up to (b + 1) / (2 bins); the mean lies in the first.

    Args:
        x: [..., H, W]; taken in float32 where its dtype is less.
        bins: number of rings.

    Returns:
        ``frequency`` [bins], the middle of each ring in cycles per pixel, and ``power``
        [..., bins]. The powers of a map add up to its mean square.

    Raises:
        ValueError: ``x`` is not a real floating-point tensor of two dimensions or more, or
            ``bins`` is less than 1.

    >>> stripes = torch.tensor([1.0, -1.0]).repeat(4, 2)
    >>> radial_spectrum(stripes + 2, bins=2)
    RadialSpectrum(frequency=tensor([0.1250, 0.3750]), power=tensor([4., 1.]))
    """
    check_maps(x)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins!r}")
    x = x if x.dtype == torch.float64 else x.float()
    height, width = x.shape[-2:]
    power = torch.fft.fft2(x).abs().square() / (height * width) ** 2
    ring = torch.maximum(_rings(height, bins, x)[:, None], _rings(width, bins, x))
    rings = power.new_zeros(*x.shape[:-2], bins)
    rings.index_add_(-1, ring.flatten(), power.flatten(-2))
    middle = (torch.arange(bins, device=x.device, dtype=x.dtype) + 0.5) / (2 * bins)
    return RadialSpectrum(middle, rings)


def _rings(n: int, bins: int, like: Tensor) -> Tensor:
    """Ring of each frequency, ceil(2 bins |k| / n) - 1, in whole numbers."""
    k = torch.arange(n, device=like.device)
    return ((torch.minimum(k, n - k) * 2 * bins + n - 1) // n - 1).clamp_min(0)
