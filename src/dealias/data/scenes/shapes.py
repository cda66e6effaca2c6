"""Shapes with exact outlines and textures, and their sampling into an image and a label map.

Coordinates are in pixels: x to the right, y down, the centre of the first pixel at (0.5, 0.5).
Only arithmetic that IEEE 754 rounds exactly is used, and colours are summed as integers, so every
machine draws the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]

OVERSAMPLING = 4


class Box(NamedTuple):
    """An axis-aligned box; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float


class Outline(Protocol):
    """A set of points. `contains` takes a row x [1, n] and a column y [m, 1]; bool [m, n]."""

    @property
    def box(self) -> Box: ...

    def contains(self, x: Floats, y: Floats) -> Bools: ...


@dataclass(frozen=True)
class Rectangle:
    """All points of a box. Rectangles that share a side tile the plane without gap or overlap."""

    box: Box

    def contains(self, x: Floats, y: Floats) -> Bools:
        left, top, right, bottom = self.box
        inside: Bools = ((x >= left) & (x < right)) & ((y >= top) & (y < bottom))
        return inside


@dataclass(frozen=True)
class Ellipse:
    """An ellipse that fills a box."""

    box: Box

    def contains(self, x: Floats, y: Floats) -> Bools:
        left, top, right, bottom = self.box
        across = (2 * x - (left + right)) / (right - left)
        down = (2 * y - (top + bottom)) / (bottom - top)
        inside: Bools = across * across + down * down < 1
        return inside


@dataclass(frozen=True)
class ConvexPolygon:
    """A convex polygon; its corners are (x, y), clockwise as seen in the image."""

    corners: tuple[tuple[float, float], ...]

    @property
    def box(self) -> Box:
        xs, ys = zip(*self.corners, strict=True)
        return Box(min(xs), min(ys), max(xs), max(ys))

    def contains(self, x: Floats, y: Floats) -> Bools:
        inside = np.ones(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
        ends = self.corners[1:] + self.corners[:1]
        for (x0, y0), (x1, y1) in zip(self.corners, ends, strict=True):
            inside &= (x1 - x0) * (y - y0) >= (y1 - y0) * (x - x0)
        return inside


@dataclass(frozen=True)
class BelowParabola:
    """The points of a box below the curve y = y0 + bend (x - x0)^2."""

    box: Box
    x0: float
    y0: float
    bend: float

    def contains(self, x: Floats, y: Floats) -> Bools:
        inside: Bools = (y >= self.y0 + self.bend * (x - self.x0) * (x - self.x0)) & Rectangle(
            self.box
        ).contains(x, y)
        return inside


class Texture(Protocol):
    """A set of colours, and the colour of each point. `None` is transparent."""

    @property
    def colours(self) -> Sequence[Colour | None]: ...

    def tone(self, x: Floats, y: Floats) -> NDArray[np.integer]:
        """Index into `colours` of each point; x [1, n], y [m, 1], result broadcasts to [m, n]."""
        ...


@dataclass(frozen=True)
class Flat:
    """One colour."""

    colour: Colour

    @property
    def colours(self) -> Sequence[Colour | None]:
        return (self.colour,)

    def tone(self, x: Floats, y: Floats) -> NDArray[np.integer]:
        return np.zeros((len(y), x.shape[1]), dtype=np.intp)


@dataclass(frozen=True)
class Grating:
    """Straight bars: a square wave of `frequency` (x, y) in cycles per pixel.

    A point has the first colour for the share `duty` of a period, from `origin` on.
    """

    colours: tuple[Colour, Colour | None]
    frequency: tuple[float, float]
    origin: tuple[float, float] = (0.0, 0.0)
    duty: float = 0.5

    def tone(self, x: Floats, y: Floats) -> NDArray[np.integer]:
        (fx, fy), (x0, y0) = self.frequency, self.origin
        cycles = fx * (x - x0) + fy * (y - y0)
        return (cycles - np.floor(cycles) >= self.duty).astype(np.intp)


@dataclass(frozen=True)
class Windows:
    """A wall (first colour) with panes (second) of half a `period` (x, y), in pixels, each way."""

    colours: tuple[Colour, Colour]
    period: tuple[float, float]
    origin: tuple[float, float]

    def tone(self, x: Floats, y: Floats) -> NDArray[np.integer]:
        (px, py), (x0, y0) = self.period, self.origin
        across, down = (x - x0) / px, (y - y0) / py
        pane = (across - np.floor(across) >= 0.5) & (down - np.floor(down) >= 0.5)
        return pane.astype(np.intp)


@dataclass(frozen=True)
class Gradient:
    """Colours from `top` to `bottom` in equal bands."""

    colours: tuple[Colour, ...]
    top: float
    bottom: float

    def tone(self, x: Floats, y: Floats) -> NDArray[np.integer]:  # noqa: ARG002
        band = np.floor((y - self.top) / (self.bottom - self.top) * len(self.colours))
        return np.clip(band, 0, len(self.colours) - 1).astype(np.intp)


@dataclass(frozen=True)
class Shape:
    """An area of one label: the whole outline, even where the texture is transparent.

    Attributes:
        label: 0 .. 255.
        outline: the points that belong to the shape.
        texture: their colours.
    """

    label: int
    outline: Outline
    texture: Texture


def draw_labels(shapes: Sequence[Shape], size: tuple[int, int]) -> Bytes:
    """Label each pixel by the last shape that contains its centre, or 255; uint8 [H, W]."""
    labels = np.full(size, 255, dtype=np.uint8)
    for shape in shapes:
        rows, columns, x, y = _samples(shape.outline.box, size, 1)
        labels[rows, columns][shape.outline.contains(x, y)] = shape.label
    return labels


def draw_image(shapes: Sequence[Shape], size: tuple[int, int]) -> NDArray[np.float32]:
    """Mean colour of each pixel over 4 x 4 points, or black; float32 [H, W, 3] in [0, 255]."""
    height, width = size
    colours: list[Colour] = [(0, 0, 0)]
    canvas = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING), dtype=np.uint16)
    for shape in shapes:
        rows, columns, x, y = _samples(shape.outline.box, size, OVERSAMPLING)
        inside = shape.outline.contains(x, y)
        tone = shape.texture.tone(x, y)
        index = []
        for colour in shape.texture.colours:
            index.append(len(colours) if colour else 0)
            colours += [colour] if colour else []
        paint = np.array(index, dtype=np.uint16)[tone]
        if 0 in index:
            inside &= paint > 0
        np.copyto(canvas[rows, columns], paint, where=inside)
    points = np.array(colours, dtype=np.uint16)[canvas]  # (H S, W S, 3)
    rows_summed = points.reshape(height, OVERSAMPLING, -1, 3).sum(1, dtype=np.uint16)
    total = rows_summed.reshape(height, width, OVERSAMPLING, 3).sum(2, dtype=np.uint16)
    mean: NDArray[np.float32] = total.astype(np.float32) / OVERSAMPLING**2
    return mean


def _samples(
    box: Box, size: tuple[int, int], per_pixel: int
) -> tuple[slice, slice, Floats, Floats]:
    """Rows and columns of the sampling grid that may be inside a box, and their x and y."""
    (height, width), (left, top, right, bottom) = size, box
    columns = slice(*(round(min(max(v, 0), width) * per_pixel) for v in (left - 1, right + 1)))
    rows = slice(*(round(min(max(v, 0), height) * per_pixel) for v in (top - 1, bottom + 1)))
    x = (np.arange(columns.start, columns.stop) + 0.5) / per_pixel
    y = (np.arange(rows.start, rows.stop) + 0.5) / per_pixel
    return rows, columns, x[None, :], y[:, None]
