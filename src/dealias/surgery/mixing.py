"""Where frequencies can be mixed: the spatial convolutions of residual units."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from dealias.layers import FrequencyMixing
from dealias.surgery.downsampling import plan_of
from dealias.surgery.insertion import InputFilter
from dealias.surgery.plan import Excluded, MixingSite, Plan, Site, rate_text
from dealias.surgery.record import record
from dealias.surgery.resolution import layout_of
from dealias.surgery.trace import Event, Sum, Trace
from dealias.surgery.units import Unit

# Their convolutions are none of the network's own.
_INSERTED = (FrequencyMixing, InputFilter)


def find_mixing(model: nn.Module, example_input: Any) -> Plan[MixingSite]:
    """Find the convolutions after which a network can weigh its frequencies anew.

    These are, in every residual unit that follows a filtered downsampling site at its resolution,
    the last convolution larger than 1x1 on the way that is added to the shortcut. In a ResNet of
    bottlenecks that is ``conv2`` of every block in layer2 to layer4, where the published code has
    its FreqMix modules; of basic blocks, ``conv2``; in ConvNeXt, MobileNet and EfficientNet the
    depthwise convolution of the blocks with a shortcut; in SegFormer that of the Mix-FFN. Swin has
    no such convolution, hence no site.

    A residual unit is a module called with one map that adds two maps descending from it, at its
    resolution or one step below; neither went through a lower one.

    Args:
        model: any module.
        example_input: as for :func:`find_downsampling`.

    Returns:
        The sites in the order they run, each with the downsampling site that it follows, and that
        site's Nyquist frequency as cutoff. A convolution that runs after several sites, of
        different Nyquist frequencies, is none.

    Raises:
        ValueError: as :func:`find_downsampling`.
    """
    trace = record(model, example_input)
    plan, units = plan_of(trace)
    filtered = {site.name for site in plan if not site.reason}
    sites, excluded = mixing_sites(trace, plan, units)
    return Plan(tuple(site for site in sites if site.after in filtered), tuple(excluded))


def mixing_sites(
    trace: Trace, plan: Plan[Site], units: Sequence[Unit]
) -> tuple[list[MixingSite], list[Excluded]]:
    """The sites after any downsampling site, filtered or not, and those with several cutoffs."""
    sites: dict[str, MixingSite] = {}
    cutoffs: dict[str, list[str]] = {}
    for total in trace.sums:
        convolution = _last_convolution(total, trace, units)
        if convolution is None:
            continue
        step = _step_before(convolution, units)
        if step is not None:
            name = convolution.call.name
            found = cutoffs.setdefault(name, [])
            text = rate_text(plan[step.name].nyquist)
            if text not in found:
                found.append(text)
            if name in sites:
                continue
            sites[name] = MixingSite(
                name=name,
                unit=total.call.name,
                after=step.name,
                channels=convolution.reading.channels[1],
                cutoff=plan[step.name].nyquist,
                size=convolution.reading.result_size,
            )
    order = [event.call.name for event in trace.events]
    ordered = sorted(sites.values(), key=lambda site: order.index(site.name))
    excluded = [
        Excluded(name, "mixing", f"one module after steps of Nyquist frequencies {' and '.join(f)}")
        for name, f in cutoffs.items()
        if len(f) > 1
    ]
    return [site for site in ordered if len(cutoffs[site.name]) == 1], excluded


def _last_convolution(total: Sum, trace: Trace, units: Sequence[Unit]) -> Event | None:
    """Of the residual branch of a sum; None if the sum ends no residual unit."""
    apart = total.operands[0] ^ total.operands[1]  # what only one of the two went through
    if total.call.maps != 1 or any(
        unit.bits & apart and layout_of(total.shape, unit.result_size) is None for unit in units
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
        and layout_of(total.shape, event.reading.result_size) is not None
    ]
    if not candidates:
        return None
    size = candidates[-1].reading.result_size
    entered = [size, *(unit.size for unit in units if unit.result_size == size)]
    is_one_stride = any(layout_of(total.call.source, entry) for entry in entered)
    return candidates[-1] if is_one_stride else None


def _gives_result(convolution: Event) -> bool:
    """Whether the module that runs a convolution returns what it gives."""
    result, reading = convolution.call.result, convolution.reading
    return result is not None and result[1:] == (reading.channels[1], *reading.result_size)


def _step_before(convolution: Event, units: Sequence[Unit]) -> Unit | None:
    """The last step through which the map went that gave it its size."""
    passed = convolution.before | convolution.bit
    return next(
        (
            unit
            for unit in reversed(units)
            if unit.bits & passed and unit.result_size == convolution.reading.result_size
        ),
        None,
    )
