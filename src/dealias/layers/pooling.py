"""What frequency mixing sees of the low and the high part of each channel."""

import torch
from torch import Tensor

from dealias.spectral import Response, response_matrix


def relative_amplitudes(x: Tensor, low: Tensor) -> Tensor:
    r"""Root mean square of each channel's low and high part, relative to the whole image's.

    .. math:: r_c = \sqrt{P_c / \bar P + 10^{-6}}

    with :math:`P_c` the power of the part in channel c and :math:`\bar P` the mean over channels of
    the power of x. It does not change when x is scaled, is of order 1, and its gradient stays
    finite where a part has no power. By Parseval's theorem this pools the power spectrum. The low
    part of an ideal filter is orthogonal to the rest, whose power is therefore a difference.

    Args:
        x: [N, C, H, W].
        low: [N, C, H, W], x after an ideal low-pass with symmetric band edges.

    Returns:
        [N, 2, C], low then high, in float32, or float64 for such an x.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    total, below = _power(x, dtype), _power(low, dtype)
    parts = torch.stack((below, (total - below).clamp_min(0)), 1)
    mean = total.mean(-1)[:, None, None].clamp_min(1e-20)
    return torch.sqrt(parts / mean + 1e-6)


def _power(x: Tensor, dtype: torch.dtype) -> Tensor:
    if x.is_contiguous():
        norm: Tensor = torch.linalg.vector_norm(x, dim=(-2, -1), dtype=dtype)
        return norm.square()
    # With the channels last, the norm is slow on a CPU.
    return x.to(dtype).square().sum((-2, -1))


def corner_values(x: Tensor, cutoff: tuple[float, float]) -> Tensor:
    """What the published code pools: the mean of each part's complex spectrum.

    The mean of a spectrum is the value at pixel (0, 0) of the map that it belongs to, here of the
    complex maps that the official band gives.

    Args:
        x: [N, C, H, W].
        cutoff: (row, column), in cycles per pixel.

    Returns:
        [2, N, 2, C]: real and imaginary part of low, then high.
    """
    # First rows of the two complex matrices, real and imaginary.
    row, column = (
        torch.stack([response_matrix(response, n, x, imaginary=i)[0] for i in (False, True)])
        for response, n in zip(
            (Response(c, band_edge="official") for c in cutoff), x.shape[-2:], strict=True
        )
    )
    products = row @ (x @ column.transpose(0, 1))  # (N, C, 2, 2)
    real = products[..., 0, 0] - products[..., 1, 1]
    imaginary = products[..., 0, 1] + products[..., 1, 0]
    low = torch.stack((real, imaginary))
    high = torch.stack((x[..., 0, 0] - real, -imaginary))
    return torch.stack((low, high), 2)
