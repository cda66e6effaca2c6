"""Files of weights, read without running anything that they hold."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dealias._text import printable
from dealias.models._errors import WeightsError


def read_checkpoint(path: Path) -> Any:
    """What a .pth, .pt or .ckpt file of torch holds: tensors, numbers, text and containers.

    Raises:
        WeightsError: there is no such file, it is none of torch, or it holds objects of other
            kinds, which can run code when they are read: they are not.
    """
    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = printable(" ".join(str(error).split("\n\n")[0].split()))
        raise WeightsError(
            f"{printable(path)}: refused, since it holds more than tensors and plain values, and "
            f"reading that could run code: {reason}"
        ) from error
    except Exception as error:  # whatever a broken archive sets off
        reason = printable(" ".join(str(error).split()))
        raise WeightsError(f"{printable(path)}: can't be read: {reason}") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of a .safetensors file or one of torch that holds nothing else.

    Raises:
        WeightsError: as :func:`read_checkpoint`, or what it holds is no state dict.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = read_checkpoint(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not (
        isinstance(content, dict)
        and content
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    ):
        raise WeightsError(f"{printable(path)}: expected tensors by name, got no state dict")
    return dict(content)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{printable(path)}: can't be read: {error}") from error
