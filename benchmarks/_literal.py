"""Both modules as the paper defines them, in complex numbers, for comparison."""

import torch
from torch import Tensor, nn

from dealias.layers import FrequencyMixing


def literal_lowpass(x: Tensor, cutoff: float) -> Tensor:
    """Low-pass by a centred, masked Fourier transform."""
    return _inverse(_spectrum(x) * _mask(x, cutoff), x)


class LiteralFilter(nn.Module):
    """The de-aliasing filter."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, x: Tensor) -> Tensor:
        """Filter x."""
        return literal_lowpass(x, self.cutoff)


class LiteralMixing(FrequencyMixing):
    """Frequency mixing with parts and channel statistics from complex spectra."""

    def forward(self, x: Tensor) -> Tensor:
        """Mix x."""
        cutoff = self.cutoff[0]
        spectrum = _spectrum(x)
        mask = _mask(x, cutoff)
        parts = spectrum * mask, spectrum * (1 - mask)
        low = _inverse(parts[0], x)
        low_weight, high_weight = (
            self._attention(network, part)
            for network, part in zip(
                (self.channel_att_low, self.channel_att_high), parts, strict=True
            )
        )
        s_low, s_high = torch.sigmoid(self.freq_weight_conv(x)).chunk(2, 1)
        y: Tensor = s_low * low_weight * low + s_high * high_weight * (x - low)
        return y

    @staticmethod
    def _attention(network: nn.Module, spectrum: Tensor) -> Tensor:
        mean = spectrum.mean((-2, -1), keepdim=True)
        real, imaginary = (
            torch.sigmoid(network(part.to(next(network.parameters()).dtype)))
            for part in (mean.real, mean.imag)
        )
        return torch.sqrt(real**2 + imaginary**2 + 1e-8)


def _spectrum(x: Tensor) -> Tensor:
    halves = torch.bfloat16, torch.float16
    spectrum = torch.fft.fft2(x.float() if x.dtype in halves else x)
    centred: Tensor = torch.fft.fftshift(spectrum, dim=(-2, -1))
    return centred


def _mask(x: Tensor, cutoff: float) -> Tensor:
    mask = torch.zeros(x.shape[-2:], device=x.device)
    rows, columns = (
        slice(round(n / 2 - n * cutoff), round(n / 2 + n * cutoff)) for n in mask.shape
    )
    mask[rows, columns] = 1
    return mask


def _inverse(spectrum: Tensor, like: Tensor) -> Tensor:
    x: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real
    return x.to(like.dtype)
