"""The low-pass by Fourier transforms."""

import torch
from torch import Tensor

from dealias.spectral.response import Response, gains


def lowpass_by_fft(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """A real FFT, a product, and back, in float32 for the dtypes that the FFT lacks."""
    height, width = x.shape[-2:]
    y = x if x.dtype == torch.float64 else x.float()
    if rows.border == "reflect":
        y = torch.cat((y, y.flip(-2)), -2)
        y = torch.cat((y, y.flip(-1)), -1)
    row = gains(rows, height, x.device)
    column = gains(columns, width, x.device)
    # The real part of the inverse keeps the Hermitian part of a spectrum.
    gain = (row[:, None] * column + _negated(row)[:, None] * _negated(column)) / 2
    size = y.shape[-2:]
    spectrum = torch.fft.rfft2(y) * gain[:, : size[1] // 2 + 1].to(y.dtype)
    y = torch.fft.irfft2(spectrum, s=size)[..., :height, :width]
    return torch.empty_like(x).copy_(y)


def _negated(gain: Tensor) -> Tensor:
    """Gain at the negative of each frequency."""
    return gain.flip(0).roll(1, 0)
