"""Try out what is inserted into a network: apart from the filters, nothing may change."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import nn

from dealias.surgery.insertion import remove_all
from dealias.surgery.plan import Branch
from dealias.surgery.record import record
from dealias.surgery.resolution import Pair
from dealias.surgery.trace import Trace
from dealias.surgery.work import Insertion


def try_out(model: nn.Module, work: Sequence[Insertion], example_input: Any, plain: Trace) -> str:
    """Insert everything, and run the network once.

    This can fail if the network reads the size of a map that is now larger, drops the map that a
    module returns, or runs all children of a unit.

    Args:
        model: the network.
        work: what to insert.
        example_input: see :func:`dealias.surgery.find_downsampling`.
        plain: the recorded pass of the plain network.

    Returns:
        What went wrong, in which case everything is removed again; empty if nothing did.
    """
    for insertion in work:
        insertion.carry_out(model)
    try:
        now = record(model, example_input, trained=bool(plain.in_training))
        problem = _difference(plain, now, work)
    except ValueError as error:
        problem = str(error)
    if problem:
        remove_all(model)
    return problem


def without_place_after(
    model: nn.Module, work: Sequence[Insertion], example_input: Any, plain: Trace
) -> dict[str, str]:
    """Find the sites that can't be filtered after their activation in this network, and why."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(i.done.site for i in work if i.done.step):
        alone = [i for i in work if i.done.site == name and isinstance(i.branch, Branch)]
        problem = try_out(model, alone, example_input, plain)
        if problem:
            found[name] = f"with a filter after its activation, {problem}"
        else:
            remove_all(model)
    return found


def _difference(plain: Trace, now: Trace, work: Sequence[Insertion]) -> str:
    """Say how the maps of a network differ in size, except those that should be larger."""
    if {*plain.sizes} != {*now.sizes}:
        return f"the model returns maps of {_sizes(now.sizes)}, not {_sizes(plain.sizes)}"
    dense = {name for i in work if isinstance(i.branch, Branch) for name in i.branch.dense}
    own = tuple(i.done.module for i in work)
    for before, after in zip(_maps(plain, dense, own), _maps(now, dense, own), strict=True):
        for name in before:
            if name in after and before[name] != after[name]:
                sizes = _sizes(sorted(after[name])), _sizes(sorted(before[name]))
                return f"{name or 'the model'} has maps of {sizes[0]}, not {sizes[1]}"
    return ""


def _maps(trace: Trace, dense: set[str], own: tuple[str, ...]) -> Iterator[dict[str, set[Pair]]]:
    """Yield the sizes of maps by the modules that make them, and by those that read them.

    Numbers of maps are not compared, since they may depend on the values, as in detectors.
    """
    made, read, trained = (defaultdict[str, set[Pair]](set) for _ in range(3))
    results = [(made, call.name, call.result) for call in trace.every]
    results += [(trained, name, shape) for name, shape in trace.in_training]
    for sizes, name, shape in results:
        if name not in dense and shape is not None and not name.startswith(own):
            sizes[name].add((shape[-2], shape[-1]))
    for event in trace.events:
        name = event.call.name
        if name not in dense and not name.startswith(own):
            read[name].add(event.reading.size)
    yield from (made, read, trained)


def _sizes(sizes: Iterable[Pair]) -> str:
    return " and ".join(f"{height} x {width}" for height, width in dict.fromkeys(sizes)) or "none"
