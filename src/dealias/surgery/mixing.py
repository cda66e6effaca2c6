"""Find where frequencies can be mixed: at the spatial convolutions of residual units."""

from collections.abc import Sequence
from typing import Any, get_args

from torch import nn

from dealias.layers import FrequencyMixing
from dealias.spectral import check_choice
from dealias.surgery.downsampling import plan_of
from dealias.surgery.insertion import InputFilter
from dealias.surgery.plan import Excluded, MixingSite, Plan, Site, UnitOf, Where, rate_text
from dealias.surgery.record import record
from dealias.surgery.resolution import layouts_of
from dealias.surgery.trace import Event, Sum, Trace
from dealias.surgery.units import Unit

# Types of modules whose convolutions do not belong to the network itself.
_INSERTED = (FrequencyMixing, InputFilter)


def find_mixing(
    model: nn.Module, example_input: Any, *, place: Where = "auto", unit: UnitOf = "step"
) -> Plan[MixingSite]:
    """Find the convolutions after which frequency mixing can be inserted.

    These are the last convolutions larger than 1x1 on the residual branch of every residual unit
    that follows a filtered downsampling site, at the resolution of that site. In ResNets with
    ``place="before"``, this is ``conv2`` of every block in layer2 to layer4, where the published
    code has its FreqMix modules. A strided convolution whose map is filtered after the activation
    runs at the higher resolution, so it is not included. In ConvNeXt, MobileNet and EfficientNet it
    is the depthwise convolution of blocks with a shortcut, and in SegFormer that of the Mix-FFN.
    Swin has no such convolution, so it has no site.

    A residual unit is a module that takes one map and adds two maps that descend from it. Both have
    the resolution of the input or the resolution after one step, and neither went through a lower
    resolution.

    Args:
        model: any module.
        example_input: see :func:`find_downsampling`.
        place: place of the filters; see :func:`find_downsampling`.
        unit: see :func:`find_downsampling`.

    Returns:
        The sites in the order in which they run, each with the downsampling site that it follows
        and the Nyquist frequency of that site as cutoff. A convolution that runs after several
        sites with different Nyquist frequencies is not a site.

    Raises:
        ValueError: see :func:`find_downsampling`.
    """
    check_choice("place", place, get_args(Where))
    check_choice("unit", unit, get_args(UnitOf))
    trace = record(model, example_input, trained=place != "before")
    plan, units = plan_of(trace, place=place, unit=unit)
    filtered = {site.name for site in plan if not site.reason}
    sites, excluded = mixing_sites(trace, plan, units)
    return Plan(tuple(site for site in sites if site.after in filtered), tuple(excluded))


def mixing_sites(
    trace: Trace, plan: Plan[Site], units: Sequence[Unit]
) -> tuple[list[MixingSite], list[Excluded]]:
    """Return the mixing sites after downsampling sites, and convolutions that can't be one."""
    dense = {branch.step for site in plan for branch in site.branches}
    found: dict[str, list[MixingSite]] = {}
    for total in trace.sums:
        convolution = _last_convolution(total, trace, units)
        step = None if convolution is None else _step_before(convolution, units)
        if convolution is None or step is None:
            continue
        site = MixingSite(
            name=convolution.call.name,
            unit=total.call.name,
            after=step.name,
            channels=convolution.reading.channels[1],
            cutoff=plan[step.name].nyquist,
            size=convolution.reading.result_size,
        )
        found.setdefault(site.name, []).append(site)
    sites, excluded = [], []
    for name, uses in found.items():
        cutoffs = list(dict.fromkeys(rate_text(site.cutoff) for site in uses))
        if name in dense:
            excluded.append(Excluded(name, "mixing", "runs at stride 1 now"))
        elif len(cutoffs) == 1:
            sites.append(uses[0])
        else:
            reason = f"one module after steps of Nyquist frequencies {' and '.join(cutoffs)}"
            excluded.append(Excluded(name, "mixing", reason))
    order = [event.call.name for event in trace.events]
    return sorted(sites, key=lambda site: order.index(site.name)), excluded


def _last_convolution(total: Sum, trace: Trace, units: Sequence[Unit]) -> Event | None:
    """Return the residual branch's last convolution; None if the sum is not of a residual unit."""
    apart = total.operands[0] ^ total.operands[1]  # bits that only one operand has
    if total.call.maps != 1 or any(
        unit.bits & apart and not layouts_of(total.shape, unit.result_size) for unit in units
    ):
        return None
    candidates = [
        event
        for event in trace.events
        if event.bit & apart
        and event.reading.kind == "convolution"
        and max(event.reading.kernel) > 1
        and _gives_result(event)
        and total.call in event.call.ancestors()
        and not any(isinstance(c.module, _INSERTED) for c in event.call.ancestors())
        and layouts_of(total.shape, event.reading.result_size)
    ]
    if not candidates:
        return None
    size = candidates[-1].reading.result_size
    entered = [size, *(unit.size for unit in units if unit.result_size == size)]
    is_one_stride = any(layouts_of(total.call.source, entry) for entry in entered)
    return candidates[-1] if is_one_stride else None


def _gives_result(convolution: Event) -> bool:
    """Whether the module that runs a convolution returns its result."""
    result, reading = convolution.call.result, convolution.reading
    return result is not None and result[1:] == (reading.channels[1], *reading.result_size)


def _step_before(convolution: Event, units: Sequence[Unit]) -> Unit | None:
    """Return the last step that led to the size of the map."""
    passed = convolution.before | convolution.bit
    return next(
        (
            unit
            for unit in reversed(units)
            if unit.bits & passed and unit.result_size == convolution.reading.result_size
        ),
        None,
    )
