"""Take every second, or every s-th, sample of a map."""

from typing import Any

import torch
from torch import Tensor, nn

Pair = tuple[int, int]


class Subsample(nn.Module):
    """Take the samples of a map that a strided convolution or pooling would have given.

    A strided module is the same module at stride 1, followed by this one.

    Args:
        stride: (row, column).
        same: for padding like TensorFlow's "SAME", which depends on the stride: the extent of the
            kernel, ``dilation * (kernel_size - 1) + 1``, as (row, column). None for padding that
            does not depend on the stride.

    >>> x = torch.randn(1, 3, 9, 12)
    >>> conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
    >>> dense = nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
    >>> Subsample((2, 2))(dense).allclose(conv(x), atol=1e-6)
    True
    """

    def __init__(self, stride: Pair, same: Pair | None = None) -> None:
        super().__init__()
        self.stride = stride
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        """Subsample x, [..., H, W]."""
        rows, columns = self.kept(x)
        return x[..., rows, columns]

    def kept(self, x: Tensor) -> tuple[slice, slice]:
        """Return the rows and columns of x, [..., H, W], that are taken."""
        rows, columns = (
            slice(self._first(axis, x.shape[axis - 2]), None, self.stride[axis]) for axis in (0, 1)
        )
        return rows, columns

    def _first(self, axis: int, length: int) -> int:
        """Return the first sample along an axis, given the length of the axis at stride 1."""
        if self.same is None:
            return 0
        stride, extent = self.stride[axis], self.same[axis]
        padding: Any = ((length + stride - 1) // stride - 1) * stride + extent - length
        # TorchScript traces lengths as tensors.
        traced = isinstance(padding, Tensor)
        padding = padding.clamp(min=0) if traced else torch.sym_max(padding, 0)
        first: int = (extent - 1) // 2 - padding // 2
        return first

    def extra_repr(self) -> str:
        """Return the stride, and the kernel's extent if the padding depends on the stride."""
        same = "" if self.same is None else f", same={self.same}"
        return f"stride={self.stride}{same}"
