"""The power of maps above a cutoff, overall, at each position, and by frequency."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dealias.spectral.arguments import check_maps
from dealias.spectral.filtering import lowpass


def aliasing_score(
    x: Tensor, cutoff: float | tuple[float, float], *, include_dc: bool = True
) -> Tensor:
    r"""Compute the share of a feature map's power at frequencies above the cutoff of the next step.

    .. math:: \frac{\sum_{|u| > f \,\vee\, |v| > f} |X(u, v)|^2}{\sum_{u, v} |X(u, v)|^2}

    where X is the 2-D Fourier transform of each channel, summed over channels (Chen, Gu and Fu,
    ICLR 2024). By Parseval's theorem the numerator is the power of ``x - lowpass(x)``, so no
    transform is computed.

    Args:
        x: [B, C, H, W], or any [..., C, H, W] or [H, W]; the computation is in float32 at least.
        cutoff: in cycles per pixel, in (0, 0.5]; one number, or (row, column).
        include_dc: whether the mean of each channel counts in the denominator.

    Returns:
        One score in [0, 1] per image, [B] or [...]. The score is 0 if the denominator is 0, since
        nothing in the image aliases. It is NaN for an image with a NaN or an infinity.

    Raises:
        ValueError: see :func:`lowpass`.

    >>> stripes = torch.tensor([1.0, -1.0]).repeat(1, 1, 4, 2)
    >>> aliasing_score(stripes + 1, 0.25)
    tensor([0.5000])
    >>> aliasing_score(stripes + 1, 0.25, include_dc=False)
    tensor([1.])
    """
    check_maps(x)
    image = tuple(range(-min(x.ndim, 3), 0))
    x = _scaled(_at_least_float32(x), image)
    above = (x - lowpass(x, cutoff)).square().sum(image)
    total = x.square().sum(image)
    rounding = total * (8 * torch.finfo(x.dtype).eps) ** 2
    if not include_dc:
        total = (x - x.mean((-2, -1), keepdim=True)).square().sum(image)
    score = above / total.clamp_min(torch.finfo(x.dtype).tiny)
    return score.clamp(0, 1).masked_fill(total <= rounding, 0)


def aliasing_map(x: Tensor, cutoff: float | tuple[float, float], *, window: int = 15) -> Tensor:
    r"""Compute the share of the power above the cutoff at each position of the image.

    .. math:: \frac{w * \sum_c h_c^2}{w * \sum_c (h_c^2 + l_c^2)}, \quad
              l = \mathrm{lowpass}(x), \quad h = x - l

    where w is the mean over a square window, cropped at the border. Over the whole image the two
    parts are orthogonal, and the ratio is :func:`aliasing_score`. Locally they are not orthogonal;
    the denominator adds their powers, so the ratio stays in [0, 1].

    Args:
        x: [..., C, H, W] or [H, W]; the computation is in float32 at least.
        cutoff: in cycles per pixel, in (0, 0.5]; one number, or (row, column).
        window: side of the window in pixels, odd.

    Returns:
        [..., H, W] in [0, 1]; 0 where the window has no power; NaN for an image with a NaN or an
        infinity.

    Raises:
        ValueError: ``window`` is not odd and positive; see also :func:`lowpass`.

    >>> half = torch.zeros(1, 8, 16)
    >>> half[..., 8:] = torch.tensor([1.0, -1.0]).repeat(4)
    >>> aliasing_map(half, 0.25, window=3).shape
    torch.Size([8, 16])
    """
    check_maps(x)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window: expected an odd positive number, got {window!r}")
    x = _scaled(_at_least_float32(x), tuple(range(-min(x.ndim, 3), 0)))
    low = lowpass(x, cutoff)
    channels = -3 if x.ndim > 2 else ()
    power = torch.stack(((x - low).square(), low.square()))
    power = power.sum(channels) if channels else power
    local = nn.functional.avg_pool2d(
        power.reshape(-1, 1, *power.shape[-2:]),
        window,
        stride=1,
        padding=window // 2,
        count_include_pad=False,
    )
    above, below = local.view(power.shape)
    total = (above + below).clamp_min(torch.finfo(x.dtype).tiny)
    return torch.div(above, total)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _scaled(x: Tensor, image: tuple[int, ...]) -> Tensor:
    """Divide each image by its largest value, to keep powers in the range of the dtype."""
    if x.numel() == 0:
        return x
    return x / x.abs().amax(image, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)


class RadialSpectrum(NamedTuple):
    """Power of a map in rings of equal width around frequency zero."""

    frequency: Tensor
    power: Tensor


def radial_spectrum(x: Tensor, *, bins: int = 32) -> RadialSpectrum:
    r"""Compute the power at each distance from frequency zero.

    The distance is :math:`\max(|u|, |v|)`, as in a separable filter, so the share of the power in
    the rings above a cutoff is the :func:`aliasing_score`. Ring b covers the distances above b / (2
    bins) up to (b + 1) / (2 bins), and the first ring also includes the mean.

    Args:
        x: [..., H, W]; the computation is in float32 at least.
        bins: number of rings.

    Returns:
        ``frequency`` [bins], the centre of each ring in cycles per pixel, and ``power`` [...,
        bins]. The powers of a map add up to its mean square.

    Raises:
        ValueError: ``x`` is not a real floating-point tensor of at least two dimensions, or
            ``bins`` is less than 1.

    >>> stripes = torch.tensor([1.0, -1.0]).repeat(4, 2)
    >>> radial_spectrum(stripes + 2, bins=2)
    RadialSpectrum(frequency=tensor([0.1250, 0.3750]), power=tensor([4., 1.]))
    """
    check_maps(x)
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins!r}")
    x = _at_least_float32(x)
    height, width = x.shape[-2:]
    power = torch.fft.fft2(x).abs().square() / (height * width) ** 2
    ring = torch.maximum(_rings(height, bins, x)[:, None], _rings(width, bins, x))
    rings = power.new_zeros(*x.shape[:-2], bins)
    rings.index_add_(-1, ring.flatten(), power.flatten(-2))
    middle = (torch.arange(bins, device=x.device, dtype=x.dtype) + 0.5) / (2 * bins)
    return RadialSpectrum(middle, rings)


def _rings(n: int, bins: int, like: Tensor) -> Tensor:
    """Return the ring of each frequency, ceil(2 bins |k| / n) - 1, in integer arithmetic."""
    k = torch.arange(n, device=like.device)
    return ((torch.minimum(k, n - k) * 2 * bins + n - 1) // n - 1).clamp_min(0)
