"""What is kept of a forward pass: calls of modules, steps, convolutions and sums."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from dealias.surgery.operations import Reading
from dealias.surgery.shapes import Pair

# Bits that every tensor carries: what it descends from. Steps and convolutions take further bits.
INPUT, LEARNED, FIRST = 1, 2, 4


@dataclass(eq=False)
class Call:
    """One call of a module: shapes of the first map in and the first map out."""

    name: str
    module: nn.Module
    parent: "Call | None"
    number: int = 0  # among the calls of the module
    argument: int | str | None = None
    source: tuple[int, ...] | None = None
    result: tuple[int, ...] | None = None
    maps: int = 0  # tensors of three dimensions or more among the arguments
    grids: dict[int | str, Pair] = field(default_factory=dict)  # pairs of integers among them
    attends: bool = False  # runs attention itself, not through a child
    result_sizes: set[Pair] = field(default_factory=set)  # of the steps inside

    def ancestors(self) -> "Iterator[Call]":
        """The calls around this one, innermost first."""
        call = self.parent
        while call is not None:
            yield call
            call = call.parent


@dataclass(frozen=True, eq=False)
class Event:
    """A step, a spatial convolution or an adaptive pooling, as it ran.

    `before` are the bits of the map it read; `bit` is the one it added.
    """

    call: Call
    reading: Reading
    before: int
    bit: int

    @property
    def learned_before(self) -> bool:
        """Whether a layer with weights ran before."""
        return bool(self.before & LEARNED)


@dataclass(frozen=True)
class Sum:
    """Two maps of one shape added, both of which descend from the model's input."""

    call: Call
    shape: tuple[int, ...]
    operands: Pair  # their bits


@dataclass
class Trace:
    """What one forward pass did, in order."""

    events: list[Event] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    used: int = 0  # bits of all that entered a product with weights or of two maps
