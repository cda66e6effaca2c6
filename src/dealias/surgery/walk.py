"""Walk the modules of any network, without calling its methods.

A network may have an attribute called ``modules``, ``train`` or ``type`` that hides the method of
:class:`torch.nn.Module`, and PyTorch's recursive methods call those of every child. For the same
reason, hooks are registered with ``nn.Module.register_forward_hook(module, ...)``.
"""

from collections.abc import Iterator

from torch import nn


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module once with its path, in the order of :meth:`torch.nn.Module.named_modules`.

    >>> [name for name, _ in named_modules(nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())))]
    ['', '0', '1', '1.0']
    """
    seen: set[nn.Module] = set()

    def walk(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
        if module in seen:
            return
        seen.add(module)
        yield name, module
        for child, inner in module._modules.items():
            if inner is not None:
                yield from walk(inner, f"{name}.{child}".lstrip("."))

    return walk(model, "")


def modules(model: nn.Module) -> list[nn.Module]:
    """Return every module, once."""
    return [module for _, module in named_modules(model)]


def parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of every module."""
    for module in modules(model):
        yield from (p for p in module._parameters.values() if p is not None)


def submodule(model: nn.Module, name: str) -> nn.Module:
    """Return the module at a path.

    Raises:
        KeyError: there is no such module.
    """
    module = model
    for child in name.split(".") if name else ():
        inner = module._modules[child]
        if inner is None:
            raise KeyError(name)
        module = inner
    return module


def host_of(model: nn.Module, name: str) -> tuple[str, nn.Module] | None:
    """Return the path and the module that gets the filter of a unit; None if none can.

    A sequence would run the filter as one more child, so its first child gets the filter.
    """
    host = submodule(model, name)
    while type(host).forward is nn.Sequential.forward:
        child, host = next((c, m) for c, m in host._modules.items() if m is not None)
        name = f"{name}.{child}".lstrip(".")
    if isinstance(host, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return None
    return name, host
