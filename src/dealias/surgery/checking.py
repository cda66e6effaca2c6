"""Check that everything inserted into a network still runs."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from dealias.surgery.insertion import (
    MIXING,
    Inserted,
    Report,
    is_folded,
    is_hooked,
    is_strided,
    kept_reports,
)
from dealias.surgery.record import run
from dealias.surgery.walk import submodule


def check_inserted(
    model: nn.Module, report: Report | None = None, *, example_input: Any = None
) -> None:
    """Raise ValueError unless everything that :func:`dealias.dealias` inserted still runs.

    Inserted modules run through hooks on modules of the network. They are lost when such a module
    is replaced, for instance when normalisation is folded or the network is reparameterized; when
    the hooks of the module are cleared; and, for hooks of the model itself, in the graph that
    ``torch.fx`` traces. So fold and trace first, then de-alias. For conversions that replace
    modules one by one, use :func:`keep_inserted`. Call this function before you export a network
    that was changed after de-aliasing.

    Args:
        model: a de-aliased network, or a module that contains one, like
            ``DistributedDataParallel``.
        report: report of :func:`dealias.dealias` for `model` itself. By default, the reports that
            the de-aliased modules store are used; copies and pickles have them too, but a graph of
            ``torch.fx`` has none.
        example_input: see :func:`find_downsampling`. The model runs once, and every inserted module
            must be called. With None, only the modules are checked.

    Raises:
        ValueError: an inserted module is lost (the message names it); there is no report; or the
            model is a TorchScript module, or fails on the example.

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
    found = [(item, *_find(root, item)) for root, item in _expected(model, report)]
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
    kept = [(model, report)] if report else [(m, own) for _, m, own in kept_reports(model)]
    if not kept:
        raise ValueError(
            "report: expected that of dealias.dealias, since the model keeps none: it was never "
            "de-aliased, or the module that was is replaced"
        )
    for root, own in kept:
        yield from ((root, item) for item in own.inserted)


def _find(root: nn.Module, item: Inserted) -> tuple[nn.Module | None, str]:
    """Find an inserted module, and say what is wrong with it."""
    path, _, child = item.module.rpartition(".")
    try:
        host, module = submodule(root, path), submodule(root, item.module)
    except KeyError:
        return None, "is gone"
    if not is_hooked(host, child):
        return None, "has lost its hook"
    if child == MIXING and is_folded(host):
        return None, "its convolution was folded with the normalisation that follows"
    if item.step:
        try:
            step = submodule(root, item.step)
        except KeyError:
            return None, f"{item.step} is gone"
        if is_strided(step):
            return None, f"{item.step} does not run at stride 1 any more"
    return module, ""
