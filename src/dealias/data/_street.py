"""Draws up a street: what stands where, in the order of painting."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

from dealias.data._shapes import (
    BelowParabola,
    Box,
    Colour,
    ConvexPolygon,
    Ellipse,
    Flat,
    Gradient,
    Grating,
    Rectangle,
    Shape,
    Windows,
)

T = TypeVar("T")
Random = np.random.RandomState  # its stream is frozen, unlike that of numpy.random.Generator

VOID = 255
POLE_WIDTHS = (1, 2, 3, 4)
WINDOW_PERIODS = (3.0, 4.5, 6.0, 9.0, 13.0)
FENCE_PERIODS = (3.0, 4.0, 6.0, 10.0)

_WALLS = ((196, 164, 132), (168, 104, 84), (206, 196, 178), (142, 138, 140), (184, 140, 96))
_GLASS = ((86, 110, 136), (150, 182, 206), (62, 66, 78), (178, 200, 214))
_LEAVES = ((70, 112, 52), (92, 130, 60), (58, 96, 62))
_SKIES = ((118, 168, 220), (150, 178, 206), (176, 190, 204), (136, 176, 226))
_PAINTS = ((178, 40, 44), (44, 78, 142), (226, 226, 228), (52, 54, 60), (200, 156, 52))
_CARGO = ((234, 232, 226), (64, 124, 150), (206, 98, 46), (112, 140, 96))
_CLOTHES = ((186, 54, 76), (58, 72, 120), (226, 186, 74), (70, 66, 72), (90, 148, 138))
_SKIN = ((224, 182, 152), (150, 106, 80), (96, 66, 52))
_METAL = ((74, 78, 82), (108, 112, 114), (50, 66, 58))
_SIGNS = ((204, 36, 40), (28, 92, 172), (240, 200, 40), (242, 242, 242))


class Label(IntEnum):
    """The classes of the scenes."""

    SKY = 0
    BUILDING = 1
    VEGETATION = 2
    PAVEMENT = 3
    ROAD = 4
    FENCE = 5
    POLE = 6
    SIGN = 7
    CAR = 8
    TRUCK = 9
    PERSON = 10


def street(random: Random, size: tuple[int, int]) -> list[Shape]:
    """Draw up one street of `size` (H, W), from back to front.

    Objects scale with the height; widths of poles and periods of gratings are in pixels.
    """
    height, width = size
    horizon = height * random.uniform(0.46, 0.56)
    kerb = horizon + height * random.uniform(0.08, 0.12)
    shapes = _sky(random, width, horizon)
    shapes += _hills(random, height, width, horizon)
    shapes += _buildings(random, height, width, horizon)
    shapes += _ground(random, size, horizon, kerb)
    shapes += _fences(random, height, width, horizon)
    shapes += _trees(random, height, width, horizon)
    shapes += _poles(random, height, width, kerb)
    shapes += _people(random, height, width, kerb + 0.01 * height, 0.15)
    shapes += _traffic(random, height, width, kerb + 0.13 * height, 0.15)
    shapes += _people(random, height, width, kerb + 0.2 * height, 0.2)
    shapes += _traffic(random, height, width, kerb + 0.3 * height, 0.21)
    if random.uniform() < 0.5:
        shapes += _bonnet(height, width)
    return shapes


def _pick(random: Random, options: Sequence[T]) -> T:
    return options[random.randint(len(options))]


def _shade(colour: Colour, gain: float) -> Colour:
    red, green, blue = (min(255, round(gain * part)) for part in colour)
    return red, green, blue


def _sky(random: Random, width: int, horizon: float) -> list[Shape]:
    zenith = _pick(random, _SKIES)
    steps = 48
    bands = tuple(_shade(zenith, 1 + 0.25 * step / steps) for step in range(steps))
    box = Box(0, 0, width, horizon)
    return [Shape(Label.SKY, Rectangle(box), Gradient(bands, 0, horizon))]


def _hills(random: Random, height: int, width: int, horizon: float) -> list[Shape]:
    hills = []
    for _ in range(3):
        x, reach = random.uniform(0, width), height * random.uniform(0.3, 0.7)
        rise = height * random.uniform(0.08, 0.2)
        box = Box(x - reach, horizon - rise, x + reach, horizon + rise)
        leaves = _shade(_pick(random, _LEAVES), 1.2)
        hills.append(Shape(Label.VEGETATION, Ellipse(box), Flat(leaves)))
    return hills


def _buildings(random: Random, height: int, width: int, horizon: float) -> list[Shape]:
    """Rows of houses that touch, stand a few pixels apart, or leave the view open."""
    shapes: list[Shape] = []
    left = -height * random.uniform(0, 0.2)
    while left < width:
        right = left + height * random.uniform(0.15, 0.42)
        top = horizon - height * random.uniform(0.15, 0.42)
        shapes += _house(random, Box(left, top, right, horizon))
        open_view = height * random.uniform(0.1, 0.4)
        left = right + _pick(random, (0.0, 0.0, 2.0, 4.0, 8.0, open_view))
    return shapes


def _house(random: Random, walls: Box) -> list[Shape]:
    left, top, right, bottom = walls
    wall, glass = _pick(random, _WALLS), _pick(random, _GLASS)
    across, down = _pick(random, WINDOW_PERIODS), _pick(random, WINDOW_PERIODS)
    texture: Windows | Grating = Windows((wall, glass), (across, down), (left, top))
    if random.uniform() < 0.3:  # an all-glass front between mullions
        texture = Grating((wall, glass), (1 / across, 0), (left, top))
    shapes = []
    roof, rise = _pick(random, ("flat", "gable", "dome")), 0.22 * (right - left)
    tiles = Flat(_shade(wall, 0.7))
    if roof == "gable":
        corners = ((left, top), ((left + right) / 2, top - rise), (right, top))
        shapes.append(Shape(Label.BUILDING, ConvexPolygon(corners), tiles))
    elif roof == "dome":
        box = Box(left, top - rise, right, top + rise)
        shapes.append(Shape(Label.BUILDING, Ellipse(box), tiles))
    return [*shapes, Shape(Label.BUILDING, Rectangle(walls), texture)]


def _ground(random: Random, size: tuple[int, int], horizon: float, kerb: float) -> list[Shape]:
    """Pavement and, beyond a curved kerb, the road with a zebra crossing."""
    height, width = size
    slabs = _shade((176, 168, 160), random.uniform(0.85, 1.1))
    paving = Grating((slabs, _shade(slabs, 0.88)), (0, 1 / 7), (0, horizon), duty=0.8)
    asphalt = _shade((98, 98, 104), random.uniform(0.8, 1.15))
    x0, bend = width * random.uniform(0.2, 0.8), 0.1 * height / width**2
    bend *= random.uniform(-1, 1)
    road = BelowParabola(Box(0, horizon, width, height), x0, kerb, bend)
    left, lean = width * random.uniform(0, 0.8), 0.12 * height
    top, bottom, length = kerb + 0.04 * height, height * 0.98, 0.4 * height
    corners = ((left + lean, top), (left + lean + length, top), (left + length, bottom))
    zebra = ConvexPolygon((*corners, (left, bottom)))
    period = height * random.uniform(0.025, 0.08)
    stripes = Grating(((222, 222, 218), None), (0, 1 / period), (0, top))
    return [
        Shape(Label.PAVEMENT, Rectangle(Box(0, horizon, width, height)), paving),
        Shape(Label.ROAD, road, Flat(asphalt)),
        Shape(Label.ROAD, _within(zebra, road), stripes),
    ]


def _within(zebra: ConvexPolygon, road: BelowParabola) -> ConvexPolygon:
    """Push the far side of the crossing onto the road, were the kerb to bend into it."""
    (x0, y0), (x1, y1), *near = zebra.corners
    kerb = max(road.y0 + road.bend * (x - road.x0) ** 2 for x in (x0, x1))
    return ConvexPolygon(((x0, max(y0, kerb)), (x1, max(y1, kerb)), *near))


def _fences(random: Random, height: int, width: int, horizon: float) -> list[Shape]:
    """Pickets that show what lies behind; the gaps are fence, too, as annotators draw it."""
    shapes = []
    for _ in range(2):
        left = random.uniform(-0.1, 0.8) * width
        right = left + height * random.uniform(0.3, 0.7)
        top, foot = horizon - 0.05 * height, horizon + 0.04 * height
        pickets = Grating(
            (_pick(random, ((238, 236, 228), (60, 52, 46), (120, 84, 56))), None),
            (1 / _pick(random, FENCE_PERIODS), 0),
            (left, top),
        )
        shapes.append(Shape(Label.FENCE, Rectangle(Box(left, top, right, foot)), pickets))
    return shapes


def _trees(random: Random, height: int, width: int, horizon: float) -> list[Shape]:
    shapes = []
    for _ in range(random.randint(1, 4)):
        x, foot = random.uniform(0, width), horizon + height * random.uniform(0.03, 0.06)
        top, radius = foot - height * random.uniform(0.24, 0.34), 0.07 * height
        trunk = Box(x - 0.012 * height, top, x + 0.012 * height, foot)
        shapes.append(Shape(Label.VEGETATION, Rectangle(trunk), Flat((92, 70, 52))))
        leaves = _pick(random, _LEAVES)
        dapple = Grating((leaves, _shade(leaves, 1.25)), (0.16, 0.11), duty=0.6)
        for _ in range(6):
            dx, dy = random.uniform(-1, 1, size=2) * radius
            r = radius * random.uniform(0.6, 1)
            box = Box(x + dx - r, top + dy - r, x + dx + r, top + dy + r)
            shapes.append(Shape(Label.VEGETATION, Ellipse(box), dapple))
    return shapes


def _poles(random: Random, height: int, width: int, kerb: float) -> list[Shape]:
    """A pole of each width, upright on the pixel grid, some with a sign or a lamp."""
    shapes = []
    places = (np.arange(len(POLE_WIDTHS)) + random.uniform(0.1, 0.9, size=len(POLE_WIDTHS))) * (
        width / len(POLE_WIDTHS)
    )
    for place, across in zip(places, random.permutation(POLE_WIDTHS), strict=True):
        left, foot = round(place), kerb + height * random.uniform(-0.03, 0.0)
        top = foot - height * random.uniform(0.3, 0.5)
        metal = Flat(_pick(random, _METAL))
        post = Rectangle(Box(left, top, left + int(across), foot))
        shapes.append(Shape(Label.POLE, post, metal))
        crown = _pick(random, ("disc", "board", "lamp", "bare"))
        middle, r = left + across / 2, height * random.uniform(0.018, 0.036)
        if crown == "disc":
            disc = Ellipse(Box(middle - r, top - r, middle + r, top + r))
            shapes.append(Shape(Label.SIGN, disc, Flat(_pick(random, _SIGNS))))
        elif crown == "board":
            board = Rectangle(Box(middle - 2 * r, top, middle + 2 * r, top + 1.6 * r))
            shapes.append(Shape(Label.SIGN, board, Flat(_pick(random, _SIGNS))))
        elif crown == "lamp":
            arm = Rectangle(Box(middle, top, middle + 0.08 * height, top + 2))
            shapes.append(Shape(Label.POLE, arm, metal))
    return shapes


def _people(
    random: Random, height: int, width: int, foot: float, tallness: float
) -> list[Shape]:
    """Small groups, shoulder to shoulder or a pixel or two apart."""
    shapes: list[Shape] = []
    for _ in range(2):
        x = random.uniform(0, width)
        for _ in range(random.randint(1, 4)):
            tall = height * tallness * random.uniform(0.8, 1)
            shapes += _person(random, x, foot, tall)
            x += 0.3 * tall + _pick(random, (0.0, 1.0, 2.0))
    return shapes


def _person(random: Random, x: float, foot: float, tall: float) -> list[Shape]:
    top, half = foot - tall, 0.15 * tall
    head = Ellipse(Box(x - 0.09 * tall, top, x + 0.09 * tall, top + 0.2 * tall))
    coat = Ellipse(Box(x - half, top + 0.16 * tall, x + half, top + 0.68 * tall))
    trousers, hip = Flat(_shade(_pick(random, _CLOTHES), 0.7)), top + 0.5 * tall
    stride = random.uniform(0.04, 0.12) * tall
    legs = [
        ConvexPolygon(
            (
                (x - 0.08 * tall, hip),
                (x + 0.08 * tall, hip),
                (x + side * stride + 0.04 * tall, foot),
                (x + side * stride - 0.04 * tall, foot),
            )
        )
        for side in (-1, 1)
    ]
    return [
        *(Shape(Label.PERSON, leg, trousers) for leg in legs),
        Shape(Label.PERSON, coat, Flat(_pick(random, _CLOTHES))),
        Shape(Label.PERSON, head, Flat(_pick(random, _SKIN))),
    ]


def _traffic(
    random: Random, height: int, width: int, ground: float, tallness: float
) -> list[Shape]:
    """Queues of cars and trucks, bumper to bumper or a few pixels apart."""
    shapes: list[Shape] = []
    x, end = random.uniform(-0.2, 0.5) * width, random.uniform(0.5, 1) * width
    while x < end:
        tall = height * tallness * random.uniform(0.85, 1)
        if random.uniform() < 0.65:
            long = 2.4 * tall
            shapes += _car(random, x, ground, long, 0.8 * tall)
        else:
            long = 2.9 * tall
            shapes += _truck(random, x, ground, long, 1.3 * tall)
        x += long + _pick(random, (0.0, 1.0, 2.0, 4.0, 0.4 * height))
    return shapes


def _car(random: Random, left: float, ground: float, long: float, tall: float) -> list[Shape]:
    paint, top, right = _pick(random, _PAINTS), ground - tall, left + long
    waist, sill = top + 0.42 * tall, ground - 0.16 * tall
    cabin = ((left + 0.3 * long, top), (left + 0.68 * long, top), (left + 0.86 * long, waist))
    panes = (
        (left + 0.33 * long, top + 0.08 * tall),
        (left + 0.66 * long, top + 0.08 * tall),
        (left + 0.78 * long, waist),
        (left + 0.22 * long, waist),
    )
    body = (
        (left, waist + 0.06 * tall),
        (left + 0.14 * long, waist - 0.02 * tall),
        (left + 0.88 * long, waist - 0.02 * tall),
        (right, waist + 0.1 * tall),
        (right, sill),
        (left, sill),
    )
    return [
        Shape(Label.CAR, ConvexPolygon((*cabin, (left + 0.15 * long, waist))), Flat(paint)),
        Shape(Label.CAR, ConvexPolygon(panes), Flat((58, 72, 86))),
        Shape(Label.CAR, ConvexPolygon(body), Flat(_shade(paint, 0.92))),
        *_wheels(Label.CAR, (left + 0.2 * long, left + 0.8 * long), ground, 0.2 * tall),
    ]


def _truck(random: Random, left: float, ground: float, long: float, tall: float) -> list[Shape]:
    cargo, paint, top = _pick(random, _CARGO), _pick(random, _PAINTS), ground - tall
    right, split, sill = left + long, left + 0.74 * long, ground - 0.1 * tall
    ribs = Grating((cargo, _shade(cargo, 0.8)), (1 / _pick(random, WINDOW_PERIODS), 0), (left, 0))
    cab = (
        (split, top + 0.25 * tall),
        (right - 0.06 * long, top + 0.25 * tall),
        (right, top + 0.6 * tall),
        (right, sill),
        (split, sill),
    )
    pane = (
        (split + 0.05 * long, top + 0.32 * tall),
        (right - 0.07 * long, top + 0.32 * tall),
        (right - 0.03 * long, top + 0.56 * tall),
        (split + 0.05 * long, top + 0.56 * tall),
    )
    return [
        Shape(Label.TRUCK, Rectangle(Box(left, top, split, sill)), ribs),
        Shape(Label.TRUCK, ConvexPolygon(cab), Flat(paint)),
        Shape(Label.TRUCK, ConvexPolygon(pane), Flat((58, 72, 86))),
        *_wheels(Label.TRUCK, (left + 0.2 * long, left + 0.85 * long), ground, 0.14 * tall),
    ]


def _wheels(label: Label, places: tuple[float, float], ground: float, r: float) -> list[Shape]:
    shapes = []
    for x in places:
        tyre = Ellipse(Box(x - r, ground - 2 * r, x + r, ground))
        hub = Ellipse(Box(x - 0.45 * r, ground - 1.45 * r, x + 0.45 * r, ground - 0.55 * r))
        shapes += [Shape(label, tyre, Flat((36, 36, 38))), Shape(label, hub, Flat((158, 160, 162)))]
    return shapes


def _bonnet(height: int, width: int) -> list[Shape]:
    """The camera's own car: void."""
    box = Box(0.1 * width, 0.94 * height, 0.9 * width, 1.2 * height)
    return [Shape(VOID, Ellipse(box), Flat((66, 70, 78)))]
