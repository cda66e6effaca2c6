"""Insert modules into a network by hooks, and remove them.

No parameter is renamed. The hooks are functions without state: they find the inserted module
through the module that they are called with, so copies and pickles of a network call their own
inserted modules. Pickles store the Python module of hooks and classes, so those defined here must
stay in this file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dealias.layers import (
    CHOSEN,
    PolyphaseShift,
    Subsample,
    filter_sampled,
)
from dealias.surgery.plan import (
    Branch,
    Excluded,
    Place,
    Rate,
    UnitOf,
    Where,
    by_reason,
    rate_text,
    table,
)
from dealias.surgery.walk import modules, named_modules, submodule
from dealias.text import html_table

FILTER, SAMPLING, MIXING = "dealias_filter", "dealias_sampling", "frequency_mixing"
PHASE = "dealias_phase"
# Attributes for the hooks of a module and for the report of a network. Neither is in the state
# dict, and both are copied and pickled with the module.
_HELD, _STRIDE, _REPORT = "_dealias_held", "_dealias_stride", "_dealias_report"


@dataclass(frozen=True)
class Inserted:
    """A module inserted into a network.

    Attributes:
        site: name of the site.
        module: dotted path of the inserted module.
        kind: "daf", "flc", "blur", "adaptive_blur" or "mixing"; or the sampling, "adaptive" or
            "learned", of a :class:`dealias.layers.PolyphaseShift`.
        cutoff: cutoff in cycles per pixel; None for blurs and samplings, which have none.
        step: dotted path of the module that runs at stride 1 because of it; empty if there is none.
        place: place of a filter, "before" or "after"; see :func:`dealias.dealias`.
    """

    site: str
    module: str
    kind: str
    cutoff: Rate | None
    step: str = ""
    place: Where = "before"

    @property
    def is_filter(self) -> bool:
        """Whether it is a filter, as opposed to frequency mixing or a choice of samples."""
        return self.kind not in ("mixing", *CHOSEN)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read pickles of earlier versions, which have no place."""
        after = state["step"] or state["module"].endswith(SAMPLING)
        self.__dict__.update({"place": "after" if after else "before"} | state)


@dataclass(frozen=True)
class Report:
    """The changes that :func:`dealias.dealias` made; prints as a table.

    Attributes:
        inserted: filters in the order in which they run, then mixing modules, then choices of
            samples.
        left: steps that have no filter, with the reason.
        sites: names of the chosen downsampling sites.
        unit: unit of strided depthwise convolutions; see :func:`find_downsampling`.
    """

    inserted: tuple[Inserted, ...]
    left: tuple[Excluded, ...]
    sites: tuple[str, ...] = ()
    unit: UnitOf = "step"  # of pickles of version 0.1, which lack it

    @property
    def rows(self) -> list[dict[str, str]]:
        """The cells of the table by column, for each inserted module."""
        return [
            {
                "site": item.site or "(model)",
                "put in": item.kind,
                "place": item.place if item.is_filter else "",
                "cutoff": "" if item.cutoff is None else rate_text(item.cutoff),
                "as": item.module,
            }
            for item in self.inserted
        ]

    def __str__(self) -> str:
        return "\n".join([*table(self.rows), *self._notes()])

    def _repr_html_(self) -> str:
        return html_table(self.rows, *self._notes())

    def _notes(self) -> list[str]:
        lines = by_reason("left", self.left)
        places = {item.place for item in self.inserted if item.is_filter}
        if "before" in places:
            lines.append(
                "train the network further: trained weights do not expect filters before steps"
            )
        elif places:
            lines.append("test the network; if the filters made it worse, train it further")
        if any(item.kind in CHOSEN for item in self.inserted):
            lines.append(
                "maps lie on the grids that images chose: dealias.layers.collect_offsets has them"
            )
        return lines


@dataclass(frozen=True)
class _Held:
    """A hook, and the biases that show whether a convolution was folded.

    In a pickle, the handle also prevents hooks of another process from taking its number.
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
        """Return the arguments, with the map filtered."""
        return self.place.put(args, kwargs, self.filter(self.place.take(args, kwargs)))

    def extra_repr(self) -> str:
        """Return the layout of the map."""
        return self.place.layout


def put_filter(host: nn.Module, filter: nn.Module, place: Place) -> None:  # noqa: A002
    """Filter the input of a module."""
    _put(host, FILTER, InputFilter(filter, place))


class FilteredSampling(nn.Module):
    """Filter a map [B, C, H, W], then take every s-th sample of it."""

    def __init__(self, filter: nn.Module, sample: Subsample) -> None:  # noqa: A002
        super().__init__()
        self.filter = filter
        self.sample = sample

    def forward(self, x: Tensor) -> Tensor:
        """Filter and subsample x."""
        if self.sample._forward_pre_hooks or self.filter._forward_hooks:
            sampled: Tensor = self.sample(self.filter(x))  # somebody looks at the filtered map
            return sampled
        return filter_sampled(self.filter, x, self.sample)


def put_sampling(
    model: nn.Module,
    host: nn.Module,
    filter: nn.Module,  # noqa: A002
    branch: Branch,
) -> None:
    """Run a branch's strided module at stride 1, and filter and subsample its map afterwards."""
    if branch.place is not None and not branch.step:
        put_filter(host, filter, branch.place)
        return
    strided: Any = submodule(model, branch.step)
    strided.__dict__[_STRIDE] = strided.stride
    strided.stride = (1, 1) if isinstance(strided.stride, tuple | list) else 1
    sampling = FilteredSampling(filter, Subsample(branch.stride, branch.same))
    if branch.place is not None:
        put_filter(host, sampling, branch.place)
        return
    _put(host, SAMPLING, sampling)


def put_phase(host: nn.Module, shift: PolyphaseShift, place: Place) -> None:
    """Let each image choose which samples of a module's input are taken."""
    _put(host, PHASE, InputFilter(shift, place))


def put_mixing(host: nn.Module, mixing: nn.Module) -> None:
    """Mix the frequencies of the output of a convolution."""
    _put(host, MIXING, mixing, bias=host._parameters.get("bias"), own_bias=_own_bias(mixing))


def _put(host: nn.Module, child: str, module: nn.Module, **biases: nn.Parameter | None) -> None:
    """Add a module to another, to be called by it; checkpoints of the plain network may lack it."""
    module.register_load_state_dict_pre_hook(_keep_if_absent)  # type: ignore[no-untyped-call]
    nn.Module.add_module(host, child, module.train(host.training))
    host.__dict__.setdefault(_HELD, {})[child] = _Held(_hook(host, child), **biases)


def _hook(host: nn.Module, child: str) -> RemovableHandle:
    prepend = False
    if child == PHASE:
        # Before the filter of the same step, which would make the norms of all phases equal; after
        # that of an earlier step, which makes the map.
        earlier = getattr(host._modules.get(FILTER), "filter", None)
        prepend = not isinstance(earlier, FilteredSampling)
    if child in _TAKE_INPUT:
        return nn.Module.register_forward_pre_hook(
            host, _CALLS[child], prepend=prepend, with_kwargs=True
        )
    # Samples are taken first, so that hooks of others see the map at the size of the plain network.
    return nn.Module.register_forward_hook(host, _CALLS[child], prepend=child == SAMPLING)


def keep_inserted(model: nn.Module, change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Apply a function that replaces modules to a network, and keep what was inserted in them.

    Use this for conversions that replace a module by one of another type, such as
    ``nn.SyncBatchNorm.convert_sync_batchnorm``. Otherwise the hooks of the replaced module are
    lost, and with them its filters.

    Args:
        model: a network, de-aliased or not.
        change: function that takes the network and returns it with modules replaced. Modules that
            something was inserted into, or that run at stride 1 because of it, must have a
            successor with the same path and stride.

    Returns:
        The result of `change`.

    Raises:
        ValueError: such a module has no successor.

    >>> import torch
    >>> from dealias import dealias
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    >>> net, _ = dealias(net, torch.zeros(1, 3, 32, 32))
    >>> net = keep_inserted(net, nn.SyncBatchNorm.convert_sync_batchnorm)
    >>> inserted(net)
    ['0.dealias_filter', '3.dealias_sampling']
    """
    kept = {_HELD, _STRIDE, _REPORT}
    hosts = {n: module for n, module in named_modules(model) if kept & module.__dict__.keys()}
    changed = change(model)
    for name, host in hosts.items():
        try:
            successor = submodule(changed, name)
        except KeyError as error:
            raise ValueError(f"change: nothing is in the place of {name!r} any more") from error
        if successor is not host:
            _move(host, successor)
    return changed


def _move(host: nn.Module, successor: nn.Module) -> None:
    """Move what was inserted into a module, or noted of it, to the module that replaces it."""
    everything: dict[str, _Held] = host.__dict__.pop(_HELD, {})
    for child, held in everything.items():
        held.handle.remove()
        nn.Module.add_module(successor, child, host._modules[child])
        moved = replace(held, handle=_hook(successor, child))
        successor.__dict__.setdefault(_HELD, {})[child] = moved
    for kept in (_STRIDE, _REPORT):
        if kept in host.__dict__:
            successor.__dict__[kept] = host.__dict__[kept]


def _keep_if_absent(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let checkpoints of the plain network load strictly, leaving the module unchanged."""
    if not any(key.startswith(prefix) for key in state_dict):
        state_dict |= {prefix + key: value for key, value in module.state_dict().items()}


def inserted(model: nn.Module) -> list[str]:
    """Return the paths of the inserted modules."""
    return [
        f"{name}.{child}".lstrip(".")
        for name, module in named_modules(model)
        for child in module.__dict__.get(_HELD, ())
    ]


def remove_all(model: nn.Module) -> None:
    """Remove the inserted modules."""
    for module in modules(model):
        module.__dict__.pop(_REPORT, None)
        if _STRIDE in module.__dict__:
            cast(Any, module).stride = module.__dict__.pop(_STRIDE)
        everything: dict[str, _Held] = module.__dict__.pop(_HELD, {})
        for child, held in everything.items():
            held.handle.remove()
            delattr(module, child)


def keep_report(model: nn.Module, report: Report) -> None:
    """Store the report of a network in the network."""
    model.__dict__[_REPORT] = report


def report_of(model: nn.Module) -> Report | None:
    """Return the report of everything inserted into a network and its parts; None if nothing was.

    Each module that was passed to :func:`dealias.dealias` stores its report. Here, the names of
    sites and modules are paths from `model`. Modules that have been lost since are still listed.
    """
    kept = list(kept_reports(model))
    if not kept:
        return None

    def full(path: str, name: str) -> str:
        return f"{path}.{name}".strip(".")

    put_in, left, sites = [], [], []
    for path, _, report in kept:
        put_in += [
            replace(
                item,
                site=full(path, item.site),
                module=full(path, item.module),
                step=full(path, item.step) if item.step else "",
            )
            for item in report.inserted
        ]
        left += [replace(step, name=full(path, step.name)) for step in report.left]
        sites += [full(path, name) for name in report.sites]
    return Report(tuple(put_in), tuple(left), tuple(sites), kept[0][2].unit)


def kept_reports(model: nn.Module) -> Iterator[tuple[str, nn.Module, Report]]:
    """Yield the de-aliased modules in a network, with their paths and reports."""
    for name, module in named_modules(model):
        if _REPORT in module.__dict__:
            yield name, module, module.__dict__[_REPORT]


def is_hooked(host: nn.Module, child: str) -> bool:
    """Whether a module still calls the module inserted into it."""
    hooks = host._forward_pre_hooks if child in _TAKE_INPUT else host._forward_hooks
    return _CALLS[child] in hooks.values()


def is_strided(step: nn.Module) -> bool:
    """Whether a module that should run at stride 1 was replaced, or has its stride again."""
    return _STRIDE not in step.__dict__ or any(s != 1 for s in _strides(step))


def _strides(module: Any) -> tuple[int, ...]:
    return tuple(module.stride) if isinstance(module.stride, tuple | list) else (module.stride,)


def is_folded(host: nn.Module) -> bool:
    """Whether the normalisation after a convolution with frequency mixing was folded into it.

    Folding replaces the bias of the convolution, or adds one. Loading a state dict with ``assign``
    replaces the bias of the mixing module too.
    """
    held: _Held = host.__dict__[_HELD][MIXING]
    bias = host._parameters.get("bias", held.bias)
    own = _own_bias(host._modules[MIXING])
    return bias is not held.bias and (held.bias is None or own is held.own_bias)


def _own_bias(mixing: Any) -> nn.Parameter | None:
    own: nn.Parameter | None = mixing.freq_weight_conv._parameters.get("bias")
    return own


def _filter_input(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return cast(nn.Module, getattr(module, FILTER))(args, kwargs)


def _shift_input(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return cast(nn.Module, getattr(module, PHASE))(args, kwargs)


def _sample_output(module: nn.Module, args: Any, output: Tensor) -> Any:  # noqa: ARG001
    return cast(nn.Module, getattr(module, SAMPLING))(output)


def _mix_output(module: nn.Module, args: Any, output: Tensor) -> Any:  # noqa: ARG001
    if is_folded(module):
        raise ValueError(
            "a convolution with frequency mixing after it was folded with the normalisation that "
            "comes after both: fold first, then de-alias"
        )
    return cast(nn.Module, getattr(module, MIXING))(output)


_TAKE_INPUT = (FILTER, PHASE)
_CALLS: Mapping[str, Callable[..., Any]] = {  # pickles of networks name them
    FILTER: _filter_input,
    PHASE: _shift_input,
    SAMPLING: _sample_output,
    MIXING: _mix_output,
}
