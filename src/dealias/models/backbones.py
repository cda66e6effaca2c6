"""Backbones from timm, and the files of their weights."""

import contextlib
import importlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dealias.models.network import IMAGENET_MEAN, IMAGENET_STD, ModelError
from dealias.models.packaged import packaged_weights
from dealias.models.weight_files import read_weights
from dealias.models.weights import WeightsError, find_mismatches
from dealias.surgery import keep_inserted
from dealias.text import printable

_ALIASES = {"swin_tiny": "swin_tiny_patch4_window7_224"}
NOT_OPTIONS = (
    "cache_dir",
    "checkpoint_path",
    "features_only",
    "out_indices",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
)
_STRIDES = [4, 8, 16, 32]
# Accept images of any size, and shift windows at every size, as segmentation networks do.
_SWIN_OPTIONS = {"strict_img_size": False, "always_partition": True}


@dataclass(frozen=True)
class Backbone:
    """A network whose last four feature maps are at strides 4, 8, 16 and 32.

    Attributes:
        network: module that returns a list of feature maps.
        channels: channels of the last four maps.
        channels_last: whether the maps are `[B, H, W, C]`.
        mean: mean of the images that it expects.
        std: standard deviation of the images that it expects.
    """

    network: nn.Module
    channels: tuple[int, ...]
    channels_last: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create_backbone(
    name: str,
    options: Mapping[str, Any],
    *,
    weights: Path | str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Backbone:
    """Build a timm network as a backbone.

    Args:
        name: name of a timm network, or "swin_tiny".
        options: further arguments of ``timm.create_model``, such as ``{"drop_path_rate": 0.3}``.
        weights: file of torch.save or safetensors with timm's names, in which the classifier is
            ignored; "packaged" for ImageNet weights from a Python package, available for
            EfficientNet-Lite0, -Lite1, -Lite2 and MobileNetV2; or None for random weights.
        mean: mean of the images, if not the one that the network was trained with.
        std: standard deviation of the images, if not the one that the network was trained with.

    Raises:
        ModelError: timm is not installed or has no such network, or the network has no features at
            strides 4, 8, 16 and 32.
        WeightsError: the weights do not exist, or belong to another network.
    """
    network = _build(name, options, features_only=True)
    info = network.feature_info
    channels, strides = list(info.channels())[-4:], list(info.reduction())[-4:]
    if strides != _STRIDES:
        raise ModelError(
            f"backbone {name!r}: expected features at strides 4, 8, 16 and 32, "
            f"got {', '.join(map(str, info.reduction()))}"
        )
    if hasattr(network, "patch_embed"):
        network.patch_embed.dynamic_img_pad = True
    if weights is not None:
        _load_weights(network, name, options, weights)
    config = getattr(network, "pretrained_cfg", None) or {}
    return Backbone(
        network,
        tuple(channels),
        str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC"),
        tuple(mean or config.get("mean", IMAGENET_MEAN)),
        tuple(std or config.get("std", IMAGENET_STD)),
    )


def stage_maps(maps: Sequence[Tensor], channels_last: bool) -> list[Tensor]:
    """The maps of the four stages, `[B, C, H / s, W / s]` for s = 4, 8, 16, 32."""
    return [m.permute(0, 3, 1, 2).contiguous() if channels_last else m for m in maps[-4:]]


def sync_batch_norm(model: nn.Module) -> nn.Module:
    """Make every batch norm share its statistics between processes.

    Many timm networks have batch norms that also apply the activation. PyTorch's own conversion,
    which Lightning's ``sync_batchnorm=True`` calls, drops the activation; timm's keeps it. Both
    drop what :func:`dealias.dealias` inserted; this function keeps it.

    Args:
        model: a network, which is changed in place.

    Returns:
        The network.

    >>> type(sync_batch_norm(nn.Sequential(nn.BatchNorm2d(4)))[0])
    <class 'torch.nn.modules.batchnorm.SyncBatchNorm'>
    """
    convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
    with contextlib.suppress(ImportError):  # without timm, there are no modules of timm
        convert = importlib.import_module("timm.layers").convert_sync_batchnorm
    return keep_inserted(model, convert)


def _timm_name(name: str) -> str:
    return _ALIASES.get(name, name)


def _build(name: str, options: Mapping[str, Any], **fixed: Any) -> Any:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise ModelError(f"backbone {name!r}: {error}; pip install timm") from error
    if not isinstance(name, str):
        raise ModelError(f"backbone: expected the name of a timm network, got {name!r}")
    name = _timm_name(name)
    # Any other name may be that of a repository, which timm would download.
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models())
        raise ModelError(
            f"backbone {name!r}: timm has no such network"
            + (f"; similar names: {', '.join(near)}" if near else "")
        )
    refused = [key for key in options if key in NOT_OPTIONS]
    if refused:
        raise ModelError(f"backbone_options: {', '.join(refused)} can't be given")
    given = {**(_SWIN_OPTIONS if name.startswith("swin_") else {}), **options, **fixed}
    try:
        return timm.create_model(name, pretrained=False, **given)
    except Exception as error:  # for unknown options, timm may raise any kind of error
        raise ModelError(f"backbone {name!r}: {type(error).__name__}: {error}") from error


def _load_weights(
    network: nn.Module, name: str, options: Mapping[str, Any], weights: Path | str
) -> None:
    own = network.state_dict()
    whole = _build(name, options).state_dict()
    # timm's feature lists rename "stem.0" to "stem_0".
    names = {new: key for key in whole for new in (key.replace(".", "_", 1), key) if new in own}
    if weights == "packaged":
        source, state = "the packaged weights", packaged_weights(name, whole)
    else:
        source, state = printable(weights), _read(Path(weights), name, names.values())
    wanted = {names.get(key, key): value for key, value in own.items()}
    found = find_mismatches(wanted, state, known=whole)
    if any(found):
        details = "; ".join(found.described(wanted, state))
        raise WeightsError(f"{source}: not the weights of {name}: {details}")
    network.load_state_dict(own | {k: state[n] for k, n in names.items() if n in state})


def _read(path: Path, name: str, names: Iterable[str]) -> dict[str, Tensor]:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise WeightsError(
            f"backbone_weights: {printable(path)}: no such file; where there is a connection, this "
            f"makes one: {_download_command(path, _timm_name(name))}"
        )
    return read_weights(path, names)


def _download_command(path: Path, name: str) -> str:
    """A command that writes the weights of a timm network, in the format of the file's suffix."""
    is_safe = path.suffix == ".safetensors"
    module, write = ("safetensors.torch", "save_file") if is_safe else ("torch", "save")
    file, folder = (json.dumps(str(part)) for part in (path, path.parent))
    code = (
        f"import pathlib, timm, {module}; "
        f"pathlib.Path({folder}).mkdir(parents=True, exist_ok=True); "
        f'{module}.{write}(timm.create_model("{name}", pretrained=True).state_dict(), {file})'
    )
    return f"python -c {shlex.quote(code)}"
