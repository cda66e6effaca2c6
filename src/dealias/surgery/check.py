"""Whether what was put into a network is still there."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from dealias.surgery.insertion import MIXING, is_folded, is_hooked, record_of
from dealias.surgery.record import run
from dealias.surgery.report import Inserted, Report
from dealias.surgery.walk import named_modules, submodule


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
    roots = [(model, report)] if report else [(m, record_of(m)) for _, m in named_modules(model)]
    known = [(root, kept) for root, kept in roots if kept is not None]
    if not known:
        raise ValueError(
            "report: expected that of dealias.dealias, since the model keeps none: it was never "
            "de-aliased, or the module that was is replaced"
        )
    for root, kept in known:
        yield from ((root, item) for item in kept.inserted)


def _find(root: nn.Module, item: Inserted) -> tuple[nn.Module | None, str]:
    """A module put in, and what is wrong with it."""
    path, _, child = item.module.rpartition(".")
    try:
        host, module = submodule(root, path), submodule(root, item.module)
    except KeyError:
        return None, "is gone"
    if not is_hooked(host, child):
        return None, "has lost its hook"
    if child == MIXING and is_folded(host):
        return None, "its convolution was folded with the normalisation that follows"
    return module, ""
