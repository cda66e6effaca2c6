"""De-alias any network in one call, and undo it."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import nn

from dealias.layers import AdaptiveBlur, BlurFilter, DealiasingFilter, FrequencyMixing
from dealias.surgery.cutoffs import Cutoff, Cutoffs, check_names
from dealias.surgery.downsampling import plan_of
from dealias.surgery.insertion import (
    FILTER,
    MIXING,
    Inserted,
    Report,
    host_of,
    inserted,
    keep_report,
    put_filter,
    put_mixing,
    remove_all,
    report_of,
)
from dealias.surgery.mixing import mixing_sites
from dealias.surgery.plan import Excluded, MixingSite, Place, Plan, Rate, Site, by_reason
from dealias.surgery.record import record
from dealias.surgery.walk import parameters, submodule

Filter = Literal["daf", "flc", "blur", "adaptive_blur"]
M = TypeVar("M", bound=nn.Module)


def dealias(
    model: M,
    example_input: Any,
    *,
    filter: Filter | None = "daf",  # noqa: A002
    mixing: bool = True,
    cutoff: Cutoff = "auto",
    sites: Iterable[str] | None = None,
    inplace: bool = False,
    filter_options: Mapping[str, Any] | None = None,
    mixing_options: Mapping[str, Any] | None = None,
) -> tuple[M, Report]:
    """Put a filter before the downsampling steps of a network, and let it mix frequencies after.

    Names of parameters stay what they are, so that checkpoints of the plain network load before or
    after: mixing modules that a checkpoint knows nothing of keep what they have. The result can be
    copied, pickled, compiled and exported like any network. The mixing modules start as the
    identity; their parameters are trainable whatever those of the network are.

    Fold normalisation, reparameterize and trace the network with ``torch.fx`` before, not after:
    these replace modules that something hangs on, which :func:`dealias.surgery.check_inserted`
    notices.

    Args:
        model: any network.
        example_input: as for :func:`find_downsampling`; only its shapes matter.
        filter: ``"daf"``, an ideal low-pass at the Nyquist frequency of the step; ``"flc"``, one at
            that of the stride alone, 1 / (2 s); ``"blur"``, a binomial kernel; ``"adaptive_blur"``,
            kernels chosen from the content, of networks of its own for so many channels: a module
            that is shared by steps of different channels is left; or None.
        mixing: whether to put a :class:`dealias.layers.FrequencyMixing` after the convolutions of
            :func:`find_mixing`, those that follow the sites chosen.
        cutoff: in cycles per pixel, in (0, 0.5], of the filters "daf" and "flc" and of the mixing
            modules that follow. ``"auto"`` is as `filter` says, the Nyquist frequency of the step
            for the blurs and None; a number, or (row, column), holds for every site; a mapping for
            the sites it names, of :func:`find_downsampling` or of :func:`find_mixing`, and the
            others are as with "auto".
        sites: names of downsampling sites to take in place of those without a ``reason`` in
            :func:`find_downsampling`.
        inplace: change the model itself, not a copy.
        filter_options: keyword arguments for every filter, as ``{"border": "reflect"}``.
        mixing_options: keyword arguments for every mixing module, as ``{"pooling": "official"}``.

    Returns:
        The network, and what was put where and left why.

    Raises:
        ValueError: there is nothing to put in, or no site of a name given: the message lists those
            there are; the model was de-aliased before; an argument is out of range; the model
            fails on the example, as it was or with what was put in.

    >>> import torch
    >>> net = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU())
    >>> net, report = dealias(net, torch.zeros(1, 8, 16, 16), mixing=False)
    >>> print(report)
    site  put in  cutoff  as
    0     daf     0.354   0.dealias_filter
    """
    _check(model, filter, mixing)
    trace = record(model, example_input)
    plan, units = plan_of(trace)
    mixable, unmixable = mixing_sites(trace, plan, units)
    chosen = _chosen(plan, sites)
    cutoffs = Cutoffs(cutoff, filter)
    cutoffs.check((*plan.names, *(site.name for site in mixable)))

    target = model if inplace else _copy(model)
    work: list[_Insertion] = []
    left: list[Excluded] = []
    if filter is not None:
        work, left = _filters(target, plan, chosen, cutoffs, filter, filter_options or {})
        for step in left:
            if sites is not None and step.name in chosen:
                raise ValueError(f"sites: {step.name!r} can't be filtered: {step.reason}")
    if mixing:
        left += unmixable
        sites_to_mix = [site for site in mixable if site.after in chosen]
        work += _mixings(target, plan, sites_to_mix, cutoffs, mixing_options or {})
    if not work:
        unasked = set(plan.names) - chosen
        why = "\n".join(["", *by_reason("left", (s for s in left if s.name not in unasked))])
        raise ValueError(f"nothing to put in; the sites of this network are:\n{plan}{why}")
    for insertion in work:
        insertion.carry_out(target)
    _try_out(target, example_input)
    report = Report(tuple(i.done for i in work), (*left, *plan.excluded))
    keep_report(target, report)
    return target, report


def restore(model: M) -> M:
    """Take out of a network, in place, what :func:`dealias` put in.

    Args:
        model: a de-aliased network.

    Returns:
        The same object, with the modules and the state dict it had before.

    Raises:
        ValueError: nothing was put in.

    >>> import torch
    >>> net = nn.Sequential(nn.MaxPool2d(2))
    >>> net, _ = dealias(net, torch.zeros(1, 8, 16, 16), mixing=False, inplace=True)
    >>> restore(net)
    Sequential(
      (0): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    )
    """
    if not inserted(model) and report_of(model) is None:
        raise ValueError("nothing to restore: the model was not de-aliased")
    remove_all(model)
    return model


@dataclass(frozen=True)
class _Insertion:
    host: nn.Module
    module: nn.Module
    place: Place | None  # of a filter
    done: Inserted

    def carry_out(self, model: nn.Module) -> None:
        module = _like(self.module, self.host, model)
        if self.place is None:
            put_mixing(self.host, module)
        else:
            put_filter(self.host, module, self.place)


def _filters(
    target: nn.Module,
    plan: Plan[Site],
    chosen: frozenset[str],
    cutoffs: Cutoffs,
    filter: Filter,  # noqa: A002
    options: Mapping[str, Any],
) -> tuple[list[_Insertion], list[Excluded]]:
    work, left = [], []
    for site in plan:
        found = host_of(target, site.name) if site.place else None
        if site.name not in chosen or site.place is None or found is None:
            reason = site.reason or "not among the sites asked for"
            if site.name in chosen:
                reason = "a container that runs its children"
            left.append(Excluded(site.name, site.kind, reason))
            continue
        channels = sorted({use.in_channels for use in site.uses})
        if filter == "adaptive_blur" and len(channels) > 1:
            reason = f"one module for maps of {' and '.join(map(str, channels))} channels"
            left.append(Excluded(site.name, site.kind, reason))
            continue
        name, host = found
        f = cutoffs.at(site)
        module = _build(_FILTERS[filter], site.in_channels, f, options)
        shown = f if filter in ("daf", "flc") else None
        done = Inserted(site.name, f"{name}.{FILTER}".lstrip("."), filter, shown)
        work.append(_Insertion(host, module, site.place, done))
    return work, left


def _mixings(
    target: nn.Module,
    plan: Plan[Site],
    sites: Iterable[MixingSite],
    cutoffs: Cutoffs,
    options: Mapping[str, Any],
) -> list[_Insertion]:
    work = []
    for site in sites:
        f = cutoffs.after(site, plan)
        given = {"reduction": gcd(site.channels, 16), **options}
        module = _build(FrequencyMixing, site.channels, f, **given)
        done = Inserted(site.name, f"{site.name}.{MIXING}", "mixing", f)
        work.append(_Insertion(submodule(target, site.name), module, None, done))
    return work


def _copy(model: M) -> M:
    try:
        with torch.inference_mode(False):
            return copy.deepcopy(model)
    except Exception as error:  # whatever a module's own copying raises
        raise ValueError(f"the model can't be copied ({error}); inplace=True changes it") from error


def _build(make: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    """Make a module whose parameters can be trained, wherever the call comes from."""
    try:
        with torch.inference_mode(False):
            return make(*args, **options)
    except TypeError as error:
        raise ValueError(f"options: {error}") from error


_FILTERS: dict[str, Callable[[int, Rate, Mapping[str, Any]], nn.Module]] = {
    "daf": lambda channels, f, options: DealiasingFilter(f, **options),  # noqa: ARG005
    "flc": lambda channels, f, options: DealiasingFilter(f, **options),  # noqa: ARG005
    "blur": lambda channels, f, options: BlurFilter(**options),  # noqa: ARG005
    "adaptive_blur": lambda channels, f, options: AdaptiveBlur(  # noqa: ARG005
        channels, **{"groups": gcd(channels, 8), **options}
    ),
}


def _check(model: nn.Module, filter: str | None, mixing: bool) -> None:  # noqa: A002
    if filter is not None and filter not in get_args(Filter):
        names = ", ".join(map(repr, get_args(Filter)))
        raise ValueError(f"filter: expected one of {names} or None, got {filter!r}")
    if filter is None and not mixing:
        raise ValueError("filter=None and mixing=False leave nothing to put in")
    before = inserted(model) if isinstance(model, nn.Module) else []
    if before:
        raise ValueError(f"the model is de-aliased already, at {before[0]}: restore(model) first")


def _chosen(plan: Plan[Site], sites: Iterable[str] | None) -> frozenset[str]:
    if sites is None:
        return frozenset(site.name for site in plan if not site.reason)
    chosen = (sites,) if isinstance(sites, str) else tuple(sites)
    check_names("sites", chosen, plan.names)
    for name in chosen:
        if plan[name].place is None:
            raise ValueError(f"sites: {name!r} has no module to put a filter before")
    return frozenset(chosen)


def _try_out(model: nn.Module, example_input: Any) -> None:
    """Undo the insertion if the network fails now, as one that runs all children of a unit does."""
    try:
        record(model, example_input)
    except ValueError as error:
        remove_all(model)
        raise ValueError(f"with the filters put in, {error}") from error


def _like(module: nn.Module, host: nn.Module, model: nn.Module) -> nn.Module:
    """On the device and of the precision of the module that it hangs on."""
    weights = (p for m in (host, model) for p in parameters(m) if p.is_floating_point())
    weight = next(weights, None)
    return module if weight is None else module.to(weight.device, weight.dtype)
