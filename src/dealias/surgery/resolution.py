"""Read the resolution of a map before and after an operation."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, NamedTuple

from torch import Tensor

Pair = tuple[int, int]
Shape = tuple[int, ...]

Layout = Literal["channels_first", "channels_last", "tokens"]


class Held(NamedTuple):
    """A map that a tensor holds."""

    layout: Layout
    size: Pair
    channels: int


def layouts_of(shape: Shape | None, size: Pair, *, missing: int = 0) -> list[Held]:
    """Return the layouts in which a tensor of this shape may hold a map of this size.

    There are two if a map has as many channels as rows and columns.

    Args:
        shape: [B, C, H, W], [B, H, W, C] or [B, H * W, C].
        size: (H, W).
        missing: number of rows and of columns by which the shape may be smaller than `size`, for
            maps that are padded later.

    >>> layouts_of((1, 7, 12, 96), (8, 12), missing=1)
    [Held(layout='channels_last', size=(7, 12), channels=96)]
    >>> [held.layout for held in layouts_of((1, 96, 96, 96), (96, 96))]
    ['channels_first', 'channels_last']
    """

    def fits(rows: int, columns: int) -> bool:
        return 0 <= size[0] - rows <= missing and 0 <= size[1] - columns <= missing

    found = []
    if shape is not None and len(shape) == 4 and fits(shape[2], shape[3]):
        found.append(Held("channels_first", (shape[2], shape[3]), shape[1]))
    if shape is not None and len(shape) == 4 and fits(shape[1], shape[2]):
        found.append(Held("channels_last", (shape[1], shape[2]), shape[3]))
    if shape is not None and len(shape) == 3 and shape[1] == size[0] * size[1]:
        found.append(Held("tokens", size, shape[2]))
    return found


@dataclass(frozen=True)
class Reading:
    """A spatial operation: its kernel and stride, its input and its output."""

    kind: str
    kernel: Pair
    stride: tuple[float, float]
    size: Pair
    result_size: Pair
    channels: Pair  # of the input and the output
    depthwise: bool = False  # whether each channel is convolved by itself
    dilation: Pair = (1, 1)

    @property
    def falls(self) -> bool:
        """Whether the operation lowers the resolution."""
        return max(self.stride) > 1 and self.size != self.result_size

    @property
    def resizes(self) -> bool:
        """Whether the operation makes a map of a given size, or scaled by a given factor."""
        return self.kind in ("adaptive_pool", "interpolation")

    @property
    def padding(self) -> int:
        """Largest number of rows or columns of the input that may be padding added by a module."""
        extents = (d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))
        return max(*extents, *(ceil(stride) - 1 for stride in self.stride))


def read_fall(source: Shape | None, result: Shape | None, grids: Iterable[Pair]) -> Reading | None:
    """Read from two shapes a fall of resolution by the same whole number along both axes.

    Args:
        source: shape of the input.
        result: shape of the output, in the same layout.
        grids: pairs (H, W), one of which may be the size of tokens [B, H * W, C].

    >>> read_fall((1, 8, 12, 96), (1, 4, 6, 192), []).result_size
    (4, 6)
    >>> read_fall((1, 35, 96), (1, 12, 192), [(5, 7)]).result_size
    (3, 4)
    """
    if source is None or result is None or len(source) != len(result) or source[0] != result[0]:
        return None
    if len(source) == 3:
        for size in grids:
            for stride in range(2, min(size) + 1) if size[0] * size[1] == source[1] else ():
                result_size = _divided(size, stride, up=True)
                if result_size[0] * result_size[1] == result[1]:
                    return _reshaping(stride, size, result_size, (source[2], result[2]))
        return None
    for axis, channel in ((2, 1), (1, 3)):
        size = source[axis], source[axis + 1]
        result_size = result[axis], result[axis + 1]
        for stride in range(2, min(size) + 1):
            if result_size in (_divided(size, stride), _divided(size, stride, up=True)):
                return _reshaping(stride, size, result_size, (source[channel], result[channel]))
    return None


def _reshaping(stride: int, size: Pair, result_size: Pair, channels: Pair) -> Reading:
    kind = "global_pool" if result_size == (1, 1) else "patch_merging"
    return Reading(kind, (stride, stride), (stride, stride), size, result_size, channels)


def _divided(size: Pair, stride: int, *, up: bool = False) -> Pair:
    more = stride - 1 if up else 0
    return (size[0] + more) // stride, (size[1] + more) // stride


def read_slices(steps: Mapping[int, int], source: Shape, result: Shape) -> Iterator[Reading]:
    """Read strided slices of a tensor as slices of a map, [B, C, H, W] first, then [B, H, W, C].

    Args:
        steps: steps of the slices by axis.
        source: shape of the tensor.
        result: shape after the slices.

    >>> [slices.stride for slices in read_slices({2: 2}, (1, 3, 8, 8), (1, 3, 4, 8))]
    [(2, 1), (1, 2)]
    """
    for rows, channel in ((2, 1), (1, 3)):
        yield Reading(
            "slicing",
            (1, 1),
            (steps.get(rows, 1), steps.get(rows + 1, 1)),
            (source[rows], source[rows + 1]),
            (result[rows], result[rows + 1]),
            (source[channel], result[channel]),
        )


def read_operation(name: str, given: Mapping[str, Any], out: Any) -> Reading | None:
    """Read a call of an ATen operation; None if the operation is not spatial.

    Args:
        name: name of the operation, without its namespace.
        given: arguments by name.
        out: result.
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
        depthwise=name == "convolution" and 1 < source.shape[1] == given["groups"],
        dilation=_pair(given.get("dilation", 1)),
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
