"""Frequency mixing: learned weights for low and high frequencies."""

import math
from collections import OrderedDict
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dealias.spectral import (
    BandEdge,
    Border,
    apply_lowpass,
    check_choice,
    check_maps,
    check_responses,
    is_traced,
    response_matrix,
)

Pooling = Literal["power", "official"]


def frequency_mixing(x: Tensor, low: Tensor, position: Tensor, channel: Tensor) -> Tensor:
    r"""Weight the low and high frequencies of a map, for each position and channel.

    .. math:: y = s_L a_L x_L + s_H a_H (x - x_L)

    (Chen, Gu and Fu, ICLR 2024), computed as :math:`s_H a_H x + (s_L a_L - s_H a_H) x_L`, so that
    equal weights for both parts give an exact multiple of x.

    Args:
        x: [B, C, H, W].
        low: [B, C, H, W], the low-passed x.
        position: [B, 2, H, W], weights s of the low and the high part at each position.
        channel: [B, 2, C], weights a of the low and the high part in each channel.

    Returns:
        [B, C, H, W], in the memory format of x.

    >>> x, low = torch.randn(2, 1, 3, 4, 4)
    >>> y = frequency_mixing(x, low, torch.ones(1, 2, 4, 4), torch.ones(1, 2, 3))
    >>> torch.equal(x, y)
    True
    """
    weights = *position.chunk(2, 1), *channel[..., None, None].unbind(1)
    # Products with the weights are contiguous, so order the dimensions as those of x are in memory.
    last = not x.is_contiguous()
    x, low, s_low, s_high, a_low, a_high = (
        t.permute(0, 2, 3, 1) if last else t for t in (x, low, *weights)
    )
    high = s_high * a_high
    difference = (s_low * a_low).sub_(high)
    y = (x * high).addcmul_(difference, low)
    return y.permute(0, 3, 1, 2) if last else y


class FrequencyMixing(nn.Module):
    """Learn to weight the low and high frequencies of a feature map.

    See :func:`frequency_mixing`. A 3x3 convolution of the map gives the position weights. A network
    of two layers for each part gives the channel weights, from the strengths of the low and the
    high part of each channel. The parameters have the same names as in the published code.

    Args:
        channels: channels of the map.
        cutoff: cutoff between low and high, in cycles per pixel, in (0, 0.5]; one number, or (row,
            column).
        reduction: the channel networks have ``channels / reduction`` hidden units.
        pooling: input of the channel networks.
            ``"power"``: :func:`relative_amplitudes`. Weights are twice a sigmoid, in (0, 2), and
            the weights of an image depend only on this image.
            ``"official"``: :func:`corner_values`, which the published code pools from a single
            image, to use weights trained with that code. The band edge is ``"official"``, and
            weights are sigmoids, in (0, 1).
        identity_init: whether the module starts as the identity, for insertion into a trained
            network. Otherwise its convolutions have PyTorch's default initialisation.
        border: see :func:`dealias.spectral.lowpass_matrix`; only with ``pooling="power"``.

    Raises:
        ValueError: ``reduction`` does not divide ``channels``, or an argument is out of range; in
            the forward pass, the map is not [B, C, H, W] or [C, H, W] with these channels.

    >>> x = torch.randn(2, 32, 16, 16)
    >>> torch.equal(FrequencyMixing(32, 0.35)(x), x)
    True
    """

    def __init__(
        self,
        channels: int,
        cutoff: float | tuple[float, float],
        *,
        reduction: int = 16,
        pooling: Pooling = "power",
        identity_init: bool = True,
        border: Border = "wrap",
    ) -> None:
        super().__init__()
        check_choice("pooling", pooling, get_args(Pooling))
        if pooling == "official" and border != "wrap":
            raise ValueError(f"pooling='official' needs border='wrap', got {border!r}")
        if reduction < 1 or channels < 1 or channels % reduction:
            raise ValueError(
                f"reduction: expected a divisor of the {channels!r} channels, got {reduction!r}"
            )
        self.channels = channels
        band_edge: BandEdge = "official" if pooling == "official" else "symmetric"
        self.responses = check_responses(cutoff, border=border, band_edge=band_edge)
        self.pooling: Pooling = pooling
        self.freq_weight_conv = nn.Conv2d(channels, 2, 3, padding=1)
        self.channel_att_low = _channel_network(channels, channels // reduction)
        self.channel_att_high = _channel_network(channels, channels // reduction)
        if identity_init:
            self._start_as_identity()

    @property
    def cutoff(self) -> tuple[float, float]:
        """Cutoffs along the rows and the columns, in cycles per pixel."""
        rows, columns = self.responses
        return rows.cutoff, columns.cutoff

    def _start_as_identity(self) -> None:
        # The official channel weight of two sigmoids g is sqrt(2) g. Times the position weight g,
        # it is 1 for g = 2 ** (-1 / 4).
        g = 2**-0.25
        start = 0.0 if self.pooling == "power" else math.log(g / (1 - g))
        last = self.freq_weight_conv, self.channel_att_low[-1], self.channel_att_high[-1]
        for name, parameter in nn.ModuleList(last).named_parameters():
            nn.init.constant_(parameter, start if name.endswith("bias") else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Mix x, [B, C, H, W] or [C, H, W]."""
        check_maps(x)
        if x.ndim == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"x: expected [B, {self.channels}, H, W], got {tuple(x.shape)}")
        low = apply_lowpass(x, *self.responses)
        if self.pooling == "official":
            channel = self._official_channel_weights(x)
            position = torch.sigmoid(self._position_logits(x))
        else:
            channel = self._channel_weights(x, low)
            position = 2 * torch.sigmoid(self._position_logits(x))
        return frequency_mixing(x, low, position.to(x.dtype), channel.to(x.dtype))

    def _position_logits(self, x: Tensor) -> Tensor:
        conv = self.freq_weight_conv
        watched = conv._forward_hooks or conv._forward_pre_hooks or type(conv) is not nn.Conv2d
        if x.device.type != "cpu" or is_traced() or watched:
            logits: Tensor = conv(x)
            return logits
        # On a CPU, a 3x3 convolution to two channels takes several times as long as a 1x1
        # convolution to the 18 products of its taps, which are then shifted and added.
        taps = conv.weight.flip(-2, -1).permute(0, 2, 3, 1).reshape(18, -1, 1, 1)
        products = nn.functional.conv2d(x, taps).flatten(2)
        moved = nn.functional.fold(products, x.shape[-2:], kernel_size=3, padding=1)
        return moved if conv.bias is None else moved + conv.bias[:, None, None]

    def _channel_weights(self, x: Tensor, low: Tensor) -> Tensor:
        amplitude = relative_amplitudes(x, low)
        return 2 * torch.sigmoid(self._channel_logits(amplitude))

    def _official_channel_weights(self, x: Tensor) -> Tensor:
        pooled = corner_values(x, self.cutoff)
        # The published code shifts the channels together with the frequencies.
        pooled = pooled.roll(self.channels // 2, -1)
        real, imaginary = (torch.sigmoid(self._channel_logits(part)) for part in pooled)
        return torch.sqrt(real.square() + imaginary.square() + 1e-8)

    def _channel_logits(self, pooled: Tensor) -> Tensor:
        """Return logits [B, 2, C] from the pooled low and high part, [B, 2, C]."""
        low, high = pooled.to(self.freq_weight_conv.weight.dtype)[..., None, None].unbind(1)
        logits = self.channel_att_low(low), self.channel_att_high(high)
        return torch.stack(logits, 1).flatten(2)

    def extra_repr(self) -> str:
        """Return the channels, the cutoff, and arguments that differ from their defaults."""
        rows, columns = self.responses
        text = f"{self.channels}, cutoff=({rows.cutoff:.4g}, {columns.cutoff:.4g})"
        if self.pooling != "power":
            text += f", pooling={self.pooling!r}"
        if rows.border != "wrap":
            text += f", border={rows.border!r}"
        return text


def _channel_network(channels: int, hidden: int) -> nn.Sequential:
    # Numbered from 1 as in the published code, where a pooling layer comes first.
    return nn.Sequential(
        OrderedDict(
            {
                "1": nn.Conv2d(channels, hidden, 1),
                "2": nn.ReLU(),
                "3": nn.Conv2d(hidden, channels, 1),
            }
        )
    )


def relative_amplitudes(x: Tensor, low: Tensor) -> Tensor:
    r"""Return the root mean square of each channel's low and high part, relative to the image.

    .. math:: r_c = \sqrt{P_c / \bar P + 10^{-6}}

    with the power :math:`P_c` of the part in channel c and the mean :math:`\bar P` over channels of
    the power of x. It is of order 1 and does not depend on the scale of x, and its gradient is
    finite for a part without power. By Parseval's theorem this pools the power spectrum. The low
    and the high part of an ideal filter are orthogonal, so the power of the high part is a
    difference.

    Args:
        x: [B, C, H, W].
        low: [B, C, H, W], x after an ideal low-pass with symmetric band edges.

    Returns:
        [B, 2, C], low then high: float64 if x is, otherwise float32.
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
    # The norm is slow for channels-last maps on a CPU.
    return x.to(dtype).square().sum((-2, -1))


def corner_values(x: Tensor, cutoff: tuple[float, float]) -> Tensor:
    """Return the values that the published code pools: the mean complex spectrum of each part.

    The mean of a spectrum is the value of its map at pixel (0, 0). With the official band edge the
    map is complex.

    Args:
        x: [B, C, H, W].
        cutoff: (row, column), in cycles per pixel.

    Returns:
        [2, B, 2, C]: real and imaginary part of low, then high.

    Raises:
        ValueError: ``cutoff`` is out of range.
    """
    responses = check_responses(cutoff, band_edge="official")
    # First rows of the two complex matrices, real and imaginary.
    row, column = (
        torch.stack([response_matrix(response, n, x, imaginary=i)[0] for i in (False, True)])
        for response, n in zip(responses, x.shape[-2:], strict=True)
    )
    products = row @ (x @ column.transpose(0, 1))  # [B, C, 2, 2]
    real = products[..., 0, 0] - products[..., 1, 1]
    imaginary = products[..., 0, 1] + products[..., 1, 0]
    low = torch.stack((real, imaginary))
    high = torch.stack((x[..., 0, 0] - real, -imaginary))
    return torch.stack((low, high), 2)
