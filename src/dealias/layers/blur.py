"""The binomial blur."""

import math

import torch
from torch import Tensor, nn

from dealias.spectral import check_maps


def binomial_kernel(size: int) -> Tensor:
    """Row ``size - 1`` of Pascal's triangle, adding up to 1.

    >>> binomial_kernel(3)
    tensor([0.2500, 0.5000, 0.2500])
    """
    if not 2 <= size <= 7:
        raise ValueError(f"size must be from 2 to 7, got {size!r}")
    row = [math.comb(size - 1, i) / 2 ** (size - 1) for i in range(size)]
    return torch.tensor(row, dtype=torch.get_default_dtype())


def pad_for(x: Tensor, size: int) -> Tensor:
    """Mirror the borders, without their pixel, so that a kernel of this size keeps H and W."""
    before, after = (size - 1) // 2, size // 2
    if min(x.shape[-2:]) <= after:
        raise ValueError(
            f"a map must be more than {after} pixels high and wide to be mirrored for a kernel "
            f"of {size}, got {tuple(x.shape)}"
        )
    return nn.functional.pad(x, (before, after, before, after), mode="reflect")


class BlurFilter(nn.Module):
    """Blur each channel by a binomial kernel: the fixed filter of "BlurPool" (Zhang, ICML 2019).

    An even size moves the map by half a pixel. The kernel is no parameter; the state dict is empty.

    Args:
        channels: C of the map; None for any.
        size: of the kernel, 2 to 7; 3 is (1, 2, 1) / 4 along each axis.

    Raises:
        ValueError: ``size`` is out of range; on the call, a map that is not [N, C, H, W] or
            [C, H, W] with these channels, or no larger than half the kernel.

    >>> BlurFilter(8, 3)(torch.ones(1, 8, 5, 5)).unique()
    tensor([1.])
    """

    kernel: Tensor

    def __init__(self, channels: int | None = None, size: int = 3) -> None:
        super().__init__()
        if channels is not None and (not isinstance(channels, int) or channels < 1):
            raise ValueError(f"channels must be a positive integer, got {channels!r}")
        self.channels = channels
        self.size = size
        self.register_buffer("kernel", binomial_kernel(size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Blur x [N, C, H, W] or [C, H, W]."""
        check_maps(x)
        if x.ndim not in (3, 4) or self.channels not in (None, x.shape[-3]):
            raise ValueError(f"x must be [N, {self.channels or 'C'}, H, W], got {tuple(x.shape)}")
        channels = int(self.channels or x.shape[-3])  # a graph keeps it fixed
        kernel = self.kernel.to(x.dtype)
        weight = (kernel[:, None] * kernel).expand(channels, 1, -1, -1)
        return nn.functional.conv2d(pad_for(x, self.size), weight, groups=channels)

    def extra_repr(self) -> str:
        """Channels, if they are fixed, and size."""
        return (
            f"size={self.size}" if self.channels is None else f"{self.channels}, size={self.size}"
        )
