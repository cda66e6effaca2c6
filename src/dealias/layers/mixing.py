"""Frequency mixing: low and high frequencies weighed anew."""

import math
from collections import OrderedDict
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dealias.spectral import (
    BandEdge,
    Border,
    Response,
    apply_lowpass,
    check_choice,
    check_maps,
    check_responses,
    is_traced,
    response_matrix,
)

Pooling = Literal["power", "official"]


def frequency_mixing(x: Tensor, low: Tensor, position: Tensor, channel: Tensor) -> Tensor:
    r"""Weigh a map's low and high frequencies anew, by position and by channel.

    .. math:: y = s_L a_L x_L + s_H a_H (x - x_L)

    (Chen, Gu and Fu, ICLR 2024), computed as :math:`s_H a_H x + (s_L a_L - s_H a_H) x_L`, so that
    equal weights for both parts give exactly a multiple of x.

    Args:
        x: [N, C, H, W].
        low: [N, C, H, W], the low-passed x.
        position: [N, 2, H, W], the weights s of the low and the high part at each position.
        channel: [N, 2, C], the weights a of the low and the high part in each channel.

    Returns:
        [N, C, H, W], in the memory format of x.

    >>> x, low = torch.randn(2, 1, 3, 4, 4)
    >>> y = frequency_mixing(x, low, torch.ones(1, 2, 4, 4), torch.ones(1, 2, 3))
    >>> torch.equal(x, y)
    True
    """
    weights = *position.chunk(2, 1), *channel[..., None, None].unbind(1)
    # Products with both weights come out in the order of the dimensions: let that be memory's.
    last = not x.is_contiguous()
    x, low, s_low, s_high, a_low, a_high = (
        t.permute(0, 2, 3, 1) if last else t for t in (x, low, *weights)
    )
    high = s_high * a_high
    difference = (s_low * a_low).sub_(high)
    y = (x * high).addcmul_(difference, low)
    return y.permute(0, 3, 1, 2) if last else y


class FrequencyMixing(nn.Module):
    """Let a network weigh the low and the high frequencies of a feature map.

    See :func:`frequency_mixing`. The position weights come from a 3x3 convolution of the map; the
    channel weights from how strong each channel's low and high parts are, by a network of two
    layers for each part. The parameters have the names of the published code.

    Args:
        channels: C of the map.
        cutoff: between low and high, in cycles per pixel, in (0, 0.5]; one number, or (row,
            column).
        reduction: the channel networks have ``channels / reduction`` hidden units.
        pooling: what the channel networks see of each part.
            ``"power"``: :func:`relative_amplitudes`; weights are twice a sigmoid, in (0, 2), and
            each image is weighed by itself alone.
            ``"official"``: what the published code pools from a single image, for its weights: see
            :func:`corner_values`; with its band edge, and sigmoids in (0, 1).
        identity_init: start as the identity, so that the module can be put into a trained network;
            otherwise with PyTorch's default for convolutions.
        border: see :func:`dealias.spectral.lowpass_matrix`; with ``pooling="power"`` only.

    Raises:
        ValueError: ``reduction`` does not divide ``channels``, or an argument is out of range; on
            the call, a map that is not [N, C, H, W] or [C, H, W] with these channels.

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
                f"reduction must divide the channels, got {reduction!r} for {channels!r} channels"
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
        """Along the rows and the columns, in cycles per pixel."""
        rows, columns = self.responses
        return rows.cutoff, columns.cutoff

    def _start_as_identity(self) -> None:
        # Two official sigmoids g under a root give sqrt(2) g; times g, that is 1 at 2 ** (-1 / 4).
        g = 2**-0.25
        start = 0.0 if self.pooling == "power" else math.log(g / (1 - g))
        last = self.freq_weight_conv, self.channel_att_low[-1], self.channel_att_high[-1]
        for name, parameter in nn.ModuleList(last).named_parameters():
            nn.init.constant_(parameter, start if name.endswith("bias") else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Mix x [N, C, H, W] or [C, H, W]."""
        check_maps(x)
        if x.ndim == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"x must be [N, {self.channels}, H, W], got {tuple(x.shape)}")
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
        # On a CPU a convolution to two channels takes several times as long as one to the 18
        # products of its taps, which are then moved to their places and added.
        taps = conv.weight.flip(-2, -1).permute(0, 2, 3, 1).reshape(18, -1, 1, 1)
        products = nn.functional.conv2d(x, taps).flatten(2)
        moved = nn.functional.fold(products, x.shape[-2:], kernel_size=3, padding=1)
        return moved if conv.bias is None else moved + conv.bias[:, None, None]

    def _channel_weights(self, x: Tensor, low: Tensor) -> Tensor:
        amplitude = relative_amplitudes(x, low)
        return 2 * torch.sigmoid(self._channel_logits(amplitude))

    def _official_channel_weights(self, x: Tensor) -> Tensor:
        pooled = _corner_values(x, *self.responses)
        # The published code shifts the channels along with the frequencies.
        pooled = pooled.roll(self.channels // 2, -1)
        real, imaginary = (torch.sigmoid(self._channel_logits(part)) for part in pooled)
        return torch.sqrt(real.square() + imaginary.square() + 1e-8)

    def _channel_logits(self, pooled: Tensor) -> Tensor:
        """Logits [N, 2, C] from what was pooled from the low and the high part, [N, 2, C]."""
        low, high = pooled.to(self.freq_weight_conv.weight.dtype)[..., None, None].unbind(1)
        logits = self.channel_att_low(low), self.channel_att_high(high)
        return torch.stack(logits, 1).flatten(2)

    def extra_repr(self) -> str:
        """Channels, cutoff, and what differs from the default."""
        rows, columns = self.responses
        text = f"{self.channels}, cutoff=({rows.cutoff:.4g}, {columns.cutoff:.4g})"
        if self.pooling != "power":
            text += f", pooling={self.pooling!r}"
        if rows.border != "wrap":
            text += f", border={rows.border!r}"
        return text


def _channel_network(channels: int, hidden: int) -> nn.Sequential:
    # Numbered from 1, as in the published code, where a pooling layer comes first.
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

    Raises:
        ValueError: ``cutoff`` is out of range.
    """
    return _corner_values(x, *check_responses(cutoff, band_edge="official"))


def _corner_values(x: Tensor, rows: Response, columns: Response) -> Tensor:
    # First rows of the two complex matrices, real and imaginary.
    row, column = (
        torch.stack([response_matrix(response, n, x, imaginary=i)[0] for i in (False, True)])
        for response, n in zip((rows, columns), x.shape[-2:], strict=True)
    )
    products = row @ (x @ column.transpose(0, 1))  # (N, C, 2, 2)
    real = products[..., 0, 0] - products[..., 1, 1]
    imaginary = products[..., 0, 1] + products[..., 1, 0]
    low = torch.stack((real, imaginary))
    high = torch.stack((x[..., 0, 0] - real, -imaginary))
    return torch.stack((low, high), 2)
