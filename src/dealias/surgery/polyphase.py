"""Find the steps of a network at which each image can choose its samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod

from dealias.surgery.plan import Excluded, Place
from dealias.surgery.resolution import Pair, Reading, Shape
from dealias.surgery.trace import Trace
from dealias.surgery.units import Unit

_UPSAMPLED = 1.5  # padding enlarges maps too, but less


@dataclass(frozen=True)
class PhaseSite:
    """A step before which maps can be rolled by the phase that each image chooses.

    `spacing` is the distance between the samples that enter, in pixels of the network's input.
    """

    name: str
    kind: str
    place: Place
    stride: Pair
    channels: int
    spacing: Pair


def phase_sites(trace: Trace, units: Sequence[Unit]) -> tuple[list[PhaseSite], list[Excluded]]:
    """Return the steps at which images can choose, in order, and the others with the reason.

    Args:
        trace: the recorded pass.
        units: every use of a unit in the order of execution.

    Raises:
        ValueError: maps that chose their samples independently would meet in the network: two steps
            run side by side, or a map is enlarged after a step.
    """
    sites: list[PhaseSite] = []
    left: list[Excluded] = []
    for unit in units:
        place, kind = unit.place, unit.kind_and_kernel[0]
        stride = _whole(unit)
        shared = any(unit in first.others for first in units)
        if unit.others or shared:
            reason = "one module for several steps, of which each would choose"
        elif unit.main.reading.resizes or stride is None:
            reason = "takes no samples that an image could choose among"
        elif place is None:
            reason = unit.reason_for_no_place
        else:
            before = [_whole(other) or (1, 1) for other in units if other.bits & unit.before]
            spacing = prod(s[0] for s in before), prod(s[1] for s in before)
            sites.append(PhaseSite(unit.name, kind, place, stride, unit.channels[0], spacing))
            continue
        left.append(Excluded(unit.name, kind, f"takes the regular samples: {reason}"))
    chosen = {site.name for site in sites}
    for problem in _meetings(trace, units, chosen):
        raise ValueError(f"sampling: {problem}")
    return sites, left


def _whole(unit: Unit) -> Pair | None:
    rows, columns = unit.main.reading.stride
    return (int(rows), int(columns)) if rows == int(rows) and columns == int(columns) else None


def _meetings(trace: Trace, units: Sequence[Unit], chosen: set[str]) -> Iterator[str]:
    """Describe where maps meet that are displaced against each other."""
    for number, unit in enumerate(units):
        for other in units[:number]:
            apart = not (unit.bits & other.before or other.bits & unit.before)
            if apart and chosen & {unit.name, other.name}:
                yield (
                    f"expected steps one after another, got {other.name or 'the model'} and "
                    f"{unit.name or 'the model'} side by side, which would choose on their own"
                )
    last = any(unit.layout == "channels_last" for unit in units)
    taken = [(_unpadded(event.reading), event.before) for event in trace.events]
    returned = [(_size(shape, last), bits) for shape, bits in trace.outputs]
    for unit in units:
        for size, bits in (*taken, *returned):
            limit = [_UPSAMPLED * length for length in unit.result_size]
            larger = any(n > most for n, most in zip(size, limit, strict=True))
            if unit.name in chosen and unit.bits & bits and larger:
                yield (
                    f"expected a network that returns maps at the resolution of its steps, got one "
                    f"that enlarges maps to {size[0]} x {size[1]} after {unit.name or 'the model'}"
                )


def _unpadded(reading: Reading) -> Pair:
    """Return an upper bound of the size of an operation's input without its padding."""
    rows, columns = (
        min(size, ceil(result * stride))
        for size, result, stride in zip(
            reading.size, reading.result_size, reading.stride, strict=True
        )
    )
    return rows, columns


def _size(shape: Shape, channels_last: bool) -> Pair:
    """Return the size of a returned map, in the layout in which it is smaller."""
    first, last = (shape[2], shape[3]), (shape[1], shape[2])
    return min(first, last, key=max) if channels_last else first
