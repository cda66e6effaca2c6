"""Initial weights of a training, from a network that may have other classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from dealias.layers import FrequencyMixing, PartialFilter, PolyphaseShift
from dealias.models import (
    Network,
    WeightsError,
    check_kinds,
    match_weights,
    read_checkpoint,
    read_saved,
    state_dict_of,
)
from dealias.text import plain_name, printable

_COUNTER = "num_batches_tracked"  # in batch norms; old files leave it out
_MOST_LISTED = 4


def init_weights(
    network: Network, path: Path, class_names: Sequence[str], create: Callable[..., nn.Module]
) -> str:
    """Start a network from the weights of another, which may have other classes or heads.

    Tensors are matched by name and shape. All tensors of the backbone must be there, except those
    of modules that de-aliasing inserted. Layers that score other classes are left out, even if
    the number of classes is the same. Filters keep their own strength, unless it is learned.

    Args:
        network: the network, which is changed in place.
        path: a checkpoint of ``dealias fit``, a folder of ``dealias convert``, or a file of weights
            whose names are those of this network's tensors.
        class_names: names of the classes of the data, in the order of their labels.
        create: builds a network from its configuration and a number of classes.

    Returns:
        Text that says how many tensors were taken, and which were left out.

    Raises:
        WeightsError: the weights can't be read, or belong to another network.
    """
    source = printable(path)
    content, classes = _read(path, source)
    own = network.state_dict()
    state = match_weights(network, content, source=source)
    kept = _set_strengths(network, own)
    taken = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    taken = {k: v for k, v in taken.items() if k not in kept}
    if classes is not None and [*map(plain_name, classes)] != [*map(plain_name, class_names)]:
        scoring = _scoring(network, own, create)
        taken = {k: v for k, v in taken.items() if k not in scoring}
    check_kinds(own, {**own, **taken}, source=source)
    left = [k for k in own if k not in taken and not k.endswith(_COUNTER)]
    inserted, inside = _inserted(network, own), _backbone(network, own)
    lacking = [k for k in left if k in inside and k not in inserted]
    if lacking:  # a backbone may have a head, which other classes leave out
        scoring = _scoring(network, own, create)
        lacking = [k for k in lacking if not (k in scoring and k in state)]
    if lacking or not taken:
        raise WeightsError(
            f"init_from: {source}: expected the tensors of the backbone, got "
            f"{_listed(lacking, own, state) or 'none of this network'}"
        )
    network.load_state_dict({**own, **taken})
    more = [k for k in state if k not in own]
    parts = [f"{len(taken):,} of {len(own):,} tensors taken"]
    kinds = (("with random weights", False), ("as inserted", True))
    for words, is_inserted in kinds:
        names = [name for name in left if (name in inserted) is is_inserted]
        if names:
            parts.append(f"{words}: {_listed(names, own, state)}")
    if more:
        parts.append(f"not used: {_listed(more, own, state)}")
    return "; ".join(parts)


def _read(path: Path, source: str) -> tuple[Mapping[str, Tensor], list[str] | None]:
    """The tensors, and the names of the classes if they are known."""
    if path.is_dir():
        state, classes = read_saved(path)
    else:
        content = read_checkpoint(path)
        parameters = content.get("hyper_parameters") if isinstance(content, dict) else None
        state = state_dict_of(content, source=source)
        classes = parameters.get("classes") if isinstance(parameters, dict) else None
    names = classes.get("names") if isinstance(classes, dict) else None
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return state, [*names] if known and names else None


def _scoring(
    network: Network, own: Mapping[str, Tensor], create: Callable[..., nn.Module]
) -> set[str]:
    """Names of the tensors that score classes: their shape changes with the number of classes.

    If the network can't be built with another number, they are those outside the backbone that
    have one row per class.
    """
    left_out = ("num_classes", "backbone_weights", "dealias")
    config = {name: value for name, value in network.config.items() if name not in left_out}
    try:
        with isolate_rng(include_cuda=False):
            wider = create(**config, num_classes=network.num_classes + 1).state_dict()
    except Exception:  # of any kind, from a class of the user's own
        wider = {}
    scoring = {k for k, v in own.items() if k in wider and wider[k].shape != v.shape}
    if scoring:
        return scoring
    found = {k for k, v in own.items() if v.ndim and v.shape[0] == network.num_classes}
    inside = _backbone(network, own)
    return found - inside if len(inside) < len(own) else found


def _inserted(network: Network, own: Mapping[str, Tensor]) -> set[str]:
    """Names of the tensors of modules that de-aliasing inserted."""
    inside: set[int] = set()
    for module in network.modules():
        if isinstance(module, FrequencyMixing | PolyphaseShift):
            inside |= {value.data_ptr() for value in module.state_dict().values()}
        elif isinstance(module, PartialFilter):
            inside.add(module.strength.data_ptr())
    return _at(inside, own)


def _set_strengths(network: Network, own: Mapping[str, Tensor]) -> set[str]:
    """Names of the strengths of filters that the configuration sets, not training."""
    filters = (m for m in network.modules() if isinstance(m, PartialFilter) and not m.learned)
    return _at({module.strength.data_ptr() for module in filters}, own)


def _backbone(network: Network, own: Mapping[str, Tensor]) -> set[str]:
    return _at({value.data_ptr() for value in network.backbone.state_dict().values()}, own)


def _at(places: set[int], own: Mapping[str, Tensor]) -> set[str]:
    """Names of the tensors at these places in memory."""
    return {name for name, value in own.items() if value.data_ptr() in places}


def _listed(names: Sequence[str], own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """A list of tensors by name, with both shapes where these differ."""
    parts = []
    for name in names[:_MOST_LISTED]:
        both = name in own and name in state and own[name].shape != state[name].shape
        shapes = f" {[*state[name].shape]} for {[*own[name].shape]}" if both else ""
        parts.append(f"{printable(name)}{shapes}")
    rest = len(names) - len(parts)
    return ", ".join([*parts, *([f"and {rest:,} more"] if rest else [])])
