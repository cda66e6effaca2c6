"""Blur kernels chosen from the content, by groups of channels."""

import math

import torch
from torch import Tensor, nn

from dealias.layers.blur import binomial_kernel, pad_for
from dealias.spectral import check_maps


def adaptive_blur(x: Tensor, kernels: Tensor) -> Tensor:
    """Filter each position by a kernel of its own.

    Args:
        x: [N, C, H, W].
        kernels: [N, groups, size * size, H, W], the weights of the window around each position in
            row order; channels of one group share them.

    Returns:
        [N, C, H, W]; borders are mirrored.

    >>> x = torch.ones(1, 4, 5, 5)
    >>> adaptive_blur(x, torch.full((1, 2, 9, 5, 5), 1 / 9)).allclose(x)
    True
    """
    channels, height, width = x.shape[1:]
    groups = kernels.shape[1]
    taps = kernels.unbind(2)
    size = math.isqrt(len(taps))
    padded = pad_for(x, size)

    def shifted(tap: int) -> Tensor:
        top, left = divmod(tap, size)
        view = padded[:, :, top : top + height, left : left + width]
        return view.view(-1, groups, channels // groups, height, width)

    # One shifted view at a time: unfolding would take size * size times the memory.
    y = shifted(0) * taps[0][:, :, None]
    for tap in range(1, len(taps)):
        y = torch.addcmul(y, shifted(tap), taps[tap][:, :, None])
    return y.flatten(1, 2)


class AdaptiveBlur(nn.Module):
    """Blur by kernels that the network chooses from the content, one per position and group.

    A 3x3 convolution gives the logits, a softmax over the window the kernel (Zou et al., "Delving
    Deeper into Anti-aliasing in ConvNets", BMVC 2020); see :func:`adaptive_blur`. It starts as
    :class:`BlurFilter`.

    Args:
        channels: C of the map.
        size: of the kernel, 2 to 7.
        groups: number of groups of channels with a kernel of their own.

    Raises:
        ValueError: ``groups`` does not divide ``channels``; else as :class:`BlurFilter`.

    >>> from dealias.layers import BlurFilter
    >>> x = torch.randn(1, 16, 8, 8)
    >>> AdaptiveBlur(16)(x).allclose(BlurFilter(16)(x), atol=1e-6)
    True
    """

    def __init__(self, channels: int, size: int = 3, groups: int = 8) -> None:
        super().__init__()
        if channels < 1 or groups < 1 or channels % groups:
            raise ValueError(
                f"groups must divide the channels, got {groups!r} for {channels!r} channels"
            )
        self.channels = channels
        self.size = size
        self.groups = groups
        kernel = binomial_kernel(size)
        self.logits = nn.Conv2d(channels, groups * size * size, 3, padding=1)
        self.logits.weight = nn.Parameter(torch.zeros_like(self.logits.weight))
        self.logits.bias = nn.Parameter((kernel[:, None] * kernel).log().flatten().repeat(groups))

    def forward(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W] or [C, H, W]."""
        check_maps(x)
        if x.ndim == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"x must be [N, {self.channels}, H, W], got {tuple(x.shape)}")
        logits = self.logits(x).unflatten(1, (self.groups, self.size * self.size))
        return adaptive_blur(x, logits.softmax(2).to(x.dtype))

    def extra_repr(self) -> str:
        """Channels, size and groups."""
        return f"{self.channels}, size={self.size}, groups={self.groups}"
