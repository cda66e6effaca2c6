"""Where the map of a strided module can be filtered after its activation."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dealias.layers import Subsample
from dealias.surgery.plan import Branch, Place
from dealias.surgery.resolution import Pair
from dealias.surgery.trace import Call, Event, Trace
from dealias.surgery.units import Unit
from dealias.surgery.walk import modules, parameters


def branches_after(unit: Unit, trace: Trace) -> tuple[tuple[Branch, ...], str]:
    """The branches of a unit; none if one of them can't be filtered after it, with the reason."""
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
    last = _activation_after(call) if reading.kind == "convolution" else call
    linear = reading.kind == "avg_pool" or (max(reading.kernel) == 1 and last is None)
    if linear and call.argument is not None:
        # A filter before it is the same as one after it.
        place = Place("channels_first", call.argument)
        return Branch("", stride, call.name, place, reading.channels[0]), ""
    if last is None:
        return None, f"no activation follows {name}, or not only that reads its map"
    dense, same = _is_dense_at_stride_1(call, stride)
    if not dense:
        return None, f"{name} at stride 1 does not give all samples around those at its stride"
    at = _where(last, trace)
    if at is None:
        return None, f"{last.name} runs several times, and no single module takes its output"
    return Branch(call.name, stride, at[0], at[1], reading.channels[1], same), ""


def _activation_after(call: Call) -> Call | None:
    """The activation that follows a call by way of modules that act on each pixel by itself."""
    while True:
        following = _only_reader(call, _acts_by_pixel)
        if following is None:
            return None
        if following.source is not None and _is_activation(following.module, following.source[1]):
            return following
        call = following


def _only_reader(call: Call, accepts: Callable[[Call], bool]) -> Call | None:
    """The outermost accepted follower in which every reader of the map of a call runs."""
    outcome = call.outcome
    if outcome is None:
        return None
    for follower in outcome.followers:
        within = all(r is follower or follower in r.ancestors() for r in outcome.readers)
        if within and accepts(follower):
            return follower
    return None


def _where(last: Call, trace: Trace) -> tuple[str, Place | None] | None:
    """The path of a module and the place of the map: its output, or an argument of the next."""
    if trace.calls[last.name] == 1:
        return last.name, None
    around = {last, *last.ancestors()}

    def accepts(follower: Call) -> bool:
        sequence = isinstance(follower.module, nn.Sequential)  # as below
        return follower not in around and trace.calls[follower.name] == 1 and not sequence

    reader = _only_reader(last, accepts)
    if reader is None or reader.argument is None:
        return None
    return reader.name, Place("channels_first", reader.argument)


def _acts_by_pixel(call: Call) -> bool:
    """Whether a module acts on each pixel by itself, so that it commutes with subsampling."""
    module = call.module
    if call.source is None or isinstance(module, nn.Sequential):
        return False  # the modules in a sequence follow by themselves
    if any(p.ndim > 1 for p in parameters(module)):
        return False
    try:
        x, made = _example(call, (8, 8)), _plain_copy(module)
        whole, part = _run(made, x), _run(made, x[..., ::2, 1::2].contiguous())
    except Exception:  # a module may refuse another size, in any way
        return False
    return (
        isinstance(whole, Tensor)
        and whole.shape == x.shape
        and torch.allclose(whole[..., ::2, 1::2], part, rtol=1e-4, atol=1e-5)
    )


def _is_activation(module: nn.Module, channels: int) -> bool:
    """Whether a module that acts on each pixel is not affine, apart from a normalisation."""
    if "norm" in type(module).__name__.lower():
        return any(_is_activation(child, channels) for child in modules(module)[1:])
    a, b = torch.randn(2, 1, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    try:
        made = _plain_copy(module)
        total, zero = _run(made, a + b), _run(made, torch.zeros_like(a))
        return not torch.allclose(total + zero, _run(made, a) + _run(made, b), atol=1e-4)
    except Exception:
        return False


def _is_dense_at_stride_1(call: Call, stride: Pair) -> tuple[bool, Pair | None]:
    """Whether a module at stride 1, subsampled, is the module itself; and how it pads."""
    strided, dense = _plain_copy(call.module), _plain_copy(call.module)
    dense.stride = (1, 1) if isinstance(dense.stride, tuple | list) else 1
    try:
        extents = _extents(call.module)
        n = max(16, *extents)
        # All remainders by a stride of 2 and 4.
        examples = [_example(call, (n + i, n + j)) for i, j in ((0, 3), (1, 2), (2, 0), (3, 1))]
        pairs = [(_run(strided, x), _run(dense, x)) for x in examples]
    except Exception:  # a module may refuse another stride, in any way
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
    if not (isinstance(once, Tensor) and isinstance(every, Tensor)):  # the indices of a maximum
        return False
    every = sample(every)
    return once.shape == every.shape and torch.allclose(once, every, rtol=1e-4, atol=1e-5)


def _example(call: Call, size: Pair) -> Tensor:
    channels = call.source[1] if call.source is not None else 1
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, *size, generator=generator)


def _plain_copy(module: nn.Module) -> Any:
    """A copy in float32 on the CPU, in evaluation mode and without hooks."""
    made = copy.deepcopy(module).float().cpu()
    for part in modules(made):
        part.training = False
        part._forward_hooks.clear()
        part._forward_pre_hooks.clear()
    return made


@torch.no_grad()
def _run(module: nn.Module, x: Tensor) -> Any:
    return module(x.clone())  # which it may change in place
