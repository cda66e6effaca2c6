"""Hang modules on others, take them off, and tell whether they are still there.

Nothing is renamed. The hooks are functions without state: they reach what is inserted through the
module that they are called with, so copies and pickles of a network call their own. A pickle finds
hooks and classes by the path of their module, so those of this module stay in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dealias.layers import FrequencyMixing
from dealias.surgery.plan import Excluded, Place, Rate, by_reason, rate_text, table
from dealias.surgery.record import run
from dealias.surgery.walk import modules, named_modules, submodule

FILTER, MIXING = "dealias_filter", "frequency_mixing"
# What is hung on a module, kept by it, and what was put into a network, kept by that: neither is in
# the state dict, and both go with copies and pickles.
_HELD, _REPORT = "_dealias_held", "_dealias_report"


@dataclass(frozen=True)
class Inserted:
    """A module put into a network.

    Attributes:
        site: name of the site.
        module: dotted path of the new module.
        kind: "daf", "flc", "blur", "adaptive_blur" or "mixing".
        cutoff: in cycles per pixel; None for a blur, which has none.
    """

    site: str
    module: str
    kind: str
    cutoff: Rate | None


@dataclass(frozen=True)
class Report:
    """What :func:`dealias.dealias` did; prints as a table.

    Attributes:
        inserted: filters in the order they run, then mixing modules.
        left: steps that were left as they are, with the reason.
    """

    inserted: tuple[Inserted, ...]
    left: tuple[Excluded, ...]

    def __str__(self) -> str:
        rows = [
            {
                "site": item.site or "(model)",
                "put in": item.kind,
                "cutoff": "" if item.cutoff is None else rate_text(item.cutoff),
                "as": item.module,
            }
            for item in self.inserted
        ]
        return "\n".join([*table(rows), *by_reason("left", self.left)])


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
        module.__dict__.pop(_REPORT, None)
        everything: dict[str, _Held] = module.__dict__.pop(_HELD, {})
        for child, held in everything.items():
            held.handle.remove()
            delattr(module, child)


def keep_report(model: nn.Module, report: Report) -> None:
    """Let a network remember what was put into it."""
    model.__dict__[_REPORT] = report


def report_of(model: nn.Module) -> Report | None:
    """What was put into a network and its parts, be it there or lost; None for nothing.

    Each module that was given to :func:`dealias.dealias` keeps the report; here the names of sites
    and modules are paths from the network itself.
    """
    kept = list(_kept_reports(model))
    if not kept:
        return None

    def full(path: str, name: str) -> str:
        return f"{path}.{name}".strip(".")

    put_in, left = [], []
    for path, _, report in kept:
        put_in += [
            replace(item, site=full(path, item.site), module=full(path, item.module))
            for item in report.inserted
        ]
        left += [replace(step, name=full(path, step.name)) for step in report.left]
    return Report(tuple(put_in), tuple(left))


def _kept_reports(model: nn.Module) -> Iterator[tuple[str, nn.Module, Report]]:
    for name, module in named_modules(model):
        if _REPORT in module.__dict__:
            yield name, module, module.__dict__[_REPORT]


def _is_hooked(host: nn.Module, child: str) -> bool:
    """Whether a module calls what hangs on it."""
    if child == FILTER:
        return _filter_input in host._forward_pre_hooks.values()
    return _mix_output in host._forward_hooks.values()


def _is_folded(host: nn.Module) -> bool:
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
    if _is_folded(module):
        raise ValueError(
            "a convolution with frequency mixing after it was folded with the normalisation that "
            "comes after both: fold first, then de-alias"
        )
    return cast(nn.Module, getattr(module, MIXING))(output)


def check_inserted(
    model: nn.Module, report: Report | None = None, *, example_input: Any = None
) -> None:
    """Raise unless everything that :func:`dealias.dealias` put into a network still runs.

    What was put in hangs on modules of the network by hooks. It is lost with a module that is
    replaced, as folding of normalisation and reparameterization do; with hooks that are cleared;
    and with the hooks of the module itself that ``torch.fx`` traces. Fold and trace first, then
    de-alias. Call this before a network is exported that something else has changed.

    Args:
        model: a de-aliased network, or one that holds some, as ``DistributedDataParallel`` does.
        report: of :func:`dealias.dealias` for this very module. By default the one that the module
            itself has kept since, in copies and pickles too; a graph of ``torch.fx`` has none.
        example_input: as for :func:`find_downsampling`: the model runs once, and every module put
            in must be called. None looks at the modules alone.

    Raises:
        ValueError: something is lost: the message names it; no report is there; the model is of
            TorchScript, or fails on the example.

    >>> import torch
    >>> from dealias import dealias
    >>> net = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU())
    >>> net, _ = dealias(net, torch.zeros(1, 8, 16, 16))
    >>> check_inserted(net)
    >>> net[0] = nn.Conv2d(8, 16, 3, stride=2, padding=1)
    >>> check_inserted(net)
    Traceback (most recent call last):
    ...
    ValueError: of 1 module put in, 1 does not run any more: 0.dealias_filter (is gone); \
fold, trace and replace modules first, then de-alias
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError("model: expected Python modules, got TorchScript: check before tracing")
    expected = list(_expected(model, report))
    found = [(item, *_find(root, item)) for root, item in expected]
    lost = [f"{item.module} ({problem})" for item, _, problem in found if problem]
    if not lost and example_input is not None:
        called: set[nn.Module] = set()
        handles = [
            module.register_forward_pre_hook(lambda module, _: called.add(module))
            for _, module, _ in found
            if module is not None
        ]
        try:
            run(model, example_input)
        finally:
            for handle in handles:
                handle.remove()
        lost = [f"{item.module} (is not called)" for item, m, _ in found if m not in called]
    if lost:
        modules, do = ("module", "does") if len(found) == 1 else ("modules", "do")
        raise ValueError(
            f"of {len(found):,} {modules} put in, {len(lost):,} {do} not run any more: "
            f"{', '.join(lost)}; fold, trace and replace modules first, then de-alias"
        )


def _expected(model: nn.Module, report: Report | None) -> Iterator[tuple[nn.Module, Inserted]]:
    kept = [(model, report)] if report else [(m, own) for _, m, own in _kept_reports(model)]
    if not kept:
        raise ValueError(
            "report: expected that of dealias.dealias, since the model keeps none: it was never "
            "de-aliased, or the module that was is replaced"
        )
    for root, own in kept:
        yield from ((root, item) for item in own.inserted)


def _find(root: nn.Module, item: Inserted) -> tuple[nn.Module | None, str]:
    """A module put in, and what is wrong with it."""
    path, _, child = item.module.rpartition(".")
    try:
        host, module = submodule(root, path), submodule(root, item.module)
    except KeyError:
        return None, "is gone"
    if not _is_hooked(host, child):
        return None, "has lost its hook"
    if child == MIXING and _is_folded(host):
        return None, "its convolution was folded with the normalisation that follows"
    return module, ""
