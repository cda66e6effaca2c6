"""Reading files of weights, without running any code that they hold."""

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dealias.models.weights import WeightsError, match_names
from dealias.text import printable

# The keys of the weights to use if a file has several; the state of an optimizer is none.
_HOLDERS = ("state_dict", "model_state_dict", "model", "teacher")
_LARGEST_HEADER = 100_000_000  # bytes, of safetensors


def read_weights(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Read the weights of a network from a file of any kind, by the network's own names.

    Args:
        path: as for :func:`read_state_dict`.
        names: names of the network's tensors, as in its state dict.

    Returns:
        As from :func:`match_names`.

    Raises:
        WeightsError: as from :func:`read_state_dict` and :func:`match_names`.
    """
    return match_names(read_state_dict(path), names, source=printable(path))


def read_checkpoint(path: Path) -> Any:
    """Read a file of safetensors or torch.save: tensors, numbers, text and containers of them.

    The format is recognised by the content, not by the name.

    Raises:
        WeightsError: there is no such file, it has another format, or it holds objects of other
            kinds. Reading those could run code, so they are refused.
    """
    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    if _is_safetensors(path):
        return read_safetensors(path)
    try:
        # Given an open file, torch.load goes by the content too. It warns about other pickles.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of another kind can raise anything
        raise WeightsError(f"{printable(path)}: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    """What is wrong, without PyTorch's advice to read the file anyway."""
    kind = re.search(r"GLOBAL ([^\s,]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and kind:
        return (
            f"refused: it holds {printable(kind[1])}. Only tensors, numbers, text and containers "
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
    """Whether a file begins like safetensors: the length of a JSON object, then the object."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LARGEST_HEADER


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file of safetensors or torch.save, by name.

    Raises:
        WeightsError: as from :func:`read_checkpoint` and :func:`state_dict_of`.
    """
    return state_dict_of(read_checkpoint(path), source=printable(path))


def state_dict_of(content: Any, *, source: str) -> dict[str, Tensor]:
    """Find the state dict in the content of a file, bare or below a key.

    Args:
        content: content of the file.
        source: name of the file, for messages.

    Returns:
        Tensors by name. If there are several state dicts, the one below the first of the keys
        "state_dict", "model_state_dict", "model" and "teacher".

    Raises:
        WeightsError: there is none, or there are several below other keys.

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
    """State dicts in a file by their keys; a file that is one itself has the key ""."""
    if not isinstance(content, Mapping) or not content:
        return {}
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return {"": dict(content)}
    inner = {key: _states(value) for key, value in content.items() if isinstance(key, str)}
    # In {"model": {"state_dict": ...}}, the key is "model".
    return {key: next(iter(held.values())) for key, held in inner.items() if len(held) == 1}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file, by name.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{printable(path)}: can't be read: {error}") from error
