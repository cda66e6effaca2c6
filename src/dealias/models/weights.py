"""Matching state dicts with the tensors of a network, by name and shape."""

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dealias.models.network import Network
from dealias.text import printable

_COMPILED = "_orig_mod."  # in the names of modules from torch.compile
_COUNTER = "num_batches_tracked"  # in batch norms; old files leave it out
_MIXING = ".frequency_mixing."
_INSIDE = "network."  # prefix of the names in networks of other libraries


class WeightsError(ValueError):
    """Weights can't be read, or belong to another network."""


def match_names(
    state: Mapping[str, Tensor], names: Iterable[str], *, source: str
) -> dict[str, Tensor]:
    """Remove what wrappers add to the names of a network's tensors.

    This is a prefix of all names, such as ``module.`` of DistributedDataParallel or ``model.`` of a
    LightningModule, and ``_orig_mod.`` of torch.compile anywhere in a name.

    Args:
        state: tensors by name. Those without the prefix, such as the weights of a loss, are left
            out.
        names: names of the network's tensors.
        source: where the tensors come from, for messages.

    Returns:
        Tensors by the network's names, and further tensors by their name without the prefix. If
        none of the network's names is found, all tensors by their own names.

    Raises:
        WeightsError: the whole network is found under several prefixes.

    >>> import torch
    >>> list(match_names({"module.weight": torch.ones(2), "module.bias": torch.ones(2)},
    ...                  ["weight", "bias"], source="a.pth"))
    ['weight', 'bias']
    """
    own = {name.replace(_COMPILED, ""): name for name in names}
    plain = {key.replace(_COMPILED, ""): value for key, value in state.items()}
    needed = {name for name in own if not name.endswith(_COUNTER)}
    deepest = max((name.count(".") for name in needed), default=0)
    held = Counter({"": 0})  # how many of the network's names each prefix has
    for key in plain:
        parts = key.rsplit(".", deepest + 1)
        endings = {".".join(parts[count:]) for count in range(len(parts))}
        held.update(key.removesuffix(name) for name in endings & needed)
    most = max(held.values())
    prefix, *others = sorted(p for p in held if held[p] == most)  # the empty prefix comes first
    if prefix and others and 2 * most >= len(needed):
        listed = ", ".join(map(printable, [prefix, *others]))
        raise WeightsError(f"{source}: expected the network once, got it below each of {listed}")
    inside = {key[len(prefix) :]: v for key, v in plain.items() if key.startswith(prefix)}
    return {own.get(name, name): value for name, value in inside.items()}


def match_weights(model: Network, state: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Tensors by the names of a network, matched as in :func:`match_names`.

    Tensors of a wrapped network, from another library or your own, may also have that network's
    names.

    Raises:
        WeightsError: see :func:`match_names`.
    """
    own = list(model.state_dict())
    found = match_names(state, own, source=source)
    inside = {name.removeprefix(_INSIDE): name for name in own if name.startswith(_INSIDE)}
    if len(inside) < len(own) or not found.keys().isdisjoint(own):
        return found
    bare = match_names(state, inside, source=source)
    return {inside.get(name, name): value for name, value in bare.items()}


def load_weights(model: Network, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network: all of its tensors, and no others.

    Args:
        model: the network; unchanged if the weights do not fit.
        state: tensors by the network's names.
        source: where they come from, for messages.

    Raises:
        WeightsError: the weights are for another number of classes, or belong to another network;
            the message says which tensors are missing, unexpected or of another shape.

    >>> from dealias.models import create_model
    >>> model, other = (create_model("upernet", num_classes=n, backbone="test_resnet")
    ...                 for n in (11, 19))
    >>> load_weights(model, other.state_dict(), source="other.ckpt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dealias.models...WeightsError: other.ckpt: expected 11 classes, the checkpoint has 19: ...
    """
    own = model.state_dict()
    found = find_mismatches(own, state, known=own)
    if any(found):
        what = (
            _class_problem(model, own, state, found.shapes)
            or _mixing_problem(found)
            or f"weights of another network than this of {len(own)} tensors"
        )
        raise WeightsError(f"{source}: {what}: {'; '.join(found.described(own, state))}")
    model.load_state_dict({**own, **state})


class Mismatches(NamedTuple):
    """Names of the tensors in which a state dict and a network differ."""

    missing: list[str]
    unexpected: list[str]
    shapes: list[str]
    kinds: list[str]

    def described(self, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
        """The number of tensors of each kind, and the first of them."""
        both = [
            f"{key}: expected {tuple(own[key].shape)}, got {tuple(state[key].shape)}"
            for key in self.shapes
        ]
        types = [f"{key}: expected {own[key].dtype}, got {state[key].dtype}" for key in self.kinds]
        kinds = (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", both),
            ("of another kind of number", types),
        )
        return [
            f"{len(keys):,} {kind} ({', '.join(map(printable, keys[:4]))}"
            f"{', ...' if len(keys) > 4 else ''})"
            for kind, keys in kinds
            if keys
        ]


def find_mismatches(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], *, known: Container[str]
) -> Mismatches:
    """Compare a network's tensors with a state dict, which should contain only `known` names."""
    return Mismatches(
        [key for key in own if key not in state and not key.endswith(_COUNTER)],
        [key for key in state if key not in known],
        [key for key, v in own.items() if key in state and state[key].shape != v.shape],
        [key for key, v in own.items() if key in state and not _holds(v, state[key])],
    )


def digest_weights(model: nn.Module) -> str:
    """A digest of the names, shapes, types and values of all tensors of a network.

    It does not depend on the device, or on the file in which they are stored.
    """
    found = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        found.update(f"{name}\0{plain.dtype}\0{[*plain.shape]}\0".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def check_kinds(own: Mapping[str, Tensor], state: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse tensors of another kind of number than the network's, such as complex ones.

    Args:
        own: tensors of the network.
        state: tensors by the network's names.
        source: where they come from, for the message.

    Raises:
        WeightsError: there is such a tensor.
    """
    found = find_mismatches(own, state, known=own)
    if found.kinds:
        only = found._replace(missing=[], unexpected=[], shapes=[])
        raise WeightsError(f"{source}: {only.described(own, state)[0]}")


def _holds(own: Tensor, other: Tensor) -> bool:
    """Whether a tensor can hold the values of another: real numbers, of any precision."""
    if own.is_floating_point():
        return other.is_floating_point()
    if own.is_complex():
        return other.is_complex() or other.is_floating_point()
    return not other.is_complex() and (own.dtype == torch.bool) == (other.dtype == torch.bool)


def _class_problem(
    model: Network, own: Mapping[str, Tensor], state: Mapping[str, Tensor], shapes: Sequence[str]
) -> str:
    """The problem, if the shapes differ only in the number of classes."""
    found = set()
    for key in shapes:
        ours, theirs = own[key].shape, state[key].shape
        surplus = ours[0] - model.num_classes if len(ours) == len(theirs) > 0 else -1
        if surplus not in (0, 1) or ours[1:] != theirs[1:]:  # 1: the class "none"
            return ""
        found.add(theirs[0] - surplus)
    if len(found) != 1:
        return ""
    return f"expected {model.num_classes} classes, the checkpoint has {found.pop()}"


def _mixing_problem(found: Mismatches) -> str:
    if found.missing and all(_MIXING in k for k in found.missing) and not found.unexpected:
        return "expected a de-aliased network, the checkpoint is of one without frequency mixing"
    if found.unexpected and all(_MIXING in k for k in found.unexpected) and not found.missing:
        return "expected a network without frequency mixing, the checkpoint is of a de-aliased one"
    return ""
