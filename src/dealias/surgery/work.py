"""Determine what to insert into a network from the options of a call."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any, Literal, get_args

import torch
from torch import nn

from dealias.layers import (
    AdaptiveBlur,
    BlurFilter,
    DealiasingFilter,
    FrequencyMixing,
    PartialFilter,
    PolyphaseShift,
    Sampling,
    Strength,
    check_sampling,
    check_strength,
)
from dealias.spectral import check_choice
from dealias.surgery.cutoffs import HAVE_CUTOFF, Cutoffs, check_names
from dealias.surgery.downsampling import plan_of
from dealias.surgery.insertion import (
    FILTER,
    MIXING,
    PHASE,
    SAMPLING,
    Inserted,
    Report,
    put_mixing,
    put_phase,
    put_sampling,
)
from dealias.surgery.mixing import mixing_sites
from dealias.surgery.plan import (
    Branch,
    Excluded,
    MixingSite,
    Place,
    Plan,
    Rate,
    Site,
    UnitOf,
    Where,
    by_reason,
)
from dealias.surgery.polyphase import PhaseSite, phase_sites
from dealias.surgery.trace import Trace
from dealias.surgery.walk import host_of, parameters, submodule

Filter = Literal["daf", "flc", "blur", "adaptive_blur"]
_NOTHING_TO_MIX = (
    "no residual unit after a filtered step, which is a module that adds to its input what a "
    "convolution larger than 1x1 makes of it at the same size"
)
# Options of filters that differ from the defaults of their modules.
FILTER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    name: {"border": "reflect"} for name in HAVE_CUTOFF
}


def unused_options(filter: str | None, *, mixing: bool) -> tuple[str, ...]:  # noqa: A002
    """Return the options of :func:`dealias.dealias` that apply to nothing that it would insert."""
    unused: tuple[str, ...] = () if mixing else ("mixing_options",)
    if filter is None:
        unused += ("filter_options", "strength")
    return unused if mixing or filter in HAVE_CUTOFF else (*unused, "cutoff")


@dataclass(frozen=True)
class Asked:
    """The options of a call of :func:`dealias.dealias`.

    Raises:
        ValueError: an option is out of range, or applies to something that is not inserted.
    """

    filter: Filter | None
    mixing: bool
    cutoffs: Cutoffs
    sites: tuple[str, ...] | None
    place: Where
    unit: UnitOf
    strength: Strength
    sampling: Sampling
    filter_options: Mapping[str, Any]
    mixing_options: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_choice("place", self.place, get_args(Where))
        check_choice("unit", self.unit, get_args(UnitOf))
        check_strength(self.strength)
        check_sampling(self.sampling)
        if self.filter is not None and self.filter not in get_args(Filter):
            names = ", ".join(map(repr, get_args(Filter)))
            raise ValueError(f"filter: expected one of {names} or None, got {self.filter!r}")
        if self.filter is None and not self.mixing and self.sampling == "regular":
            raise ValueError("filter=None and mixing=False leave nothing to put in")
        unused = unused_options(self.filter, mixing=self.mixing)
        no_cutoff = f"filter={self.filter!r} has none, and mixing is False"
        for name, is_given, reason in (
            ("mixing_options", self.mixing_options, "is for mixing=True"),
            ("filter_options", self.filter_options, "is for filters, and filter is None"),
            ("strength", self.strength != 1, "is for filters, and filter is None"),
            ("cutoff", self.cutoffs.are_given, no_cutoff),
        ):
            if is_given and name in unused:
                raise ValueError(f"{name}: {reason}")


@dataclass(frozen=True)
class Insertion:
    """A module to insert into another module.

    Attributes:
        host: the module to insert into.
        module: the module to insert.
        branch: the branch of a filter; the step where images choose samples; or None for mixing.
        done: the entry in the report.
    """

    host: nn.Module
    module: nn.Module
    branch: Branch | Place | None
    done: Inserted

    def carry_out(self, model: nn.Module) -> None:
        """Insert it into the network."""
        module = _like(self.module, self.host, model)
        if isinstance(module, PolyphaseShift) and isinstance(self.branch, Place):
            put_phase(self.host, module, self.branch)
        elif not isinstance(self.branch, Branch):
            put_mixing(self.host, module)
        else:
            put_sampling(model, self.host, module, self.branch)


def find_insertions(
    target: nn.Module, trace: Trace, asked: Asked, refused: Mapping[str, str]
) -> tuple[list[Insertion], Report]:
    """Return what to insert into a network, and the report of it.

    Args:
        target: the network.
        trace: a recorded pass of it, or of the network that it was copied from.
        asked: the options.
        refused: reasons by name why sites can't be filtered after their activation, in addition to
            the reasons that the pass shows.

    Raises:
        ValueError: there is nothing to insert, or an option does not fit the network.
    """
    plan, units = plan_of(trace, place=asked.place, unit=asked.unit, refused=refused)
    mixable, unmixable = mixing_sites(trace, plan, units)
    chosen = _chosen(plan, asked.sites)
    asked.cutoffs.check((*plan.names, *(site.name for site in mixable)))
    work: list[Insertion] = []
    left: list[Excluded] = []
    if asked.filter is not None:
        work, left = _filters(target, plan, chosen, asked)
        for step in left:
            if asked.sites is not None and step.name in chosen:
                raise ValueError(f"sites: {step.name!r} can't be filtered: {step.reason}")
    if asked.mixing:
        left += unmixable
        sites_to_mix = [site for site in mixable if site.after in chosen]
        work += _mixings(target, plan, sites_to_mix, asked)
        if not sites_to_mix:
            left.append(Excluded("(mixing)", "mixing", _NOTHING_TO_MIX))
    if asked.sampling != "regular":
        phases, regular = phase_sites(trace, units)
        choices, uncalled = _phases(target, phases, asked.sampling)
        work += choices
        left += [*regular, *uncalled]
    if not work:
        unasked = set(plan.names) - chosen
        why = "\n".join(["", *by_reason("left", (s for s in left if s.name not in unasked))])
        raise ValueError(f"nothing to put in; the sites of this network are:\n{plan}{why}")
    asked.cutoffs.check_sites({insertion.done.site for insertion in work})
    in_order = tuple(name for name in plan.names if name in chosen)
    done = tuple(insertion.done for insertion in work)
    return work, Report(done, (*left, *plan.excluded), in_order, asked.unit)


def _filters(
    target: nn.Module, plan: Plan[Site], chosen: frozenset[str], asked: Asked
) -> tuple[list[Insertion], list[Excluded]]:
    per_channel = asked.filter == "adaptive_blur" or asked.strength == "learned"
    work: list[Insertion] = []
    left = []
    taken: set[str] = set()
    for site in plan:
        branches = site.branches or _at_the_input(site)
        hosts = [_host(target, branch) for branch in branches]
        channels = sorted({use.in_channels for use in site.uses})
        paths = [found[0] for found in hosts if found]
        reason = ""
        if site.name not in chosen:
            reason = site.reason or "not among the sites asked for"
        elif not branches or None in hosts:
            reason = site.reason or "a container that runs its children"
        elif per_channel and len(channels) > 1:
            reason = f"one module for maps of {' and '.join(map(str, channels))} channels"
        elif taken.intersection(paths) or len({*paths}) < len(paths):
            reason = "another step is filtered at the same module"
        if reason:
            left.append(Excluded(site.name, site.kind, reason))
            continue
        f = asked.cutoffs.at(site)
        shown = f if asked.filter in HAVE_CUTOFF else None
        for branch, found in zip(branches, hosts, strict=True):
            path, host = found or ("", target)
            module = _build(partial(_filter, asked), branch.channels, f)
            place: Where = "after" if site.branches else "before"
            done = Inserted(site.name, path, str(asked.filter), shown, branch.step, place)
            work.append(Insertion(host, module, branch, done))
            taken.add(path)
    return work, left


def _at_the_input(site: Site) -> tuple[Branch, ...]:
    """Return the one branch of a site that is filtered before its unit; none if it can't be."""
    if site.place is None:
        return ()
    return (Branch("", (1, 1), site.name, site.place, site.in_channels),)


def _host(target: nn.Module, branch: Branch) -> tuple[str, nn.Module] | None:
    """Return the path for a filter and the module to insert it into; None if there is none."""
    if branch.place is None:
        return f"{branch.at}.{SAMPLING}".lstrip("."), submodule(target, branch.at)
    found = host_of(target, branch.at)
    return None if found is None else (f"{found[0]}.{FILTER}".lstrip("."), found[1])


def _mixings(
    target: nn.Module, plan: Plan[Site], sites: Iterable[MixingSite], asked: Asked
) -> list[Insertion]:
    work = []
    for site in sites:
        f = asked.cutoffs.after(site, plan)
        given = {"reduction": gcd(site.channels, 16), **asked.mixing_options}
        module = _build(FrequencyMixing, site.channels, f, **given)
        done = Inserted(site.name, f"{site.name}.{MIXING}", "mixing", f)
        work.append(Insertion(submodule(target, site.name), module, None, done))
    return work


def _phases(
    target: nn.Module, sites: Iterable[PhaseSite], sampling: Sampling
) -> tuple[list[Insertion], list[Excluded]]:
    work, left = [], []
    for site in sites:
        found = host_of(target, site.name)
        if found is None:
            reason = "takes the regular samples: a container that runs its children"
            left.append(Excluded(site.name, site.kind, reason))
            continue
        path, host = found
        module = _build(
            PolyphaseShift, site.stride, sampling, channels=site.channels, spacing=site.spacing
        )
        done = Inserted(site.name, f"{path}.{PHASE}".lstrip("."), sampling, None)
        work.append(Insertion(host, module, site.place, done))
    return work, left


def _build(make: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    """Create a module with trainable parameters, even in inference mode."""
    try:
        with torch.inference_mode(False):
            return make(*args, **options)
    except TypeError as error:
        raise ValueError(f"options: {error}") from error


def _filter(asked: Asked, channels: int, f: Rate) -> nn.Module:
    kind, options = asked.filter, asked.filter_options
    module: nn.Module
    if kind == "blur":
        module = BlurFilter(**options)
    elif kind == "adaptive_blur":
        module = AdaptiveBlur(channels, **{"groups": gcd(channels, 8), **options})
    else:
        module = DealiasingFilter(f, **{**FILTER_OPTIONS[str(kind)], **options})
    if asked.strength == 1:
        return module
    return PartialFilter(module, asked.strength, channels=channels)


def _chosen(plan: Plan[Site], sites: tuple[str, ...] | None) -> frozenset[str]:
    if sites is None:
        return frozenset(site.name for site in plan if not site.reason)
    check_names("sites", sites, plan.names)
    for name in sites:
        if plan[name].place is None and not plan[name].branches:
            raise ValueError(f"sites: {name!r} can't be filtered: {plan[name].reason}")
    return frozenset(sites)


def _like(module: nn.Module, host: nn.Module, model: nn.Module) -> nn.Module:
    """Move a module to the device and dtype of its host, or else of the model."""
    weights = (p for m in (host, model) for p in parameters(m) if p.is_floating_point())
    weight = next(weights, None)
    return module if weight is None else module.to(weight.device, weight.dtype)
