"""Hang modules on others, and take them off, without renaming anything.

The hooks are functions of this module without state: they reach what is inserted through the
module that they are called with, so copies and pickles of a network call their own.
"""

from typing import Any, cast

from torch import nn
from torch.utils.hooks import RemovableHandle

from dealias.surgery._place import Place
from dealias.surgery._walk import modules, named_modules, submodule

FILTER, MIXING = "dealias_filter", "frequency_mixing"
# Kept by the module that is hung on: pickled with it, a handle also keeps later hooks of another
# process from taking its number.
_HANDLES = "_dealias_handles"


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
    _keep(host, FILTER, hook)


def put_mixing(host: nn.Module, mixing: nn.Module) -> None:
    """Mix the frequencies of what leaves a convolution."""
    mixing.register_load_state_dict_pre_hook(_keep_if_absent)  # type: ignore[no-untyped-call]
    nn.Module.add_module(host, MIXING, mixing.train(host.training))
    _keep(host, MIXING, nn.Module.register_forward_hook(host, _mix_output))


def _keep_if_absent(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let checkpoints of the plain network load strictly: they leave the module as it is."""
    if not any(key.startswith(prefix) for key in state_dict):
        state_dict |= {prefix + key: value for key, value in module.state_dict().items()}


def inserted(model: nn.Module) -> list[str]:
    """Paths of what was put in."""
    return [
        f"{name}.{child}".lstrip(".")
        for name, module in named_modules(model)
        for child in getattr(module, _HANDLES, ())
    ]


def remove_all(model: nn.Module) -> None:
    """Take out what was put in."""
    for module in modules(model):
        handles: dict[str, RemovableHandle] = module.__dict__.pop(_HANDLES, {})
        for child, handle in handles.items():
            handle.remove()
            delattr(module, child)


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


def _keep(host: nn.Module, child: str, handle: RemovableHandle) -> None:
    host.__dict__.setdefault(_HANDLES, {})[child] = handle


def _filter_input(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return cast(nn.Module, getattr(module, FILTER))(args, kwargs)


def _mix_output(module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ARG001
    return cast(nn.Module, getattr(module, MIXING))(output)
