"""Record one forward pass, without changing the model."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from dealias.surgery.resolution import Shape
from dealias.surgery.trace import Recorder, Trace, shape_of
from dealias.surgery.walk import modules, named_modules, parameters

_STEPS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)


def record(model: nn.Module, example_input: Any, *, trained: bool = False) -> Trace:
    """Run the model once, without gradients and in evaluation mode, and record the pass.

    Args:
        model: any module; flags, buffers and random state are restored.
        example_input: a tensor; a tuple of arguments; a dict of keyword arguments; or a list, which
            is a single argument, as the images of detection models are.
        trained: whether to run it in training mode too, as far as it gets with only the example:
            heads that are used only in training may share an activation, or read a map that no
            other module reads.

    Raises:
        ValueError: the model is not a module or is a TorchScript module, the input has no tensor,
            or the model fails on it.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules(model)):
        raise ValueError("model: expected Python modules, got TorchScript, which takes no hooks")
    recorder = Recorder(_tensors(example_input))
    recorder.hook(model)
    try:
        run(model, example_input, recorder)
    finally:
        recorder.remove_hooks()
    trace = recorder.trace
    if trained:
        trace.in_training = _results_in_training(model, example_input)
        trace.calls |= Counter(name for name, _ in trace.in_training)
    trace.idle = [
        (name, type(module).__name__)
        for name, module in named_modules(model)
        if name not in trace.calls and _is_strided(module)
    ]
    return trace


def _is_strided(module: nn.Module) -> bool:
    stride = getattr(module, "stride", 1)
    lengths = stride if isinstance(stride, tuple | list) else (stride,)
    return isinstance(module, _STEPS) and any(isinstance(s, int) and s > 1 for s in lengths)


def _results_in_training(model: nn.Module, example_input: Any) -> list[tuple[str, Shape | None]]:
    """Return the shapes of modules' maps in training, up to where the pass fails, if it does."""
    found: list[tuple[str, Shape | None]] = []

    def note(name: str) -> Any:
        return lambda _module, _args, output: found.append((name, shape_of(output)))

    handles = [
        nn.Module.register_forward_hook(module, note(name)) for name, module in named_modules(model)
    ]
    args, kwargs = _arguments(example_input)
    try:
        with _as_it_was(model), contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing is trained
            for module in modules(model):
                # The statistics of one example fail if its map is a single pixel.
                module.training = "norm" not in type(module).__name__.lower()
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def run(model: nn.Module, example_input: Any, recorder: Recorder | None = None) -> None:
    """Run the model once like :func:`record`, with or without a recorder."""
    args, kwargs = _arguments(example_input)
    tensors = _tensors(example_input)
    with _as_it_was(model), recorder or contextlib.nullcontext():
        try:
            model(*args, **kwargs)
        except Exception as error:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            place = recorder.place() if recorder else ""
            raise ValueError(
                f"the model fails on the example input of shape {shapes}{place}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _arguments(example_input: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_input, Mapping):
        return (), dict(example_input)
    return (example_input if isinstance(example_input, tuple) else (example_input,)), {}


def _tensors(example_input: Any) -> list[Tensor]:
    leaves = tree_leaves(_arguments(example_input))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if not tensors:
        raise ValueError(f"example_input holds no tensor: {type(example_input).__name__}")
    return tensors


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Use evaluation mode without gradients; restore flags, buffers and random state afterwards."""
    every = [(module, module.training, dict(module._buffers)) for module in modules(model)]
    devices = {t.device.index or 0 for t in parameters(model) if t.device.type == "cuda"}
    # The recorder sees nothing in inference mode.
    quiet = torch.inference_mode(False), torch.no_grad()
    with torch.random.fork_rng(devices=sorted(devices)), quiet[0], quiet[1]:
        copies = {b: b.clone() for _, _, held in every for b in held.values() if b is not None}
        # Buffers made in inference mode can't be changed outside it, only replaced.
        fixed = {b: copies.pop(b) for b in [*copies] if b.is_inference()}
        try:
            for module, _, held in every:
                # Not model.eval(), which some networks override to freeze layers.
                module.training = False
                module._buffers.update({n: fixed[b] for n, b in held.items() if b in fixed})
            yield
        finally:
            for module, flag, held in every:
                module.training = flag
                module._buffers.clear()
                module._buffers.update(held)
            for buffer, copy in copies.items():
                buffer.copy_(copy)
