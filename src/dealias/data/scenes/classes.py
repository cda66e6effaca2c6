"""The classes of the scenes, and helpers that all parts of a street share."""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

from dealias.data.scenes.shapes import Colour

T = TypeVar("T")
Random = np.random.RandomState  # its stream is frozen, unlike that of numpy.random.Generator

VOID = 255
GRATING_PERIODS = (3.0, 4.5, 6.0, 9.0, 13.0)  # in pixels


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


def pick(random: Random, options: Sequence[T]) -> T:
    """One of the options, with equal probability."""
    return options[random.randint(len(options))]


def shade(colour: Colour, gain: float) -> Colour:
    """A brighter or darker colour."""
    red, green, blue = (min(255, round(gain * part)) for part in colour)
    return red, green, blue
