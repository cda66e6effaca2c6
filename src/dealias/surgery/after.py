"""Find where the map of a strided module can be filtered after its activation."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dealias.layers import Subsample
from dealias.surgery.plan import Branch, Place
from dealias.surgery.resolution import Held, Pair, Reading, layouts_of
from dealias.surgery.trace import Call, Event, Trace
from dealias.surgery.units import Unit
from dealias.surgery.walk import modules, parameters


def branches_after(
    unit: Unit, trace: Trace, refused: Mapping[str, str]
) -> tuple[tuple[Branch, ...], str]:
    """Return the branches of a unit; none and the reason if one can't be filtered after it.

    Args:
        unit: the unit.
        trace: the recorded pass.
        refused: reasons by name for units that are known not to allow it.
    """
    if unit.name in refused:
        return (), refused[unit.name]
    if unit.others:
        return (), "runs at several steps, of which each would need a module of its own after it"
    found: list[Branch] = []
    for event in unit.events:
        branch, reason = _branch(event, trace)
        if branch is None:
            return (), reason
        found.append(branch)
    return tuple(found), ""


def _branch(event: Event, trace: Trace) -> tuple[Branch | None, str]:
    call, reading = event.call, event.reading
    name = call.name or "the model"
    if reading.kind not in ("convolution", "max_pool", "avg_pool"):
        return None, f"no convolution or pooling that could run at stride 1: {reading.kind}"
    if not event.learned_before and reading.kind == "convolution":
        return None, "takes the image itself, where stride 1 costs the most"
    steps = sum(e.call is call and e.reading.falls for e in trace.events)
    if not hasattr(call.module, "stride") or trace.calls[call.name] > 1 or steps > 1:
        return None, f"{name} runs the step by a function, or several times"
    stride = int(reading.stride[0]), int(reading.stride[1])
    chain = _up_to_activation(call) if reading.kind == "convolution" else [call]
    last = chain[-1] if chain else None
    linear = reading.kind == "avg_pool" or (max(reading.kernel) == 1 and last is None)
    if linear and call.argument is not None and _is_affine_in(call, reading):
        # For a linear module, filtering before it is the same as filtering after it.
        place = Place("channels_first", call.argument)
        return Branch("", stride, call.name, place, reading.channels[0]), ""
    if last is None:
        return None, f"no activation follows {name}, or not only that reads its map"
    fits, same = _is_dense_at_stride_1(call, stride)
    if not fits:
        return None, f"{name} at stride 1 does not give all samples around those at its stride"
    at = _where(last, trace)
    if at is None:
        return None, f"{last.name} runs several times, and no single module takes its output"
    sampled = at[1] is None
    if _is_watched(chain, sampled=sampled):
        return None, f"{name} or a module after it has hooks, which would get a larger map"
    dense = _with_larger_maps(chain, trace, sampled=sampled)
    return Branch(call.name, stride, at[0], at[1], reading.channels[1], same, dense), ""


def _up_to_activation(call: Call) -> list[Call]:
    """Return a call and its followers that act on each pixel by itself, up to the activation.

    Empty if there is no activation.
    """
    chain = [call]
    while True:
        following = _only_reader(chain[-1], _acts_by_pixel)
        if following is None:
            return []
        chain.append(following)
        if following.source is not None and _is_activation(following.module, following.source[1]):
            return chain


def _is_watched(chain: Sequence[Call], *, sampled: bool) -> bool:
    """Whether foreign hooks see or change the larger map; see :func:`_with_larger_maps`."""
    first, last = chain[0].module, chain[-1].module
    parts = [part for call in chain for part in modules(call.module)]
    return any(
        (part._forward_pre_hooks and part is not first)
        or (part._forward_hooks and not (sampled and part is last))
        for part in parts
    )


def _with_larger_maps(chain: Sequence[Call], trace: Trace, *, sampled: bool) -> frozenset[str]:
    """Return the modules that make a larger map if the first of a chain runs at stride 1.

    Args:
        chain: see :func:`_up_to_activation`.
        trace: the recorded pass.
        sampled: whether the output of the last module is subsampled.
    """
    calls = {*chain[:-1]} if sampled else {*chain}
    makers = calls.union(call for call in trace.every if calls.intersection(call.ancestors()))
    inside = (call for call in trace.every if chain[-1] in call.ancestors())
    around = (call for call in trace.every if call.outcome in makers)
    return frozenset(call.name for call in (*makers, *inside, *around))


def _only_reader(call: Call, accepts: Callable[[Call], bool]) -> Call | None:
    """Return the outermost accepted follower that contains every reader of a call's map."""
    outcome = call.outcome
    if outcome is None:
        return None
    for follower in outcome.followers:
        within = all(r is follower or follower in r.ancestors() for r in outcome.readers)
        if within and accepts(follower):
            return follower
    return None


def _where(last: Call, trace: Trace) -> tuple[str, Place | None] | None:
    """Return a module's path and the map's place: its output, or an argument of the next module."""
    if trace.calls[last.name] == 1:
        return last.name, None
    around = {last, *last.ancestors()}

    def accepts(follower: Call) -> bool:
        sequence = isinstance(follower.module, nn.Sequential)  # see below
        return follower not in around and trace.calls[follower.name] == 1 and not sequence

    reader = _only_reader(last, accepts)
    if reader is None or reader.argument is None:
        return None
    return reader.name, Place("channels_first", reader.argument)


def _acts_by_pixel(call: Call) -> bool:
    """Whether a module acts on each pixel by itself, so that it commutes with subsampling."""
    module = call.module
    if call.source is None or isinstance(module, nn.Sequential):
        return False  # the modules in a sequence are followers themselves
    if any(p.ndim > 1 for p in parameters(module)) or call.maps > 1:
        return False
    try:
        x, made = _example(call, (8, 8)), _plain_copy(module)
        whole, part = _run(made, x), _run(made, x[..., ::2, 1::2].contiguous())
    except Exception:  # a module may raise anything for another size
        return False
    if not isinstance(whole, Tensor) or whole.shape != x.shape:
        return False
    return _alike(whole[..., ::2, 1::2], part)


def _is_activation(module: nn.Module, channels: int) -> bool:
    """Whether a module that acts on each pixel is not affine, leaving normalisation aside."""
    if "norm" in type(module).__name__.lower():
        return any(_is_activation(child, channels) for child in modules(module)[1:])
    return _is_affine(module, (channels, 8, 8)) is False


def _is_affine_in(call: Call, reading: Reading) -> bool:
    """Whether a call takes the map of a step, [B, C, H, W], and is affine in it."""
    held = Held("channels_first", reading.size, reading.channels[0])
    if held not in layouts_of(call.source, reading.size):
        return False
    size = max(16, 2 * reading.kernel[0]), max(16, 2 * reading.kernel[1])
    return _is_affine(call.module, (reading.channels[0], *size)) is True


def _is_affine(module: nn.Module, shape: tuple[int, int, int]) -> bool | None:
    """Whether a module is affine in a map [C, H, W]; None if it does not accept one."""
    a, b = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    try:
        made = _plain_copy(module)
        total, zero = _run(made, a + b), _run(made, torch.zeros_like(a))
        return torch.allclose(total + zero, _run(made, a) + _run(made, b), atol=1e-4)
    except Exception:  # a module may raise anything for it
        return None


def _is_dense_at_stride_1(call: Call, stride: Pair) -> tuple[bool, Pair | None]:
    """Whether a module at stride 1, subsampled, equals the module itself; and how it pads."""
    try:
        strided, dense = _plain_copy(call.module), _plain_copy(call.module)
        dense.stride = (1, 1) if isinstance(dense.stride, tuple | list) else 1
        extents = _extents(call.module)
        n = max(16, *extents)
        # Sizes with all remainders modulo strides of 2 and 4.
        examples = [_example(call, (n + i, n + j)) for i, j in ((0, 3), (1, 2), (2, 0), (3, 1))]
        pairs = [(_run(strided, x), _run(dense, x)) for x in examples]
    except Exception:  # a module may raise anything for another stride
        return False, None
    for same in (None, extents):
        sample = Subsample(stride, same)
        if all(_equal(once, every, sample) for once, every in pairs):
            return True, same
    return False, None


def _extents(module: Any) -> Pair:
    def pair(value: Any) -> Pair:
        return (value[0], value[1]) if isinstance(value, tuple | list) else (value, value)

    kernel, dilation = pair(module.kernel_size), pair(getattr(module, "dilation", 1))
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def _equal(once: Any, every: Any, sample: Subsample) -> bool:
    if not (isinstance(once, Tensor) and isinstance(every, Tensor)):  # e.g. indices of maxima
        return False
    return _alike(once, sample(every))


def _alike(a: Any, b: Any) -> bool:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return False
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def _example(call: Call, size: Pair) -> Tensor:
    channels = call.source[1] if call.source is not None else 1
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, *size, generator=generator)


def _plain_copy(module: nn.Module) -> Any:
    """Return a float32 copy on the CPU, in evaluation mode and without hooks."""
    made = copy.deepcopy(module)
    for part in modules(made):
        part.training = False
        part._forward_hooks.clear()
        part._forward_pre_hooks.clear()
        for tensors in (part._parameters, part._buffers):
            tensors |= {name: _plain(t) for name, t in tensors.items() if t is not None}
    return made


def _plain(tensor: Tensor) -> Tensor:
    """Return a float32 copy on the CPU; for meta tensors, positive values, as for variances."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    if tensor.is_meta:
        generator = torch.Generator().manual_seed(0)
        return (0.5 + 0.5 * torch.rand(tensor.shape, generator=generator)).to(dtype)
    return tensor.detach().to("cpu", dtype)


@torch.no_grad()
def _run(module: nn.Module, x: Tensor) -> Any:
    return module(x.clone())  # the module may change it in place
