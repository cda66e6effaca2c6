"""People and vehicles that touch or nearly touch."""

from __future__ import annotations

from dealias.data.scenes.classes import GRATING_PERIODS, Label, Random, pick, shade
from dealias.data.scenes.shapes import Box, ConvexPolygon, Ellipse, Flat, Grating, Rectangle, Shape

_PAINTS = ((178, 40, 44), (44, 78, 142), (226, 226, 228), (52, 54, 60), (200, 156, 52))
_CARGO = ((234, 232, 226), (64, 124, 150), (206, 98, 46), (112, 140, 96))
_CLOTHES = ((186, 54, 76), (58, 72, 120), (226, 186, 74), (70, 66, 72), (90, 148, 138))
_SKIN = ((224, 182, 152), (150, 106, 80), (96, 66, 52))


def people(random: Random, height: int, width: int, foot: float, tallness: float) -> list[Shape]:
    """Small groups, shoulder to shoulder or a pixel or two apart."""
    shapes: list[Shape] = []
    for _ in range(2):
        x = random.uniform(0, width)
        for _ in range(random.randint(1, 4)):
            tall = height * tallness * random.uniform(0.8, 1)
            shapes += _person(random, x, foot, tall)
            x += 0.3 * tall + pick(random, (0.0, 1.0, 2.0))
    return shapes


def _person(random: Random, x: float, foot: float, tall: float) -> list[Shape]:
    top, half = foot - tall, 0.15 * tall
    head = Ellipse(Box(x - 0.09 * tall, top, x + 0.09 * tall, top + 0.2 * tall))
    coat = Ellipse(Box(x - half, top + 0.16 * tall, x + half, top + 0.68 * tall))
    trousers, hip = Flat(shade(pick(random, _CLOTHES), 0.7)), top + 0.5 * tall
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
        Shape(Label.PERSON, coat, Flat(pick(random, _CLOTHES))),
        Shape(Label.PERSON, head, Flat(pick(random, _SKIN))),
    ]


def traffic(random: Random, height: int, width: int, ground: float, tallness: float) -> list[Shape]:
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
        x += long + pick(random, (0.0, 1.0, 2.0, 4.0, 0.4 * height))
    return shapes


def _car(random: Random, left: float, ground: float, long: float, tall: float) -> list[Shape]:
    paint, top, right = pick(random, _PAINTS), ground - tall, left + long
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
        Shape(Label.CAR, ConvexPolygon(body), Flat(shade(paint, 0.92))),
        *_wheels(Label.CAR, (left + 0.2 * long, left + 0.8 * long), ground, 0.2 * tall),
    ]


def _truck(random: Random, left: float, ground: float, long: float, tall: float) -> list[Shape]:
    cargo, paint, top = pick(random, _CARGO), pick(random, _PAINTS), ground - tall
    right, split, sill = left + long, left + 0.74 * long, ground - 0.1 * tall
    ribs = Grating((cargo, shade(cargo, 0.8)), (1 / pick(random, GRATING_PERIODS), 0), (left, 0))
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
