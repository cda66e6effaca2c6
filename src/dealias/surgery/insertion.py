"""Hang modules on others, and take them off, without renaming anything.

The hooks are functions of this module without state: they reach what is inserted through the
module that they are called with, so copies and pickles of a network call their own.
"""

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dealias.layers import FrequencyMixing
from dealias.surgery.place import Place
from dealias.surgery.report import Report
from dealias.surgery.walk import modules, named_modules, submodule

FILTER, MIXING = "dealias_filter", "frequency_mixing"
# What is hung on a module, kept by it, and what was put into a network, kept by that: neither is in
# the state dict, and both go with copies and pickles.
_HELD, _RECORD = "_dealias_held", "_dealias_report"


@dataclass(frozen=True)
class _Held:
    """A hook, and the biases by which folding is told.

    Pickled, the handle also keeps later hooks of another process from taking its number.
    """

    handle: RemovableHandle
    bias: nn.Parameter | None = None  # of the convolution
    own_bias: nn.Parameter | None = None  # of the mixing


class InputFilter(nn.Module):
    """Filter the map among the arguments of a module."""

    def __init__(self, filter: nn.Module, place: Place) -> None:  # noqa: A002
        super().__init__()
        self.filter = filter
        self.place = place

    def forward(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with the map filtered."""
        return self.place.put(args, kwargs, self.filter(self.place.take(args, kwargs)))

    def extra_repr(self) -> str:
        """Layout of the map."""
        return self.place.layout


def put_filter(host: nn.Module, filter: nn.Module, place: Place) -> None:  # noqa: A002
    """Filter what enters a module."""
    nn.Module.add_module(host, FILTER, InputFilter(filter, place).train(host.training))
    hook = nn.Module.register_forward_pre_hook(host, _filter_input, with_kwargs=True)
    host.__dict__.setdefault(_HELD, {})[FILTER] = _Held(hook)


def put_mixing(host: nn.Module, mixing: nn.Module) -> None:
    """Mix the frequencies of what leaves a convolution."""
    mixing.register_load_state_dict_pre_hook(_keep_if_absent)  # type: ignore[no-untyped-call]
    nn.Module.add_module(host, MIXING, mixing.train(host.training))
    hook = nn.Module.register_forward_hook(host, _mix_output)
    held = _Held(hook, host._parameters.get("bias"), _own_bias(host))
    host.__dict__.setdefault(_HELD, {})[MIXING] = held


def _keep_if_absent(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let checkpoints of the plain network load strictly: they leave the module as it is."""
    if not any(key.startswith(prefix) for key in state_dict):
        state_dict |= {prefix + key: value for key, value in module.state_dict().items()}


def inserted(model: nn.Module) -> list[str]:
    """Paths of what was put in."""
    return [
        f"{name}.{child}".lstrip(".")
        for name, module in named_modules(model)
        for child in module.__dict__.get(_HELD, ())
    ]


def remove_all(model: nn.Module) -> None:
    """Take out what was put in."""
    for module in modules(model):
        module.__dict__.pop(_RECORD, None)
        everything: dict[str, _Held] = module.__dict__.pop(_HELD, {})
        for child, held in everything.items():
            held.handle.remove()
            delattr(module, child)


def keep_record(model: nn.Module, report: Report) -> None:
    """Let a network remember what was put into it."""
    model.__dict__[_RECORD] = report


def record_of(model: nn.Module) -> Report | None:
    """What was put into a network itself, be it there or lost; None for nothing."""
    report: Report | None = model.__dict__.get(_RECORD)
    return report


def is_hooked(host: nn.Module, child: str) -> bool:
    """Whether a module calls what hangs on it."""
    if child == FILTER:
        return _filter_input in host._forward_pre_hooks.values()
    return _mix_output in host._forward_hooks.values()


def is_folded(host: nn.Module) -> bool:
    """Whether the normalisation that follows a mixed convolution was folded into it.

    Folding gives the convolution another bias, or one where it had none. A state dict that is
    assigned gives the mixing another as well.
    """
    held: _Held = host.__dict__[_HELD][MIXING]
    bias = host._parameters.get("bias", held.bias)
    return bias is not held.bias and (held.bias is None or _own_bias(host) is held.own_bias)


def _own_bias(host: nn.Module) -> nn.Parameter | None:
    mixing = cast(FrequencyMixing, host._modules[MIXING])
    return mixing.freq_weight_conv._parameters.get("bias")


def host_of(model: nn.Module, name: str) -> tuple[str, nn.Module] | None:
    """The module, and its path, on which the filter of a unit hangs; None if it cannot hang.

    A sequence runs every child it has: there it hangs on the first, which gets the same map.
    """
    host = submodule(model, name)
    while type(host).forward is nn.Sequential.forward:
        child, host = next((c, m) for c, m in host._modules.items() if m is not None)
        name = f"{name}.{child}".lstrip(".")
    if isinstance(host, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return None
    return name, host


def _filter_input(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return cast(nn.Module, getattr(module, FILTER))(args, kwargs)


def _mix_output(module: nn.Module, args: Any, output: Tensor) -> Any:  # noqa: ARG001
    if is_folded(module):
        raise ValueError(
            "a convolution with frequency mixing after it was folded with the normalisation that "
            "comes after both: fold first, then de-alias"
        )
    return cast(nn.Module, getattr(module, MIXING))(output)
