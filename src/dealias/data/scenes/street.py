"""Composing a street: its objects, in the order of painting."""

from __future__ import annotations

import numpy as np

from dealias.data.scenes.classes import GRATING_PERIODS, VOID, Label, Random, pick, shade
from dealias.data.scenes.road_users import people, traffic
from dealias.data.scenes.shapes import (
    BelowParabola,
    Box,
    ConvexPolygon,
    Ellipse,
    Flat,
    Gradient,
    Grating,
    Rectangle,
    Shape,
    Windows,
)

POLE_WIDTHS = (1, 2, 3, 4)
FENCE_PERIODS = (3.0, 4.0, 6.0, 10.0)

_WALLS = ((196, 164, 132), (168, 104, 84), (206, 196, 178), (142, 138, 140), (184, 140, 96))
_GLASS = ((86, 110, 136), (150, 182, 206), (62, 66, 78), (178, 200, 214))
_LEAVES = ((70, 112, 52), (92, 130, 60), (58, 96, 62))
_SKIES = ((118, 168, 220), (150, 178, 206), (176, 190, 204), (136, 176, 226))
_METAL = ((74, 78, 82), (108, 112, 114), (50, 66, 58))
_SIGNS = ((204, 36, 40), (28, 92, 172), (240, 200, 40), (242, 242, 242))


def street(random: Random, size: tuple[int, int]) -> list[Shape]:
    """Compose one street of `size` (height, width), from back to front.

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
    shapes += people(random, height, width, kerb + 0.01 * height, 0.15)
    shapes += traffic(random, height, width, kerb + 0.13 * height, 0.15)
    shapes += people(random, height, width, kerb + 0.2 * height, 0.2)
    shapes += traffic(random, height, width, kerb + 0.3 * height, 0.21)
    if random.uniform() < 0.5:
        shapes += _bonnet(height, width)
    return shapes


def _sky(random: Random, width: int, horizon: float) -> list[Shape]:
    zenith = pick(random, _SKIES)
    steps = 48
    bands = tuple(shade(zenith, 1 + 0.25 * step / steps) for step in range(steps))
    box = Box(0, 0, width, horizon)
    return [Shape(Label.SKY, Rectangle(box), Gradient(bands, 0, horizon))]


def _hills(random: Random, height: int, width: int, horizon: float) -> list[Shape]:
    hills = []
    for _ in range(3):
        x, reach = random.uniform(0, width), height * random.uniform(0.3, 0.7)
        rise = height * random.uniform(0.08, 0.2)
        box = Box(x - reach, horizon - rise, x + reach, horizon + rise)
        leaves = shade(pick(random, _LEAVES), 1.2)
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
        left = right + pick(random, (0.0, 0.0, 2.0, 4.0, 8.0, open_view))
    return shapes


def _house(random: Random, walls: Box) -> list[Shape]:
    left, top, right, _ = walls
    wall, glass = pick(random, _WALLS), pick(random, _GLASS)
    across, down = pick(random, GRATING_PERIODS), pick(random, GRATING_PERIODS)
    texture: Windows | Grating = Windows((wall, glass), (across, down), (left, top))
    if random.uniform() < 0.3:  # an all-glass front between mullions
        texture = Grating((wall, glass), (1 / across, 0), (left, top))
    shapes = []
    roof, rise = pick(random, ("flat", "gable", "dome")), 0.22 * (right - left)
    tiles = Flat(shade(wall, 0.7))
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
    slabs = shade((176, 168, 160), random.uniform(0.85, 1.1))
    paving = Grating((slabs, shade(slabs, 0.88)), (0, 1 / 7), (0, horizon), duty=0.8)
    asphalt = shade((98, 98, 104), random.uniform(0.8, 1.15))
    x0, bend = width * random.uniform(0.2, 0.8), 0.2 * height / width**2
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
    """Move the far side of the crossing onto the road if the kerb bends into it."""
    (x0, y0), (x1, y1), *near = zebra.corners
    kerb = max(road.y0 + road.bend * (x - road.x0) ** 2 for x in (x0, x1))
    return ConvexPolygon(((x0, max(y0, kerb)), (x1, max(y1, kerb)), *near))


def _fences(random: Random, height: int, width: int, horizon: float) -> list[Shape]:
    """Pickets with a view through the gaps, which are also labelled fence, as annotators do."""
    shapes = []
    for _ in range(2):
        left = random.uniform(-0.1, 0.8) * width
        right = left + height * random.uniform(0.3, 0.7)
        top, foot = horizon - 0.05 * height, horizon + 0.04 * height
        pickets = Grating(
            (pick(random, ((238, 236, 228), (60, 52, 46), (120, 84, 56))), None),
            (1 / pick(random, FENCE_PERIODS), 0),
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
        leaves = pick(random, _LEAVES)
        dapple = Grating((leaves, shade(leaves, 1.25)), (0.16, 0.11), duty=0.6)
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
        metal = Flat(pick(random, _METAL))
        post = Rectangle(Box(left, top, left + int(across), foot))
        shapes.append(Shape(Label.POLE, post, metal))
        crown = pick(random, ("disc", "board", "lamp", "bare"))
        middle, r = left + across / 2, height * random.uniform(0.018, 0.036)
        if crown == "disc":
            disc = Ellipse(Box(middle - r, top - r, middle + r, top + r))
            shapes.append(Shape(Label.SIGN, disc, Flat(pick(random, _SIGNS))))
        elif crown == "board":
            board = Rectangle(Box(middle - 2 * r, top, middle + 2 * r, top + 1.6 * r))
            shapes.append(Shape(Label.SIGN, board, Flat(pick(random, _SIGNS))))
        elif crown == "lamp":
            arm = Rectangle(Box(middle, top, middle + 0.08 * height, top + 2))
            shapes.append(Shape(Label.POLE, arm, metal))
    return shapes


def _bonnet(height: int, width: int) -> list[Shape]:
    """The camera's own car, which is void."""
    box = Box(0.1 * width, 0.94 * height, 0.9 * width, 1.2 * height)
    return [Shape(VOID, Ellipse(box), Flat((66, 70, 78)))]
