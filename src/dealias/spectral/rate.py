"""The sampling rate of a downsampling step, and its Nyquist frequency."""

from typing import overload

from dealias.spectral.arguments import per_axis

Size = int | tuple[int, int]


@overload
def equivalent_sampling_rate(
    kernel_size: int, stride: int, in_channels: int, out_channels: int
) -> float: ...
@overload
def equivalent_sampling_rate(
    kernel_size: Size, stride: Size, in_channels: int, out_channels: int
) -> float | tuple[float, float]: ...
def equivalent_sampling_rate(
    kernel_size: Size, stride: Size, in_channels: int, out_channels: int
) -> float | tuple[float, float]:
    r"""Samples that a downsampling step keeps per input pixel, along one axis.

    A stride alone keeps ``1 / stride``. Channels added by the step hold further samples, at most
    as many as the kernel sees:

    .. math:: \mathrm{ESR} = \min(K, \sqrt{C_\mathrm{out} / C_\mathrm{in}}) / s

    (Chen, Gu and Fu, ICLR 2024). A heuristic, sound while the filters of the step are nearly
    orthogonal: see :func:`filter_orthogonality`.

    Args:
        kernel_size: one number, or (row, column).
        stride: one number, or (row, column).
        in_channels: channels of the map that is sampled.
        out_channels: channels of the samples.

    Returns:
        One rate, or (row, column) where kernel size or stride came as a pair.

    Raises:
        ValueError: an argument is not a positive integer or a pair of them.

    >>> equivalent_sampling_rate(3, 2, 64, 64)
    0.5
    >>> equivalent_sampling_rate(4, (4, 2), 3, 96)
    (1.0, 2.0)
    """
    kernels = per_axis("kernel_size", kernel_size, _positive)
    strides = per_axis("stride", stride, _positive)
    channels = _positive("out_channels", out_channels) / _positive("in_channels", in_channels)
    row, column = (min(k, channels**0.5) / s for k, s in zip(kernels, strides, strict=True))
    return (row, column) if isinstance(kernel_size, tuple) or isinstance(stride, tuple) else row


@overload
def nyquist_frequency(
    kernel_size: int, stride: int, in_channels: int, out_channels: int
) -> float: ...
@overload
def nyquist_frequency(
    kernel_size: Size, stride: Size, in_channels: int, out_channels: int
) -> float | tuple[float, float]: ...
def nyquist_frequency(
    kernel_size: Size, stride: Size, in_channels: int, out_channels: int
) -> float | tuple[float, float]:
    """Highest frequency that a downsampling step can represent, in cycles per pixel of its input.

    Half of :func:`equivalent_sampling_rate`, and never above 0.5, the highest that its input can
    hold. Arguments, return type and errors are those of :func:`equivalent_sampling_rate`.

    A stage of a ResNet halves the size and doubles the channels:

    >>> round(nyquist_frequency(3, 2, 256, 512), 3)
    0.354
    """
    rate = equivalent_sampling_rate(kernel_size, stride, in_channels, out_channels)
    if isinstance(rate, tuple):
        return min(rate[0] / 2, 0.5), min(rate[1] / 2, 0.5)
    return min(rate / 2, 0.5)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return value
