"""Find units: the modules that downsampling steps belong to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dealias.surgery.plan import Excluded, Place
from dealias.surgery.resolution import Held, Layout, Pair, layouts_of
from dealias.surgery.trace import Call, Event, Trace
from dealias.surgery.walk import host_of

# Functions that lower the resolution and the modules that do the same, by kind of step.
_MODULES = {
    "avg_pool": ("avg_pool2d", "AvgPool2d"),
    "convolution": ("conv2d", "Conv2d"),
    "interpolation": ("interpolate", "Upsample"),
    "max_pool": ("max_pool2d", "MaxPool2d"),
}
# Rows or columns of the largest grid that counts as small: context is pooled to 1, 2, 3, 6 or 8
# cells.
_LARGEST_GRID = 8


@dataclass(eq=False)
class Unit:
    """A module that lowers the resolution once, or a step outside any such module.

    `events` holds its parallel branches.
    """

    call: Call
    events: list[Event]
    attached: bool
    size: Pair
    result_size: Pair
    channels: Pair
    layout: Layout
    number: int = 1  # number among steps of the same name
    others: list["Unit"] = field(default_factory=list)  # further calls of the same module

    @property
    def name(self) -> str:
        """Path of the module, followed by the kind of the step if the unit is not a module."""
        if self.attached:
            return self.call.name
        number = f"#{self.number}" if self.number > 1 else ""
        return f"{self.call.name}:{self.events[0].reading.kind}{number}"

    @property
    def bits(self) -> int:
        """Bits that the unit adds to a map."""
        return sum(event.bit for event in self.events)

    @property
    def before(self) -> int:
        """Bits of the map that enters."""
        return self.events[0].before

    @property
    def place(self) -> Place | None:
        """Which argument holds the map in every call; None if it can't be taken there."""
        places = {self._place, *(other._place for other in self.others)}
        return self._place if len(places) == 1 else None

    @property
    def _place(self) -> Place | None:
        call = self.call
        grid = next((key for key, size in call.grids.items() if size == self.size), None)
        if not self.attached or self._is_container or call.argument is None:
            return None
        if self.layout == "tokens" and grid is None:
            return None
        return Place(self.layout, call.argument, grid)

    @property
    def _is_container(self) -> bool:
        return host_of(self.call.module, "") is None

    @property
    def reason_for_no_place(self) -> str:
        """Why `place` is None."""
        if self.attached and self._place is not None:
            return "takes the map in different ways from one call to the next"
        if self.attached and self._is_container:
            return "a container that runs its children, as it would a filter"
        if self.attached:
            return "tokens enter without their height and width"
        where = self.call.name or "the model itself"
        reason = f"a function called in {where}, which is no unit: no module to put a filter before"
        function, module = _MODULES.get(self.main.reading.kind, ("", ""))
        return f"{reason}; replace F.{function} by nn.{module}" if function else reason

    @property
    def main(self) -> Event:
        """The main branch: the one with the largest kernel, among convolutions if there are any."""

        def rank(event: Event) -> tuple[bool, int]:
            rows, columns = event.reading.kernel
            return event.reading.kind == "convolution", rows * columns

        return max(self.events, key=rank)

    @property
    def kind_and_kernel(self) -> tuple[str, Pair]:
        """The kind and kernel of the main branch, or of a patch embedding or merging.

        A patch embedding is a convolution of the image with a kernel as large as its stride. A
        patch merging consists of strided slices that together cover the map.
        """
        main = self.main.reading
        rows, columns = (int(s) for s in main.stride)
        if main.kind == "slicing" and len(self.events) == rows * columns:
            return "patch_merging", (rows, columns)
        on_image = not self.events[0].learned_before
        if main.kind == "convolution" and main.kernel == (rows, columns) and on_image:
            return "patch_embedding", main.kernel
        return main.kind, main.kernel


def find_units(trace: Trace, *, blocks: bool = False) -> tuple[list[Unit], list[Excluded]]:
    """Return the units of a recorded pass in order, and the steps that belong to none.

    Args:
        trace: the recorded pass.
        blocks: whether the unit of a strided depthwise convolution is the block around it.
    """
    units: list[Unit] = []
    excluded: dict[tuple[str, str], Excluded] = {}
    for event in trace.events:
        if not event.reading.falls:
            continue
        unit = (_block(event, trace) if blocks else None) or _smallest_unit(event)
        reason = _reason_for_none(event, trace)
        if reason:
            name, kind = unit.call.name, event.reading.kind
            excluded.setdefault((name, kind), Excluded(name, kind, reason))
        else:
            units.append(unit)
    return _once(_merge_branches(units)), list(excluded.values())


def _reason_for_none(event: Event, trace: Trace) -> str:
    step = event.reading
    if step.kind == "adaptive_pool" and _is_context(event, trace):
        rows, columns = step.result_size
        return f"pools to a grid of {rows} x {columns} cells, as context"
    if step.result_size == (1, 1) and step.kind != "convolution":
        return "pools the whole map"
    if step.resizes and not event.learned_before:
        return "resizes the image, before any layer"
    if step.resizes and not event.bit & trace.used:
        return "resizes a result, after every layer"
    if step.kind == "interpolation" and any(
        event.before & other.bit
        and other.reading.kind == "adaptive_pool"
        and other.reading.size == step.result_size
        for other in trace.events
    ):
        return "brings a grid of cells back to the size of the map"
    if _thins_keys(event, trace):
        return "thins out the keys and values of an attention that keeps the resolution"
    return ""


def _is_context(pooling: Event, trace: Trace) -> bool:
    """Whether an adaptive pooling gathers context, instead of making a smaller map to use further.

    Two signs of context are a small grid and a map that is enlarged back. One sign is enough,
    unless the grid is the input of a convolution larger than 1x1 or of a further step.
    """
    size, grid = pooling.reading.size, pooling.reading.result_size
    if 1 in grid:
        return True
    small = max(grid) <= _LARGEST_GRID
    enlarged = any(
        event.before & pooling.bit
        and (event.reading.size, event.reading.result_size) == (grid, size)
        for event in trace.enlargements
    )
    if any(trace.takes(event, pooling.bit, pooling.reading) for event in trace.events):
        return small and enlarged
    return small or enlarged


def _thins_keys(event: Event, trace: Trace) -> bool:
    """Whether a step reduces the keys and values of an attention around it."""
    return any(
        event.bit & attention.thinned
        and attention.call.holds(event.call)
        and attention.call.source is not None
        and attention.call.source == attention.call.result
        for attention in trace.attentions
    )


def _smallest_unit(event: Event) -> Unit:
    step = event.reading
    for call in (event.call, *event.call.ancestors()):
        unit = _unit(call, [event], step.size, step.result_size, padding=step.padding)
        if unit is not None:
            return unit
    return Unit(
        event.call, [event], False, step.size, step.result_size, step.channels, "channels_first"
    )


def _block(event: Event, trace: Trace) -> Unit | None:
    """Return the block of a strided depthwise convolution; None if there is none.

    The block is the smallest unit whose channels differ from those of the convolution: in MobileNet
    and EfficientNet it expands them before and projects them after it. It has no other convolution
    larger than 1x1.
    """
    if not event.reading.depthwise:
        return None
    for call in event.call.ancestors():
        step = event.reading
        unit = _unit(call, [event], step.size, step.result_size, padding=step.padding)
        if any(
            call in e.call.ancestors() and e is not event and e.reading.kind == "convolution"
            for e in trace.events
        ):
            return None
        if unit is not None and unit.channels != step.channels:
            return unit
    return None


def _unit(
    call: Call, events: list[Event], size: Pair, result_size: Pair, *, padding: int = 0
) -> Unit | None:
    """Return the unit of a call, if the call takes a map of one size and returns one of the other.

    The map may be smaller by its padding.
    """
    padded = _padded_tokens(call, size, padding)
    held = layouts_of(call.source, size, missing=padding) or ([padded] if padded else [])
    pairs = [(given, result) for given in held for result in layouts_of(call.result, result_size)]
    if not pairs:
        return None
    # If two layouts fit a shape, the one that fits the other shape is meant.
    given, result = next((pair for pair in pairs if pair[0].layout == pair[1].layout), pairs[0])
    channels = given.channels, result.channels
    return Unit(call, events, True, given.size, result_size, channels, given.layout)


def _padded_tokens(call: Call, size: Pair, padding: int) -> Held | None:
    """Return the map that enters as tokens with its size, and is padded; None if there is none."""
    for grid in call.grids.values():
        if all(0 <= n - m <= padding for n, m in zip(size, grid, strict=True)):
            return next(iter(layouts_of(call.source, grid)), None)
    return None


def _merge_branches(units: Sequence[Unit]) -> list[Unit]:
    """Replace parallel units that lead from one map to the next by the unit around them."""
    merged: list[Unit] = []
    for unit in units:
        for i, other in enumerate(merged):
            around = _around(other, unit)
            if around is not None:
                merged[i] = around
                break
        else:
            merged.append(unit)
    return merged


def _around(a: Unit, b: Unit) -> Unit | None:
    if (a.size, a.result_size) != (b.size, b.result_size) or not a.attached or not b.attached:
        return None
    if b.before & a.bits:
        return None
    b_calls = {b.call, *b.call.ancestors()}
    common = next((call for call in (a.call, *a.call.ancestors()) if call in b_calls), None)
    return None if common is None else _unit(common, [*a.events, *b.events], a.size, a.result_size)


def _once(units: Iterable[Unit]) -> list[Unit]:
    """Combine all calls of a module into one unit, for instance on the levels of a pyramid."""
    first: dict[object, Unit] = {}
    for unit in units:
        key = unit.name if unit.attached else (unit.name, unit.size, unit.result_size)
        kept = first.setdefault(key, unit)
        if unit.attached and kept is not unit:
            kept.others.append(unit)
    numbers: Counter[str] = Counter()
    for unit in first.values():
        numbers[unit.name] += 1
        unit.number = numbers[unit.name]
    return list(first.values())
