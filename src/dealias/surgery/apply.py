"""De-alias any network, and restore it."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any, Literal, TypeVar, get_args

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
from dealias.surgery.cutoffs import Cutoff, Cutoffs, check_names
from dealias.surgery.downsampling import plan_of
from dealias.surgery.insertion import (
    FILTER,
    MIXING,
    PHASE,
    SAMPLING,
    Inserted,
    Report,
    host_of,
    inserted,
    keep_report,
    put_mixing,
    put_phase,
    put_sampling,
    remove_all,
    report_of,
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
from dealias.surgery.record import record
from dealias.surgery.resolution import Pair
from dealias.surgery.walk import parameters, submodule

Filter = Literal["daf", "flc", "blur", "adaptive_blur"]
_NOTHING_TO_MIX = (
    "no residual unit after a filtered step, which is a module that adds to its input what a "
    "convolution larger than 1x1 makes of it at the same size"
)
# Options of filters that are not the defaults of their modules.
FILTER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "daf": {"border": "reflect"},
    "flc": {"border": "reflect"},
}
M = TypeVar("M", bound=nn.Module)


def dealias(
    model: M,
    example_input: Any,
    *,
    filter: Filter | None = "daf",  # noqa: A002
    mixing: bool = False,
    cutoff: Cutoff = "auto",
    sites: Iterable[str] | None = None,
    place: Where = "auto",
    unit: UnitOf = "step",
    strength: Strength = 1.0,
    sampling: Sampling = "regular",
    inplace: bool = False,
    filter_options: Mapping[str, Any] | None = None,
    mixing_options: Mapping[str, Any] | None = None,
) -> tuple[M, Report]:
    """Insert filters at the downsampling steps of a network, and frequency mixing after them.

    By default, filters go after the activation that follows a strided convolution, and after max
    pooling at stride 1, as in Zhang, "Making convolutional networks shift-invariant again" (ICML
    2019). In networks trained on CamVid that steadied the output under shifts without training, and
    changed mIoU by +0.2 and -0.4 points; trained with it, sixteen more lost nothing in the mean. On
    a CPU a prediction took 1.05 times as long in UPerNet on EfficientNet-Lite0, and 1.25 times on
    ResNet-50. Where nothing can be filtered after the
    activation, the input of the step is, and with it goes what trained weights live on: train such
    a network on. ``place="before", mixing=True`` is what the paper did. It bears noise better,
    and lost clean accuracy in our studies.

    Parameters keep their names, so checkpoints of the plain network load before and after; mixing
    modules that a checkpoint lacks stay unchanged. The result can be copied, pickled, compiled and
    exported like any network. Mixing modules start as the identity, and their parameters are
    trainable even if those of the network are not.

    Fold normalisation, reparameterize and trace the network with ``torch.fx`` before, not after:
    these replace modules that have a filter. :func:`dealias.surgery.check_inserted` detects it.

    Args:
        model: any network.
        example_input: see :func:`find_downsampling`; only its shapes matter.
        filter: ``"daf"``, an ideal low-pass at the Nyquist frequency of the step, at least that of
            its stride; ``"flc"``, one at that of the stride alone, 1 / (2 s); ``"blur"``, a
            binomial kernel; ``"adaptive_blur"``, kernels predicted from the content; or None. An
            adaptive blur has a fixed number of channels, as a learned strength has, so a module
            that is shared by steps of different channels gets none.
        mixing: whether to insert a :class:`dealias.layers.FrequencyMixing` after the convolutions
            of :func:`find_mixing` that follow the chosen sites.
        cutoff: in cycles per pixel, in (0, 0.5], for the filters "daf" and "flc" and for mixing
            modules. ``"auto"`` depends on `filter`, and is the Nyquist frequency of the step for
            blurs and None. ``"published"`` is half the published sampling rate, which may be less
            than that of the stride. A number, or (row, column), holds for every site. A mapping
            holds for the sites of :func:`find_downsampling` or :func:`find_mixing` that it names;
            its key "*" is for all others, by default "auto".
        sites: names of downsampling sites to filter, instead of those without a ``reason`` in
            :func:`find_downsampling`.
        place: where filters go. ``"before"`` the unit; ``"after"`` the activation that follows the
            strided convolution, which then runs at stride 1, and the filtered map is subsampled;
            or ``"auto"``, after it where that can be, and before the unit elsewhere. A shortcut of
            a 1x1 convolution is filtered at its input, which is the same. Max pooling runs at
            stride 1 likewise. It costs the convolution s * s times its operations. In training, a
            normalisation between both takes its statistics from the larger map.
        unit: see :func:`find_downsampling`.
        strength: how far filters move a map towards its filtered version, in [0, 1]; or
            ``"learned"``, for each channel, from 0. See :class:`dealias.layers.PartialFilter`.
            A strength below 1 can be raised by :func:`dealias.layers.set_strength`.
        sampling: which samples steps take. ``"regular"`` is every s-th from the first. With
            ``"adaptive"`` and ``"learned"``, each image chooses at every step, whether the step is
            filtered or not, and `filter` may be None: see :class:`dealias.layers.PolyphaseShift`.
            The choice is made at the input of the unit, by the map that all its branches read; so
            they take the same samples, whichever runs first, and no convolution has to run at
            stride 1. With circular padding throughout and filters of border "wrap", the output
            then moves with every circular shift of the image, exactly. Maps that the network
            returns lie on the grid that the image chose; the UPerNet of
            :func:`dealias.models.create_model` puts them back.
        inplace: whether to change the model itself, not a copy.
        filter_options: keyword arguments for every filter, like ``{"transfer": "hamming"}``. The
            border of "daf" and "flc" is "reflect" by default, as that of blurs is.
        mixing_options: keyword arguments for every mixing module, like
            ``{"pooling": "official"}``.

    Returns:
        The network, and a report of what was inserted and what was left, with the reasons.

    Raises:
        ValueError: there is nothing to insert; a name is not that of a site, and the message lists
            the sites; the model is de-aliased already; an argument is out of range; the model
            fails on the example, before or after the insertion; images are to choose samples in a
            network that adds or joins maps of several steps, as decoders do, which would not fit.

    >>> import torch
    >>> stem, step = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
    >>> net, report = dealias(nn.Sequential(stem, step, nn.ReLU()), torch.zeros(1, 3, 16, 16))
    >>> print(report)
    site  put in  place  cutoff  as
    1     daf     after  0.250   2.dealias_sampling
    test the network, and train it on if it lost by the filters
    """
    _check(model, filter, mixing, place, unit, strength, sampling)
    trace = record(model, example_input)
    plan, units = plan_of(trace, place="before" if filter is None else place, unit=unit)
    mixable, unmixable = mixing_sites(trace, plan, units)
    chosen = _chosen(plan, sites)
    cutoffs = Cutoffs(cutoff, filter)
    cutoffs.check((*plan.names, *(site.name for site in mixable)))

    target = model if inplace else _copy(model)
    work: list[_Insertion] = []
    left: list[Excluded] = []
    if filter is not None:
        make = partial(_filter, filter, filter_options or {}, strength)
        per_channel = filter == "adaptive_blur" or strength == "learned"
        work, left = _filters(target, plan, chosen, cutoffs, filter, make, per_channel)
        for step in left:
            if sites is not None and step.name in chosen:
                raise ValueError(f"sites: {step.name!r} can't be filtered: {step.reason}")
    if mixing:
        left += unmixable
        sites_to_mix = [site for site in mixable if site.after in chosen]
        work += _mixings(target, plan, sites_to_mix, cutoffs, mixing_options or {})
        if not sites_to_mix:
            left.append(Excluded("(mixing)", "mixing", _NOTHING_TO_MIX))
    if sampling != "regular":
        phases, regular = phase_sites(trace, units)
        choices, uncalled = _phases(target, phases, sampling)
        work += choices
        left += [*regular, *uncalled]
    if not work:
        unasked = set(plan.names) - chosen
        why = "\n".join(["", *by_reason("left", (s for s in left if s.name not in unasked))])
        raise ValueError(f"nothing to put in; the sites of this network are:\n{plan}{why}")
    for insertion in work:
        insertion.carry_out(target)
    _try_out(target, example_input, trace.sizes)
    in_order = tuple(name for name in plan.names if name in chosen)
    report = Report(tuple(i.done for i in work), (*left, *plan.excluded), in_order, unit)
    keep_report(target, report)
    return target, report


def restore(model: M) -> M:
    """Remove from a network, in place, everything that :func:`dealias` inserted.

    Args:
        model: a de-aliased network.

    Returns:
        `model`, with the modules and the state dict that it had before.

    Raises:
        ValueError: the model is not de-aliased.

    >>> import torch
    >>> net = nn.Sequential(nn.MaxPool2d(2))
    >>> net, _ = dealias(net, torch.zeros(1, 8, 16, 16), inplace=True)
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
    branch: Branch | Place | None  # of a filter; where images choose; None for mixing
    done: Inserted

    def carry_out(self, model: nn.Module) -> None:
        module = _like(self.module, self.host, model)
        if isinstance(module, PolyphaseShift) and isinstance(self.branch, Place):
            put_phase(self.host, module, self.branch)
        elif not isinstance(self.branch, Branch):
            put_mixing(self.host, module)
        else:
            put_sampling(model, self.host, module, self.branch)


def _filters(
    target: nn.Module,
    plan: Plan[Site],
    chosen: frozenset[str],
    cutoffs: Cutoffs,
    filter: Filter,  # noqa: A002
    make: Callable[[int, Rate], nn.Module],
    per_channel: bool,
) -> tuple[list[_Insertion], list[Excluded]]:
    work: list[_Insertion] = []
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
        f = cutoffs.at(site)
        shown = f if filter in ("daf", "flc") else None
        for branch, found in zip(branches, hosts, strict=True):
            path, host = found or ("", target)
            module = _build(make, branch.channels, f)
            place: Where = "after" if site.branches else "before"
            done = Inserted(site.name, path, filter, shown, branch.step, place)
            work.append(_Insertion(host, module, branch, done))
            taken.add(path)
    return work, left


def _at_the_input(site: Site) -> tuple[Branch, ...]:
    """The one branch of a site that is filtered before its unit; none if it can't be."""
    if site.place is None:
        return ()
    return (Branch("", (1, 1), site.name, site.place, site.in_channels),)


def _host(target: nn.Module, branch: Branch) -> tuple[str, nn.Module] | None:
    """The path that a filter gets and the module that it is put into; None if there is none."""
    if branch.place is None:
        return f"{branch.at}.{SAMPLING}".lstrip("."), submodule(target, branch.at)
    found = host_of(target, branch.at)
    return None if found is None else (f"{found[0]}.{FILTER}".lstrip("."), found[1])


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


def _phases(
    target: nn.Module, sites: Iterable[PhaseSite], sampling: Sampling
) -> tuple[list[_Insertion], list[Excluded]]:
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
        work.append(_Insertion(host, module, site.place, done))
    return work, left


def _copy(model: M) -> M:
    try:
        with torch.inference_mode(False):
            return copy.deepcopy(model)
    except Exception as error:  # modules may copy themselves and raise anything
        raise ValueError(f"the model can't be copied ({error}); inplace=True changes it") from error


def _build(make: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    """Create a module with trainable parameters, even in inference mode."""
    try:
        with torch.inference_mode(False):
            return make(*args, **options)
    except TypeError as error:
        raise ValueError(f"options: {error}") from error


def _filter(
    kind: Filter, options: Mapping[str, Any], strength: Strength, channels: int, f: Rate
) -> nn.Module:
    module: nn.Module
    if kind == "blur":
        module = BlurFilter(**options)
    elif kind == "adaptive_blur":
        module = AdaptiveBlur(channels, **{"groups": gcd(channels, 8), **options})
    else:
        module = DealiasingFilter(f, **{**FILTER_OPTIONS[kind], **options})
    return module if strength == 1 else PartialFilter(module, strength, channels=channels)


def _check(
    model: nn.Module,
    filter: str | None,  # noqa: A002
    mixing: bool,
    place: str,
    unit: str,
    strength: Any,
    sampling: str,
) -> None:
    check_choice("place", place, get_args(Where))
    check_choice("unit", unit, get_args(UnitOf))
    check_strength(strength)
    check_sampling(sampling)
    if filter is not None and filter not in get_args(Filter):
        names = ", ".join(map(repr, get_args(Filter)))
        raise ValueError(f"filter: expected one of {names} or None, got {filter!r}")
    if filter is None and not mixing and sampling == "regular":
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
        if plan[name].place is None and not plan[name].branches:
            raise ValueError(f"sites: {name!r} can't be filtered: {plan[name].reason}")
    return frozenset(chosen)


def _try_out(model: nn.Module, example_input: Any, sizes: Sequence[Pair]) -> None:
    """Undo the insertion if the network fails now, or returns maps of other sizes.

    It may run all children of a unit, or read the size of a map that is larger now.
    """
    try:
        after = record(model, example_input).sizes
        if sorted({*after}) != sorted({*sizes}):
            raise ValueError(f"the model returns maps of {_sizes(after)}, not {_sizes(sizes)}")
    except ValueError as error:
        remove_all(model)
        raise ValueError(f"with the filters put in, {error}") from error


def _sizes(sizes: Sequence[Pair]) -> str:
    return " and ".join(f"{height} x {width}" for height, width in dict.fromkeys(sizes)) or "none"


def _like(module: nn.Module, host: nn.Module, model: nn.Module) -> nn.Module:
    """Move a module to the device and dtype of its host, or else of the model."""
    weights = (p for m in (host, model) for p in parameters(m) if p.is_floating_point())
    weight = next(weights, None)
    return module if weight is None else module.to(weight.device, weight.dtype)
