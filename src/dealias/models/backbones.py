"""Backbones of timm."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from dealias.models.errors import ModelError
from dealias.models.segmentation import IMAGENET_MEAN, IMAGENET_STD

_ALIASES = {"swin_tiny": "swin_tiny_patch4_window7_224"}
_NOT_OPTIONS = (
    "cache_dir",
    "checkpoint_path",
    "features_only",
    "out_indices",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
)
_STRIDES = [4, 8, 16, 32]
# Images of any size, with windows shifted whatever the size, as segmentation has it.
_SWIN_OPTIONS = {"strict_img_size": False, "always_partition": True}


@dataclass(frozen=True)
class Backbone:
    """A network that gives feature maps at strides 4, 8, 16 and 32.

    Attributes:
        network: gives a list of maps.
        levels: which of them to take.
        channels: of those.
        channels_last: whether the maps are [B, H, W, C].
        mean: of the images that it takes.
        std: of the images that it takes.
    """

    network: nn.Module
    levels: tuple[int, ...]
    channels: tuple[int, ...]
    channels_last: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create_backbone(name: str, options: Mapping[str, Any]) -> Backbone:
    """Build a network of timm as a backbone, with random weights.

    Args:
        name: of timm, or "swin_tiny".
        options: further arguments of ``timm.create_model``, as ``{"drop_path_rate": 0.3}``.

    Raises:
        ModelError: timm is not installed or has no such network, or it has no features at strides
            4, 8, 16 and 32.
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
    config = getattr(network, "pretrained_cfg", None) or {}
    return Backbone(
        network,
        tuple(range(-4, 0)),
        tuple(channels),
        str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC"),
        tuple(config.get("mean", IMAGENET_MEAN)),
        tuple(config.get("std", IMAGENET_STD)),
    )


def timm_name(name: str) -> str:
    """What timm calls a backbone."""
    return _ALIASES.get(name, name)


def whole_network(name: str, options: Mapping[str, Any]) -> nn.Module:
    """The network that the backbone is a part of, with timm's names."""
    network: nn.Module = _build(name, options)
    return network


def _build(name: str, options: Mapping[str, Any], **fixed: Any) -> Any:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise ModelError(f"backbone {name!r}: {error}; pip install timm") from error
    name = timm_name(name)
    # Any other name may stand for a repository, which timm would download.
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models())
        raise ModelError(
            f"backbone {name!r}: timm has no such network"
            + (f"; near to it: {', '.join(near)}" if near else "")
        )
    refused = [key for key in options if key in _NOT_OPTIONS]
    if refused:
        raise ModelError(f"backbone_options: {', '.join(refused)} can't be given")
    given = {**(_SWIN_OPTIONS if name.startswith("swin_") else {}), **options, **fixed}
    try:
        return timm.create_model(name, pretrained=False, **given)
    except Exception as error:  # timm raises what it likes for names and options it does not know
        raise ModelError(f"backbone {name!r}: {type(error).__name__}: {error}") from error
