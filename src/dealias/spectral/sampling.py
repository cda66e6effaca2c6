"""Sampling rate, Nyquist frequency and orthogonality of filters of a downsampling step."""

import math
from typing import overload

import torch
from torch import Tensor, nn

from dealias.spectral.arguments import per_axis

Size = int | tuple[int, int]
Stride = float | tuple[float, float]


@overload
def equivalent_sampling_rate(
    kernel_size: int, stride: float, in_channels: int, out_channels: int
) -> float: ...
@overload
def equivalent_sampling_rate(
    kernel_size: Size, stride: Stride, in_channels: int, out_channels: int
) -> float | tuple[float, float]: ...
def equivalent_sampling_rate(
    kernel_size: Size, stride: Stride, in_channels: int, out_channels: int
) -> float | tuple[float, float]:
    r"""Return the number of samples per input pixel that a downsampling step keeps along an axis.

    A stride alone keeps ``1 / stride``. Channels that the step adds can hold further samples, at
    most as many as the kernel covers:

    .. math:: \mathrm{ESR} = \min(K, \sqrt{C_\mathrm{out} / C_\mathrm{in}}) / s

    (Chen, Gu and Fu, ICLR 2024). This is a heuristic. It is valid if the filters of the step are
    nearly orthogonal; see :func:`filter_orthogonality`.

    Args:
        kernel_size: one number, or (row, column).
        stride: one number, or (row, column); that of an interpolation may be a fraction.
        in_channels: channels of the input.
        out_channels: channels of the output.

    Returns:
        One rate, or (row, column) if the kernel size or the stride is a pair.

    Raises:
        ValueError: the stride is not a positive number or a pair of them, or another argument not a
            positive integer or, for the kernel size, a pair of them.

    >>> equivalent_sampling_rate(3, 2, 64, 64)
    0.5
    >>> equivalent_sampling_rate(4, (4, 2), 3, 96)
    (1.0, 2.0)
    """
    kernels = per_axis("kernel_size", kernel_size, _positive)
    strides = per_axis("stride", stride, _stride)
    channels = _positive("out_channels", out_channels) / _positive("in_channels", in_channels)
    row, column = (min(k, channels**0.5) / s for k, s in zip(kernels, strides, strict=True))
    is_pair = isinstance(kernel_size, tuple | list) or isinstance(stride, tuple | list)
    return (row, column) if is_pair else row


@overload
def nyquist_frequency(
    kernel_size: int, stride: float, in_channels: int, out_channels: int
) -> float: ...
@overload
def nyquist_frequency(
    kernel_size: Size, stride: Stride, in_channels: int, out_channels: int
) -> float | tuple[float, float]: ...
def nyquist_frequency(
    kernel_size: Size, stride: Stride, in_channels: int, out_channels: int
) -> float | tuple[float, float]:
    """Return the highest frequency that a step can represent, in cycles per pixel of its input.

    This is half of :func:`equivalent_sampling_rate`, but at least ``1 / (2 * stride)``, below which
    no frequency aliases, and at most 0.5, the highest frequency of the input. For a step with fewer
    output than input channels, the published rate is below that of the stride alone: for 131 to 25
    channels and a stride of 2 it gives 0.109 instead of 0.25. Arguments, return type and errors are
    those of :func:`equivalent_sampling_rate`.

    A stage of a ResNet halves the size and doubles the channels:

    >>> round(nyquist_frequency(3, 2, 256, 512), 3)
    0.354
    >>> nyquist_frequency(3, 2, 131, 25)
    0.25
    """
    rate = equivalent_sampling_rate(kernel_size, stride, in_channels, out_channels)
    rates = rate if isinstance(rate, tuple) else (rate, rate)
    strides = per_axis("stride", stride, _stride)
    row, column = (min(max(r, 1 / s) / 2, 0.5) for r, s in zip(rates, strides, strict=True))
    return (row, column) if isinstance(rate, tuple) else row


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    return value


def _stride(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")
    return value


def filter_orthogonality(weight: Tensor, *, groups: int = 1) -> Tensor:
    """Return the mean absolute cosine similarity of the filters of a convolution or linear layer.

    It is 0 if all filters are orthogonal, in which case each filter adds samples and the equivalent
    sampling rate holds. It is 1 if all filters are parallel. Published values for downsampling
    steps are 0.046 to 0.072 (Chen, Gu and Fu, ICLR 2024). Filters of different groups are
    orthogonal, because their channels differ; a filter of zeros is orthogonal to every other.

    Args:
        weight: [C_out, ...], floating point.
        groups: groups of the convolution.

    Returns:
        Scalar in [0, 1]; NaN for a single filter.

    Raises:
        ValueError: ``weight`` has fewer than two dimensions or is not real floating point, or
            ``groups`` does not divide its first dimension.

    >>> filter_orthogonality(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    tensor(0.)
    """
    if weight.ndim < 2 or not weight.is_floating_point():
        raise ValueError(
            "weight: expected real floating point [C_out, ...], "
            f"got shape {tuple(weight.shape)} and {weight.dtype}"
        )
    filters = weight.shape[0]
    if groups < 1 or filters % groups:
        raise ValueError(f"groups: expected a divisor of the {filters} filters, got {groups!r}")
    if filters == 1:
        return weight.new_full((), torch.nan)
    unit = nn.functional.normalize(weight.reshape(groups, filters // groups, -1).float(), dim=-1)
    cosine = (unit @ unit.mT).abs()
    diagonal = cosine.diagonal(dim1=-2, dim2=-1).sum()
    return ((cosine.sum() - diagonal) / (filters * (filters - 1))).to(weight.dtype)
