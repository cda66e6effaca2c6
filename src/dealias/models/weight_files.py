"""Files of weights, read without running anything that they hold."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dealias.models.errors import WeightsError
from dealias.text import printable


def read_checkpoint(path: Path) -> Any:
    """What a .pth, .pt or .ckpt file of torch holds: tensors, numbers, text and containers.

    Raises:
        WeightsError: there is no such file, it is none of torch, or it holds objects of other
            kinds, which can run code when they are read: they are not.
    """
    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch.save does not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file of another kind sets off
        # All else in PyTorch's message is advice to read the file all the same.
        held = re.search(r"GLOBAL ([^\s,]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and held:
            raise WeightsError(
                f"{printable(path)}: refused: it holds {printable(held[1])}. Only tensors, "
                f"numbers, text and containers of them are read, since reading anything else can "
                f"run code"
            ) from error
        reason = printable(str(error).partition("\n")[0])
        raise WeightsError(
            f"{printable(path)}: expected a file of torch.save, got one that can't be read "
            f"({type(error).__name__}: {reason})"
        ) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of a .safetensors file or one of torch that holds nothing else.

    Raises:
        WeightsError: as :func:`read_checkpoint`, or what it holds is no state dict.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    state = state_dict_of(read_checkpoint(path))
    if state is None:
        raise WeightsError(f"{printable(path)}: expected tensors by name, got no state dict")
    return state


def state_dict_of(content: Any) -> dict[str, Tensor] | None:
    """The state dict that a file holds, bare or as "state_dict"; None if it holds none."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        return None
    is_state = all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    return dict(content) if is_state else None


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
