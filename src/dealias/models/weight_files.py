"""Files of weights, read without running anything that they hold."""

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dealias.models.errors import WeightsError
from dealias.text import printable

# Where files hold the weights to use, of several; those of optimizers are no state dicts.
_HOLDERS = ("state_dict", "model_state_dict", "model", "teacher")
_COMPILED = "_orig_mod."  # in names of a network, or part of it, that torch.compile made
_LARGEST_HEADER = 100_000_000  # bytes, of safetensors


def read_weights(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Read the weights of a network from a file of any kind, by the network's own names.

    Args:
        path: as for :func:`read_state_dict`.
        names: of the network's tensors, in its state dict.

    Returns:
        As :func:`match_names` does.

    Raises:
        WeightsError: as those two.
    """
    try:
        return match_names(read_state_dict(path), names)
    except AmbiguousNamesError as error:
        raise WeightsError(f"{printable(path)}: {error}") from error


def read_checkpoint(path: Path) -> Any:
    """What a file of safetensors or torch.save holds: tensors, numbers, text and containers.

    Which of them it is, the content says, not the name.

    Raises:
        WeightsError: there is no such file, it is none of them, or it holds objects of other
            kinds, which can run code when they are read: they are not.
    """
    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    if _is_safetensors(path):
        return read_safetensors(path)
    try:
        # Of the file alone, torch.load goes by the content too; it warns of other pickles.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file of another kind sets off
        raise WeightsError(f"{printable(path)}: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    """What is wrong, without PyTorch's advice to read the file all the same."""
    held = re.search(r"GLOBAL ([^\s,]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and held:
        return (
            f"refused: it holds {printable(held[1])}. Only tensors, numbers, text and containers "
            f"of them are read, since reading anything else can run code"
        )
    if "TorchScript" in str(error):
        return "refused: it holds a TorchScript program; expected the state dict of a network"
    reason = printable(str(error).partition("\n")[0])
    detail = "" if "weights_only" in reason else f": {reason}"
    return (
        f"expected a file of torch.save or safetensors, got one that can't be read "
        f"({type(error).__name__}{detail})"
    )


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as those of safetensors: the length of a JSON object, and that."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LARGEST_HEADER


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of a file of safetensors or torch.save.

    Raises:
        WeightsError: as :func:`read_checkpoint`, or as :func:`state_dict_of`.
    """
    return state_dict_of(read_checkpoint(path), source=printable(path))


def state_dict_of(content: Any, *, source: str) -> dict[str, Tensor]:
    """The state dict that a file holds, bare or below a key.

    Args:
        content: of the file.
        source: its name, for messages.

    Returns:
        Tensors by name. Of several state dicts it is the first there is of those that the keys
        "state_dict", "model_state_dict", "model" and "teacher" hold.

    Raises:
        WeightsError: it holds none, or several below other keys.

    >>> state_dict_of({"epoch": 3, "net": {"weight": torch.ones(2)}}, source="a.pth")
    {'weight': tensor([1., 1.])}
    """
    found = _states(content)
    if not found:
        raise WeightsError(f"{source}: expected tensors by name, got no state dict")
    key = next(key for key in (*_HOLDERS, *found) if key in found)
    if len(found) > 1 and key not in _HOLDERS:
        raise WeightsError(
            f"{source}: expected one state dict, or one as {', '.join(_HOLDERS)}, got "
            f"{', '.join(map(printable, found))}"
        )
    return found[key]


def _states(content: Any) -> dict[str, dict[str, Tensor]]:
    """State dicts in a file by the keys that hold them, or the file itself as ""."""
    if not isinstance(content, Mapping) or not content:
        return {}
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return {"": dict(content)}
    inner = {key: _states(value) for key, value in content.items() if isinstance(key, str)}
    # {"model": {"state_dict": ...}} is held by "model".
    return {key: next(iter(held.values())) for key, held in inner.items() if len(held) == 1}


class AmbiguousNamesError(ValueError):
    """A state dict holds the weights of a network more than once."""


def match_names(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Take what wrappers put into the names of a network's tensors out of them.

    That is what stands before all of them, such as ``module.`` of DistributedDataParallel or
    ``model.`` of a LightningModule, and ``_orig_mod.`` of torch.compile anywhere.

    Args:
        state: tensors by name. What does not begin as the network's does is left out, as the
            weights of a loss are.
        names: of the network's tensors.

    Returns:
        Tensors by the network's names, and those that it has no name for by what follows the
        wrapping. Where none of the names is there, all are as they were.

    Raises:
        AmbiguousNamesError: several beginnings hold all of the network.

    >>> list(match_names({"module.weight": torch.ones(2), "module.bias": torch.ones(2)},
    ...                  ["weight", "bias"]))
    ['weight', 'bias']
    """
    own = {name.replace(_COMPILED, ""): name for name in names}
    plain = {key.replace(_COMPILED, ""): value for key, value in state.items()}
    # Old files leave the counters of batch norms out.
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    prefixes = {""} | {key[: dot.end()] for key in plain for dot in re.finditer(r"\.", key)}
    held = {p: sum(p + name in plain for name in needed) for p in sorted(prefixes)}
    most = max(held.values())
    prefix, *others = [p for p in held if held[p] == most]  # that of nothing is the first
    if prefix and others and most == len(needed):
        listed = ", ".join(map(printable, [prefix, *others]))
        raise AmbiguousNamesError(f"expected the network once, got it below each of {listed}")
    inside = {key[len(prefix) :]: v for key, v in plain.items() if key.startswith(prefix)}
    return {own.get(name, name): value for name, value in inside.items()}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of a .safetensors file.

    Raises:
        WeightsError: there is no such file, or it is none of safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{printable(path)}: can't be read: {error}") from error
