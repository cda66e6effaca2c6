"""Blurs with a binomial kernel, and with kernels predicted from the content."""

import math

import torch
from torch import Tensor, nn

from dealias.layers.subsampling import Subsample
from dealias.spectral import check_maps


def binomial_kernel(size: int) -> Tensor:
    """Return row ``size - 1`` of Pascal's triangle, normalised to a sum of 1.

    >>> binomial_kernel(3)
    tensor([0.2500, 0.5000, 0.2500])
    """
    if not 2 <= size <= 7:
        raise ValueError(f"size: expected 2 to 7, got {size!r}")
    row = [math.comb(size - 1, i) / 2 ** (size - 1) for i in range(size)]
    return torch.tensor(row, dtype=torch.get_default_dtype())


def _pad_for(x: Tensor, size: int) -> Tensor:
    """Pad by mirroring, without repeating the border pixel, so that a kernel keeps H and W."""
    before, after = (size - 1) // 2, size // 2
    if min(x.shape[-2:]) <= after:
        raise ValueError(
            f"x: expected a map of more than {after} pixels high and wide, to be mirrored for a "
            f"kernel of {size}, got {tuple(x.shape)}"
        )
    return nn.functional.pad(x, (before, after, before, after), mode="reflect")


class BlurFilter(nn.Module):
    """Blur each channel with a binomial kernel, as in "BlurPool" (Zhang, ICML 2019).

    An even size shifts the map by half a pixel. The module has no parameters, and its state dict
    is empty.

    Args:
        channels: channels of the map; None for any number.
        size: size of the kernel, 2 to 7; 3 is (1, 2, 1) / 4 along each axis.

    Raises:
        ValueError: ``size`` is out of range; in the forward pass, the map is not [B, C, H, W] or
            [C, H, W] with these channels, or not larger than half the kernel.

    >>> BlurFilter(8, 3)(torch.ones(1, 8, 5, 5)).unique()
    tensor([1.])
    """

    kernel: Tensor

    def __init__(self, channels: int | None = None, size: int = 3) -> None:
        super().__init__()
        if channels is not None and (not isinstance(channels, int) or channels < 1):
            raise ValueError(f"channels: expected a positive integer, got {channels!r}")
        self.channels = channels
        self.size = size
        self.register_buffer("kernel", binomial_kernel(size), persistent=False)

    def forward(self, x: Tensor, sample: Subsample | None = None) -> Tensor:
        """Blur x, [B, C, H, W] or [C, H, W], and subsample it if `sample` is given."""
        check_maps(x)
        if x.ndim not in (3, 4) or self.channels not in (None, x.shape[-3]):
            expected = f"[B, {self.channels or 'C'}, H, W]"
            raise ValueError(f"x: expected {expected}, got {tuple(x.shape)}")
        channels = int(self.channels or x.shape[-3])  # is a constant in graphs
        kernel = self.kernel.to(x.dtype)
        weight = (kernel[:, None] * kernel).expand(channels, 1, -1, -1)
        padded = _pad_for(x, self.size)
        if sample is None:
            return nn.functional.conv2d(padded, weight, groups=channels)
        rows, columns = sample.kept(x)  # the first window that is needed begins there
        padded = padded[..., rows.start :, columns.start :]
        return nn.functional.conv2d(padded, weight, stride=sample.stride, groups=channels)

    def extra_repr(self) -> str:
        """The channels, if they are fixed, and the size."""
        return (
            f"size={self.size}" if self.channels is None else f"{self.channels}, size={self.size}"
        )


def adaptive_blur(x: Tensor, kernels: Tensor) -> Tensor:
    """Filter each position with its own kernel.

    Args:
        x: [B, C, H, W].
        kernels: [B, groups, size * size, H, W], the weights of the window around each position, in
            row order. The channels of a group share them.

    Returns:
        [B, C, H, W]; borders are mirrored.

    >>> x = torch.ones(1, 4, 5, 5)
    >>> adaptive_blur(x, torch.full((1, 2, 9, 5, 5), 1 / 9)).allclose(x)
    True
    """
    channels, height, width = x.shape[1:]
    groups = kernels.shape[1]
    taps = kernels.unbind(2)
    size = math.isqrt(len(taps))
    padded = _pad_for(x, size)

    def shifted(tap: int) -> Tensor:
        top, left = divmod(tap, size)
        view = padded[:, :, top : top + height, left : left + width]
        return view.view(-1, groups, channels // groups, height, width)

    # Add one shifted view at a time: unfolding would take size * size times the memory.
    y = shifted(0) * taps[0][:, :, None]
    for tap in range(1, len(taps)):
        y = torch.addcmul(y, shifted(tap), taps[tap][:, :, None])
    return y.flatten(1, 2)


class AdaptiveBlur(nn.Module):
    """Blur with kernels predicted from the content, one for each position and group of channels.

    A 3x3 convolution computes logits, and a softmax over the window turns them into the kernel (Zou
    et al., "Delving Deeper into Anti-aliasing in ConvNets", BMVC 2020); see :func:`adaptive_blur`.
    It is initialised to equal a :class:`BlurFilter`.

    Args:
        channels: channels of the map.
        size: size of the kernel, 2 to 7.
        groups: number of groups of channels; the channels of a group share a kernel.

    Raises:
        ValueError: ``groups`` does not divide ``channels``; see also :class:`BlurFilter`.

    >>> x = torch.randn(1, 16, 8, 8)
    >>> AdaptiveBlur(16)(x).allclose(BlurFilter(16)(x), atol=1e-6)
    True
    """

    def __init__(self, channels: int, size: int = 3, groups: int = 8) -> None:
        super().__init__()
        if channels < 1 or groups < 1 or channels % groups:
            raise ValueError(
                f"groups: expected a divisor of the {channels!r} channels, got {groups!r}"
            )
        self.channels = channels
        self.size = size
        self.groups = groups
        kernel = binomial_kernel(size)
        self.logits = nn.Conv2d(channels, groups * size * size, 3, padding=1)
        self.logits.weight = nn.Parameter(torch.zeros_like(self.logits.weight))
        self.logits.bias = nn.Parameter((kernel[:, None] * kernel).log().flatten().repeat(groups))

    def forward(self, x: Tensor) -> Tensor:
        """Blur x, [B, C, H, W] or [C, H, W]."""
        check_maps(x)
        if x.ndim == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"x: expected [B, {self.channels}, H, W], got {tuple(x.shape)}")
        logits = self.logits(x).unflatten(1, (self.groups, self.size * self.size))
        return adaptive_blur(x, logits.softmax(2).to(x.dtype))

    def extra_repr(self) -> str:
        """The channels, size and groups."""
        return f"{self.channels}, size={self.size}, groups={self.groups}"
