"""Record one forward pass: calls of modules, steps, convolutions, sums and attention."""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from dealias.surgery.attention import AttentionReader
from dealias.surgery.descent import FIRST, INPUT, LEARNED, Descent
from dealias.surgery.resolution import (
    Pair,
    Reading,
    Shape,
    read_fall,
    read_operation,
    read_slices,
)
from dealias.surgery.walk import named_modules

_PRODUCTS = {"convolution", "addmm", "mm", "bmm", "baddbmm"}


@dataclass(eq=False)
class Call:
    """One call of a module, with the shapes of its first input map and its first output map."""

    name: str
    module: nn.Module
    parent: "Call | None"
    number: int = 0  # index among the calls of the module
    argument: int | str | None = None
    source: tuple[int, ...] | None = None
    result: tuple[int, ...] | None = None
    maps: int = 0  # tensors of three dimensions or more among the arguments
    grids: dict[int | str, Pair] = field(default_factory=dict)  # pairs of integer arguments
    outcome: "Call | None" = None  # the innermost call that made its first output map
    followers: "list[Call]" = field(default_factory=list)  # calls that take the map it made
    readers: "list[Call]" = field(default_factory=list)  # calls with operations that read that map

    def ancestors(self) -> "Iterator[Call]":
        """Yield the calls around this one, innermost first."""
        call = self.parent
        while call is not None:
            yield call
            call = call.parent

    def holds(self, other: "Call") -> bool:
        """Whether another call is this call or inside it."""
        return self is other or self in other.ancestors()


@dataclass(frozen=True, eq=False)
class Event:
    """A downsampling step, a spatial convolution or an adaptive pooling.

    `before` holds the bits of its input, and `bit` is the bit that it added.
    """

    call: Call
    reading: Reading
    before: int
    bit: int

    @property
    def learned_before(self) -> bool:
        """Whether its input went through a layer with weights."""
        return bool(self.before & LEARNED)


@dataclass(frozen=True)
class Sum:
    """A sum of two maps of the same shape that both descend from the input of the model."""

    call: Call
    shape: tuple[int, ...]
    operands: Pair  # bits of the two maps


class Attention(NamedTuple):
    """The call that runs an attention, and the bits of its keys and values that queries lack."""

    call: Call
    thinned: int


class _Slice(NamedTuple):
    """A strided slice along one axis of a tensor, read as that of a map in either layout."""

    call: Call
    axis: int
    step: int
    source: Shape
    readings: tuple[Reading, ...]
    before: int
    bit: int


@dataclass
class Trace:
    """The events, sums and attentions of one forward pass, in order."""

    events: list[Event] = field(default_factory=list)
    enlargements: list[Event] = field(default_factory=list)  # interpolations, without a bit
    sums: list[Sum] = field(default_factory=list)
    attentions: list[Attention] = field(default_factory=list)
    used: int = 0  # bits of all inputs of layers with weights and of products of maps
    calls: Counter[str] = field(default_factory=Counter)  # number for each module
    every: list[Call] = field(default_factory=list)  # all calls, in the order they began
    in_training: list[tuple[str, Shape | None]] = field(default_factory=list)  # names and results
    idle: list[tuple[str, str]] = field(default_factory=list)  # steps that did not run, with types
    sizes: list[Pair] = field(default_factory=list)  # (H, W) of the maps that the model returns
    outputs: list[tuple[Shape, int]] = field(default_factory=list)  # their shapes and bits

    def takes(self, event: Event, bit: int, made: Reading) -> bool:
        """Whether a step or convolution takes the map an operation made, with no step between.

        Args:
            event: the step or convolution.
            bit: the bit that the operation added.
            made: reading of the operation. Its map may have been padded, but not back to the size
                of its input.
        """
        reading = event.reading
        if not event.before & bit or not (reading.falls or reading.kind == "convolution"):
            return False
        padding = 0 if reading.resizes else reading.padding
        for n, small, large in zip(reading.size, made.result_size, made.size, strict=True):
            if not small <= n <= small + padding or n >= large > small:
                return False
        return not any(
            other.reading.falls and other.before & bit and other.bit & event.before
            for other in self.events
        )


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode and hooks that fill `trace` while a model runs."""

    def __init__(self, inputs: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self._stack: list[Call] = []
        self._handles: list[Any] = []
        self._descent = Descent()
        self._attention = AttentionReader(self._descent)
        self._sliced: MutableMapping[Tensor, _Slice] = WeakTensorKeyDictionary()
        self._slices: list[_Slice] = []  # slices that may turn out to lower the resolution
        self._makers: MutableMapping[Tensor, Call] = WeakTensorKeyDictionary()
        self._next = FIRST
        for tensor in inputs:
            self._descent.set(tensor, INPUT)

    def hook(self, model: nn.Module) -> None:
        """Add hooks to every module of the model."""
        for name, module in named_modules(model):
            self._handles += [
                nn.Module.register_forward_pre_hook(
                    module, self._enter(name), prepend=True, with_kwargs=True
                ),
                nn.Module.register_forward_hook(module, self._leave),
            ]

    def remove_hooks(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def place(self) -> str:
        """The module that is running, for messages."""
        name = self._stack[-1].name if self._stack else ""
        return f", in {name}" if name else ""

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            parent = self._stack[-1] if self._stack else None
            call = Call(name, module, parent, self.trace.calls[name])
            self.trace.calls[name] += 1
            self.trace.every.append(call)
            given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
            for key, value in given:
                if call.argument is None and _is_map(value):
                    call.argument, call.source = key, tuple(value.shape)
                    if value in self._makers:
                        self._makers[value].followers.append(call)
                if _is_grid(value):
                    call.grids[key] = (value[0], value[1])
            call.maps = sum(_is_map(leaf) for leaf in tree_leaves((args, kwargs)))
            self._stack.append(call)

        return enter

    def _leave(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = self._stack.pop()
        first = _first_of(output)
        call.result = shape_of(output)
        if call.result is not None:
            maker = self._makers.get(first)
            if maker is None or call not in maker.ancestors():
                self._makers[first] = maker = call
            call.outcome = maker
            self._note_fall(call, args, first)
        if call.parent is None:
            self._note_outputs(call, output)

    def _note_outputs(self, call: Call, output: Any) -> None:
        """Note the sizes of the maps that the model returns, and the model as their reader."""
        for leaf in tree_leaves(dict(output) if isinstance(output, Mapping) else output):
            if not isinstance(leaf, Tensor):
                continue
            if leaf in self._makers:
                self._makers[leaf].readers.append(call)
            if leaf.ndim == 4:
                self.trace.sizes.append((leaf.shape[2], leaf.shape[3]))
                self.trace.outputs.append((tuple(leaf.shape), self._descent.of(leaf)))

    def _note_fall(self, call: Call, args: tuple[Any, ...], result: Tensor) -> None:
        """Note a module that lowers the resolution by reshaping, not by a single operation."""
        reading = read_fall(call.source, call.result, call.grids.values())
        if reading is None or self._is_explained(call, reading):
            return
        self._slices = [part for part in self._slices if not call.holds(part.call)]
        event = self._event(call, reading, self._descent.of(args))
        self._descent.add(result, event.bit)

    def _is_explained(self, call: Call, fall: Reading) -> bool:
        """Whether operations in a call lead from a fall's input size to the size of its result."""
        every = (*self.trace.events, *self.trace.enlargements)
        inside = [event.reading for event in every if call.holds(event.call)]
        entered = any(reading.falls and reading.size == fall.size for reading in inside)
        return any(
            reading.result_size == fall.result_size
            and (reading.falls or entered or reading.size == fall.size)
            for reading in inside
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self._stack:
            self._note(func, args, kwargs, out)
        return out

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        name = func._schema.name.split("::")[-1]
        names = (argument.name for argument in func._schema.arguments)
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        bits = before = self._descent.of((args, kwargs))
        call = self._stack[-1]
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and leaf in self._makers:
                self._makers[leaf].readers.append(call)
        if name in _PRODUCTS:
            bits |= LEARNED
            self.trace.used |= before
        if name in ("add", "add_"):
            self._note_sum(call, given.get("self"), given.get("other"))
        self._note_attention(call, self._attention.read(name, given, out))
        if name == "slice":
            bits |= self._note_slice(call, given, out, before)
        else:
            bits |= self._note_reading(call, read_operation(name, given, out), before)
        for result in out if isinstance(out, tuple | list) else (out,):
            if isinstance(result, Tensor):
                self._descent.set(result, bits)
                if name.endswith("_") and result._base is not None:
                    self._descent.add(result._base, bits)

    def _note_reading(self, call: Call, reading: Reading | None, before: int) -> int:
        """Note an operation on maps; return the bit that it adds, 0 for none."""
        if reading is None:
            return 0
        if reading.falls or _is_kept(reading):
            return self._event(call, reading, before).bit
        if reading.kind == "interpolation" and reading.size != reading.result_size:
            self.trace.enlargements.append(Event(call, reading, before, 0))
        return 0

    def _event(self, call: Call, reading: Reading, before: int) -> Event:
        event = Event(call, reading, before, self._new_bit())
        self._add(event)
        return event

    def _new_bit(self) -> int:
        bit = self._next
        self._next <<= 1
        return bit

    def _add(self, event: Event) -> None:
        """Add an event, preceded by the slices along one axis whose map it takes."""
        for part in reversed(self._slices.copy()):
            taken = [r for r in part.readings if self.trace.takes(event, part.bit, r)]
            if taken and part in self._slices:
                self._slices.remove(part)
                if taken[0].falls:
                    self._add(Event(part.call, taken[0], part.before, part.bit))
        insort(self.trace.events, event, key=lambda e: e.bit)

    def _note_attention(self, call: Call, thinned: int) -> None:
        if isinstance(call.module, nn.MultiheadAttention) and call.parent is not None:
            call = call.parent  # it reduces the keys and values before the call
        if thinned:
            self.trace.attentions.append(Attention(call, thinned))

    def _note_sum(self, call: Call, a: Any, b: Any) -> None:
        if not (_is_map(a) and _is_map(b)) or a.shape != b.shape:
            return
        operands = self._descent.of(a), self._descent.of(b)
        if operands[0] & operands[1] & INPUT:
            self.trace.sums.append(Sum(call, tuple(a.shape), operands))

    def _note_slice(self, call: Call, given: Mapping[str, Any], out: Any, before: int) -> int:
        """Note a strided slice; return the bit that it adds, 0 for none.

        Two slices along neighbouring axes are a step. A single slice is a step only if a step or
        convolution takes its map; other slices are of channels, or of halves of a vector.
        """
        source, step = given["self"], given.get("step", 1)
        if step == 1 or source.ndim != 4:
            return 0
        axis = given.get("dim", 0) % 4
        first = self._sliced.get(source)
        if first is not None and {axis, first.axis} in ({1, 2}, {2, 3}):
            readings = read_slices({first.axis: first.step, axis: step}, first.source, out.shape)
            both = next(reading for reading in readings if min(reading.stride) > 1)
            return self._event(call, both, first.before).bit
        shape = tuple(source.shape)
        readings = read_slices({axis: step}, shape, out.shape)
        part = _Slice(call, axis, step, shape, tuple(readings), before, self._new_bit())
        self._sliced[out] = part
        if before & INPUT:
            self._slices.append(part)
        return part.bit


def shape_of(output: Any) -> Shape | None:
    """Return the shape of the first map that a module returns; None if it returns no map."""
    first = _first_of(output)
    return tuple(first.shape) if _is_map(first) else None


def _first_of(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and output else output


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim in (3, 4) and value.is_floating_point()


def _is_grid(value: Any) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return all(isinstance(v, int) for v in value)


def _is_kept(reading: Reading) -> bool:
    """Whether to record an operation that keeps the resolution."""
    if reading.kind == "convolution":
        return max(reading.kernel) > 1
    return reading.kind == "adaptive_pool"
