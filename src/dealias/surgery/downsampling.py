"""Find the downsampling sites of any network in one forward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, get_args

from torch import nn

from dealias.spectral import check_choice, equivalent_sampling_rate, nyquist_frequency
from dealias.surgery.after import branches_after
from dealias.surgery.cutoffs import pair_of
from dealias.surgery.plan import Excluded, Plan, Rate, Site, UnitOf, Where, rate_text
from dealias.surgery.record import record
from dealias.surgery.trace import Trace
from dealias.surgery.units import Unit, find_units


def find_downsampling(
    model: nn.Module, example_input: Any, *, place: Where = "auto", unit: UnitOf = "step"
) -> Plan[Site]:
    r"""Find every step that lowers the resolution, and the unit it belongs to.

    The model runs on the example without gradients and in evaluation mode; flags, buffers and
    random state are restored. If filters may be placed after activations, it runs once more in
    training mode, because modules may be shared there that are not shared in evaluation. The steps
    are strided convolutions, max and average pooling, patch embedding and merging, pixel-unshuffle,
    strided slices, and interpolation and adaptive pooling to a lower resolution. They may be
    modules or functions, and act on maps [B, C, H, W] or [B, H, W, C] or on tokens [B, H * W, C].

    A strided slice along a single axis counts only if its map is the input of a convolution larger
    than 1x1 or of a further step; other slices are of channels. Steps that take samples by
    reshaping or by indices are found if a module takes a map and returns it at 1/2, 1/3, ... of the
    size along both axes.

    A unit is the smallest module that takes the map at the high resolution and returns it at the
    low one, so the branches and the shortcut of a residual block count once. Its kernel K and
    stride s are those of the branch with the largest kernel, and its channels are those of its
    input and output. Its Nyquist frequency is

    .. math:: f_N = \tfrac12 \max(1, \min(K, \sqrt{C_\mathrm{out} / C_\mathrm{in}})) / s,

    at most 0.5. This is half the published sampling rate, but never less than half that of the
    stride, below which nothing aliases. With ``unit="block"``, the unit of a strided depthwise
    convolution is the block around it, which expands the channels before and projects them after
    it, as in MobileNet and EfficientNet. A filter there processes fewer channels, but costs more
    accuracy: in a trained UPerNet-Lite0 without further training, it cost 1.2 points of mIoU at
    ``blocks.2.0``, and 0.2 points at the depthwise convolution in that block.

    Some steps are not sites. They are listed in ``plan.excluded`` with the reason:

    - pooling to one pixel, and adaptive pooling that gathers context: to one row or column, to a
      grid of at most 8 x 8 cells, or to a grid that is enlarged back. If the grid is the input of a
      convolution larger than 1x1 or of a further step, it is context only if it is both small and
      enlarged back;
    - resizing before the first layer or after the last one;
    - strided modules that did not run on the example;
    - strides on the keys and values of an attention, but not on its queries, in a module that keeps
      the resolution. An attention is recognised by products within one module: weights from a
      softmax, usually of the product of queries and keys, are multiplied by values.

    By default, :func:`dealias.dealias` filters the sites with an empty ``reason``. Before a step,
    it does not filter a site

    - whose Nyquist frequency is 0.5, because the output can represent all of the input;
    - that pools right after the first convolution, if both together have a Nyquist frequency of
      0.5. Pooling has no filters that could hold several phases of its input, so the two count as
      one step from the image, with the K and s of both combined and from the channels of the image
      to those that are pooled. Hence the stem of a ResNet is not filtered, and layer2 to layer4
      are;
    - that belongs to no module, or to a container that would run a filter as one more child;
    - whose module runs at several steps of different Nyquist frequencies.

    After the activation, the Nyquist frequency is that of the stride alone, because the channels
    have already been computed. There it does not filter

    - a convolution of the image itself, which would cost the most at stride 1;
    - a step that is not a separate strided convolution or pooling, or that no activation follows;
    - a step whose module runs at several steps;
    - a step whose modules up to the activation have hooks, which would see the larger map.

    A module that runs at several steps, like the pooling of some U-Nets, is a single site: the
    first of its ``uses``.

    Args:
        model: any module.
        example_input: a tensor; a tuple of arguments; a dict of keyword arguments; or a list, which
            is a single argument, as the images of detection models are. It must be large enough
            for every step: a stride does not lower the resolution of a map of one pixel.
        place: where filters would be placed: ``"before"`` the unit; ``"after"`` the activation that
            follows the strided convolution; or ``"auto"``, after the activation where that is
            possible, and before the unit elsewhere.
        unit: unit of a strided depthwise convolution: the ``"step"`` itself, or the ``"block"``
            around it.

    Returns:
        The sites in the order in which they run.

    Raises:
        ValueError: the model is not a module or is a TorchScript module, the example has no tensor,
            or the model fails on it.

    >>> import torch
    >>> net = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.MaxPool2d(2))
    >>> plan = find_downsampling(net, torch.zeros(1, 8, 16, 16))
    >>> plan.names
    ('0', '1')
    >>> round(plan["0"].nyquist, 3), plan["1"].nyquist
    (0.354, 0.25)
    >>> [site.filtered for site in plan]  # no activation follows the convolution
    ['before', 'after']
    """
    check_choice("place", place, get_args(Where))
    check_choice("unit", unit, get_args(UnitOf))
    trace = record(model, example_input, trained=place != "before")
    return plan_of(trace, place=place, unit=unit)[0]


def plan_of(
    trace: Trace,
    *,
    place: Where = "auto",
    unit: UnitOf = "step",
    refused: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Plan[Site], list[Unit]]:
    """Return the sites of a recorded pass, and every use of a unit in the order of execution.

    Args:
        trace: the recorded pass.
        place: see :func:`find_downsampling`.
        unit: see :func:`find_downsampling`.
        refused: reasons by name why sites can't be filtered after their activation, in addition to
            the reasons that the pass shows.
    """
    units, excluded = find_units(trace, blocks=unit == "block")
    uses = [use for found in units for use in (found, *found.others)]
    uses.sort(key=lambda use: use.events[0].bit)
    sites = [_with_uses(found, uses) for found in units]
    if place != "before":
        pairs = zip(sites, units, strict=True)
        after = [_after(*pair, trace, refused, only=place == "after") for pair in pairs]
        sites = after if place == "after" else _without_conflicts(after, sites)
    idle = [Excluded(name, kind, "did not run on the example") for name, kind in trace.idle]
    return Plan(tuple(sites), (*excluded, *idle)), uses


def _without_conflicts(after: Sequence[Site], before: Sequence[Site]) -> list[Site]:
    """Filter a step at its input if the place after it is the input of another filtered step."""
    found: list[Site] = []
    inputs: set[str] = set()
    for site, plain in zip(reversed(after), reversed(before), strict=True):
        at = [branch.at for branch in site.branches if branch.step and branch.place is not None]
        taken = any(f"{path}.".startswith(f"{name}.") for path in at for name in inputs)
        found.insert(0, plain if taken else site)
        if found[0].filtered == "before":
            inputs.add(site.name)
    return found


def _after(site: Site, unit: Unit, trace: Trace, refused: Mapping[str, str], *, only: bool) -> Site:
    """Return the site filtered after its activation; unchanged if that can't be, unless `only`."""
    branches, reason = branches_after(unit, trace, refused)
    if reason and not only:
        return site
    rows, columns = (min(0.5 / stride, 0.5) for stride in site.stride)
    nyquist = _one_if_equal((rows, columns))
    place = site.place if branches else None
    return replace(site, nyquist=nyquist, place=place, reason=reason, branches=branches)


def _with_uses(unit: Unit, units: Sequence[Unit]) -> Site:
    """Return the site of a unit, with all uses of its module."""
    site = _site(unit, units)
    others = [
        replace(_site(other, units), name=f"{site.name}#{number}")
        for number, other in enumerate(unit.others, 2)
    ]
    uses = [site, *others]
    rates = sorted({rate_text(use.nyquist) for use in uses})
    if len(rates) > 1:
        reason = f"one module for steps of Nyquist frequencies {' and '.join(rates)}"
    elif site.place is None:
        reason = site.reason
    else:
        # The module is filtered if at least one of its uses needs it.
        reason = site.reason if all(use.reason for use in uses) else ""
    return replace(site, reason=reason, others=tuple(others))


def _site(unit: Unit, units: Sequence[Unit]) -> Site:
    kind, kernel = unit.kind_and_kernel
    stride = unit.main.reading.stride
    nyquist = nyquist_frequency(kernel, stride, *unit.channels)
    return Site(
        name=unit.name,
        kind=kind,
        kernel=kernel,
        stride=stride,
        in_channels=unit.channels[0],
        out_channels=unit.channels[1],
        esr=_one_if_equal(equivalent_sampling_rate(kernel, stride, *unit.channels)),
        nyquist=_one_if_equal(nyquist),
        input_size=unit.size,
        output_size=unit.result_size,
        step=unit.main.call.name,
        place=unit.place,
        reason=_reason_to_leave(unit, nyquist, units),
        call=unit.call.number,
    )


def _reason_to_leave(unit: Unit, nyquist: Rate, units: Sequence[Unit]) -> str:
    if min(pair_of(nyquist)) >= 0.5:
        return "a Nyquist frequency of 0.5 needs no filter"
    stem = _convolution_before(unit, units)
    if stem is not None and min(pair_of(_rate_of_stem(stem, unit))) >= 1:
        return f"with {stem.name}, one step from the image of Nyquist frequency 0.5"
    if unit.place is None:
        return unit.reason_for_no_place
    return ""


def _convolution_before(unit: Unit, units: Sequence[Unit]) -> Unit | None:
    """Return the only step before a pooling step, if it is a convolution."""
    before = [other for other in units if other.bits & unit.before]
    if unit.main.reading.kind in ("max_pool", "avg_pool") and len(before) == 1:
        return before[0] if before[0].main.reading.kind == "convolution" else None
    return None


def _rate_of_stem(first: Unit, pooling: Unit) -> Rate:
    a, b = first.main.reading, pooling.main.reading
    rows, columns = (
        k + (j - 1) * int(s) for k, j, s in zip(a.kernel, b.kernel, a.stride, strict=True)
    )
    stride = a.stride[0] * b.stride[0], a.stride[1] * b.stride[1]
    channels = first.channels[0], pooling.channels[1]
    return equivalent_sampling_rate((rows, columns), stride, *channels)


def _one_if_equal(rate: Rate) -> Rate:
    rows, columns = pair_of(rate)
    return rows if rows == columns else (rows, columns)
