"""Height and width in the shape of a tensor, whatever its layout."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Pair = tuple[int, int]
Shape = tuple[int, ...]

Layout = Literal["channels_first", "channels_last", "tokens"]


class Fall(NamedTuple):
    """A lower resolution out than in, read from two shapes."""

    stride: int
    size: Pair
    result_size: Pair
    channels: Pair


class Held(NamedTuple):
    """How a shape holds a map."""

    layout: Layout
    size: Pair
    channels: int


def layout_of(shape: Shape | None, size: Pair, *, missing: int = 0) -> Held | None:
    """The layout in which a shape holds a map of this size; None if it does not.

    Args:
        shape: (B, C, H, W), (B, H, W, C) or (B, H * W, C).
        size: (H, W).
        missing: rows and columns by which the shape may fall short of the size, for maps that are
            padded later.

    >>> layout_of((1, 7, 12, 96), (8, 12), missing=1)
    Held(layout='channels_last', size=(7, 12), channels=96)
    """

    def fits(rows: int, columns: int) -> bool:
        return 0 <= size[0] - rows <= missing and 0 <= size[1] - columns <= missing

    if shape is None:
        return None
    if len(shape) == 4 and fits(shape[2], shape[3]):
        return Held("channels_first", (shape[2], shape[3]), shape[1])
    if len(shape) == 4 and fits(shape[1], shape[2]):
        return Held("channels_last", (shape[1], shape[2]), shape[3])
    if len(shape) == 3 and shape[1] == size[0] * size[1]:
        return Held("tokens", size, shape[2])
    return None


def fall_of(source: Shape | None, result: Shape | None, grids: Iterable[Pair]) -> Fall | None:
    """Read a fall of resolution from shapes in and out, by the same whole number along both axes.

    Args:
        source: shape in.
        result: shape out, of the same layout.
        grids: pairs (H, W) that may be the size of tokens (B, H * W, C).

    >>> fall_of((1, 8, 12, 96), (1, 4, 6, 192), []).result_size
    (4, 6)
    >>> fall_of((1, 35, 96), (1, 12, 192), [(5, 7)]).result_size
    (3, 4)
    """
    if source is None or result is None or len(source) != len(result) or source[0] != result[0]:
        return None
    if len(source) == 3:
        return _fall_of_tokens(source, result, grids)
    for axis, channel in ((2, 1), (1, 3)):
        size = source[axis], source[axis + 1]
        result_size = result[axis], result[axis + 1]
        for stride in range(2, min(size) + 1):
            if result_size in (_divided(size, stride), _divided(size, stride, up=True)):
                return Fall(stride, size, result_size, (source[channel], result[channel]))
    return None


def _fall_of_tokens(source: Shape, result: Shape, grids: Iterable[Pair]) -> Fall | None:
    for size in grids:
        for stride in range(2, min(size) + 1) if size[0] * size[1] == source[1] else ():
            result_size = _divided(size, stride, up=True)
            if result_size[0] * result_size[1] == result[1]:
                return Fall(stride, size, result_size, (source[2], result[2]))
    return None


def _divided(size: Pair, stride: int, *, up: bool = False) -> Pair:
    more = stride - 1 if up else 0
    return (size[0] + more) // stride, (size[1] + more) // stride
