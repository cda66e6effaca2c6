"""What one low-level operation does to the resolution of a map."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from torch import Tensor

from dealias.surgery.shapes import Pair


@dataclass(frozen=True)
class Reading:
    """A spatial operation: its window and stride, the map that it reads and what it gives."""

    kind: str
    kernel: Pair
    stride: tuple[float, float]
    size: Pair
    result_size: Pair
    channels: Pair  # of the map read and of the result

    @property
    def falls(self) -> bool:
        """Whether the stride lowers the resolution of a map that has any."""
        return max(self.stride) > 1 and self.size != self.result_size


def read_operation(name: str, given: Mapping[str, Any], out: Any) -> Reading | None:
    """Read a call of an ATen operation; None where it does not act on a neighbourhood.

    Args:
        name: of the operation, without its namespace.
        given: its arguments by name.
        out: its result.
    """
    source = given.get("self", given.get("input"))
    result = out[0] if isinstance(out, tuple) else out
    if not isinstance(source, Tensor) or not isinstance(result, Tensor):
        return None
    if source.ndim != 4 or not source.is_floating_point():
        return None
    if name in _BY_ARGUMENTS:
        window = _BY_ARGUMENTS[name](given)
    elif name in _BY_RATIO:
        rows, columns = (source.shape[i] / result.shape[i] for i in (2, 3))
        window = _BY_RATIO[name]((rows, columns))
    else:
        return None
    if window is None:
        return None
    return Reading(
        *window,
        size=(source.shape[2], source.shape[3]),
        result_size=_result_size(name, given, source, result),
        channels=(source.shape[1], result.shape[1]),
    )


Ratio = tuple[float, float]
Window = tuple[str, Pair, Ratio]  # kind, kernel, stride


def _convolution(given: Mapping[str, Any]) -> Window | None:
    if given["transposed"]:
        return None
    return "convolution", _pair(given["weight"].shape[2:]), _pair(given["stride"])


def _pooling(kind: str) -> Callable[[Mapping[str, Any]], Window]:
    def read(given: Mapping[str, Any]) -> Window:
        kernel = _pair(given["kernel_size"])
        return kind, kernel, _pair(given.get("stride") or kernel)

    return read


def _unfold(given: Mapping[str, Any]) -> Window:
    return "patch_embedding", _pair(given["kernel_size"]), _pair(given["stride"])


def _unshuffle(given: Mapping[str, Any]) -> Window:
    factor = given["downscale_factor"]
    return "pixel_unshuffle", (factor, factor), (factor, factor)


def _adaptive(ratio: Ratio) -> Window:
    return "adaptive_pool", (ceil(ratio[0]), ceil(ratio[1])), ratio


def _resize(taps: int, *, antialias: bool = False) -> Callable[[Ratio], Window]:
    def read(ratio: Ratio) -> Window:
        rows, columns = (taps * (max(1, ceil(r)) if antialias else 1) for r in ratio)
        return "interpolation", (rows, columns), ratio

    return read


_BY_ARGUMENTS: dict[str, Callable[[Mapping[str, Any]], Window | None]] = {
    "convolution": _convolution,
    "max_pool2d": _pooling("max_pool"),
    "max_pool2d_with_indices": _pooling("max_pool"),
    "mkldnn_max_pool2d": _pooling("max_pool"),
    "avg_pool2d": _pooling("avg_pool"),
    "im2col": _unfold,
    "pixel_unshuffle": _unshuffle,
}

_BY_RATIO: dict[str, Callable[[Ratio], Window]] = {
    "_adaptive_avg_pool2d": _adaptive,
    "adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    "upsample_nearest2d": _resize(1),
    "_upsample_nearest_exact2d": _resize(1),
    "upsample_bilinear2d": _resize(2),
    "upsample_bicubic2d": _resize(4),
    "_upsample_bilinear2d_aa": _resize(2, antialias=True),
    "_upsample_bicubic2d_aa": _resize(4, antialias=True),
}


def _result_size(name: str, given: Mapping[str, Any], source: Tensor, result: Tensor) -> Pair:
    if name != "im2col":
        return result.shape[2], result.shape[3]
    names = ("kernel_size", "dilation", "padding", "stride")
    kernel, dilation, padding, stride = (_pair(given[n]) for n in names)
    rows, columns = (
        (source.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    return rows, columns


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
