"""Segmentation networks by name."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from dealias.models.backbones import create_backbone
from dealias.models.huggingface import create_transformers_model
from dealias.models.network import (
    ModelError,
    check_arguments,
    check_positive,
    earlier_dealias,
    finish,
    limited,
)
from dealias.models.segmentation import SegmentationModel
from dealias.models.upernet import UPerNet


def create_model(
    name: str,
    *,
    num_classes: int,
    backbone: str = "resnet50c",
    backbone_weights: Path | str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    channels: int = 128,
    aux_head: bool = True,
    aux_channels: int = 256,
    dropout: float = 0.1,
    options: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dealias: Mapping[str, Any] | None = None,
) -> SegmentationModel:
    """Build a segmentation network; nothing is downloaded.

    Args:
        name: "upernet"; or "hf:" and a network of transformers: a type of network with random
            weights, such as "hf:segformer", "hf:mask2former" or "hf:upernet", or a folder or a name
            in the local cache.
        num_classes: number of classes.
        backbone: name of a timm network with features at strides 4, 8, 16 and 32, such as
            "resnet50c" (the paper's, with the stem of three convolutions), "convnext_tiny",
            "swin_tiny" or "tf_efficientnet_lite0". This and the next six are for "upernet".
        backbone_weights: file of weights with timm's names, of torch.save or safetensors;
            "packaged" for ImageNet weights from a Python package, of "tf_efficientnet_lite0",
            "..._lite1", "..._lite2" and "mobilenetv2_100"; None for random weights.
        backbone_options: further arguments of ``timm.create_model``.
        channels: channels of the pyramids.
        aux_head: whether there is an auxiliary head for training.
        aux_channels: channels of the auxiliary head.
        dropout: share of channels dropped before the classifiers.
        options: for "hf:", options that differ from the default configuration of transformers.
        mean: mean of the images per channel of RGB in [0, 1], three finite numbers. By default the
            one that the backbone was trained with.
        std: standard deviation, three positive numbers, with the same default.
        dealias: arguments of :func:`dealias.dealias` for the backbone, ``{}`` for its defaults;
            None leaves the backbone unchanged.

    Raises:
        ModelError: an argument is out of range, there is no such network, or it is larger than
            :func:`dealias.models.network.limited` allows.
        WeightsError: the weights of the backbone can't be read, or do not fit.

    >>> import torch
    >>> net = create_model("upernet", num_classes=19, backbone="test_resnet", dealias={})
    >>> net.eval()(torch.zeros(1, 3, 64, 96))["out"].shape
    torch.Size([1, 19, 64, 96])
    """
    if not isinstance(name, str) or not (name == "upernet" or name.startswith("hf:")):
        raise ModelError(f"name: expected 'upernet' or 'hf:...', got {name!r}")
    check_arguments(
        num_classes=num_classes,
        mean=mean,
        std=std,
        backbone_options=backbone_options,
        options=options,
    )
    check_positive("channels", channels)
    check_positive("aux_channels", aux_channels)
    if type(aux_head) is not bool:
        raise ModelError(f"aux_head: expected true or false, got {aux_head!r}")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ModelError(f"dropout: expected a share in [0, 1), got {dropout!r}")
    heads: dict[str, Any] = {
        "channels": channels,
        "aux_head": aux_head,
        "aux_channels": aux_channels,
        "dropout": dropout,
    }
    upernet = {
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "backbone_options": backbone_options,
        **heads,
    }
    model: SegmentationModel
    with limited():
        if name == "upernet":
            if options:
                raise ModelError("options: are for 'hf:' networks; backbone_options are for timm's")
            own = backbone_options or {}
            built = create_backbone(backbone, own, weights=backbone_weights, mean=mean, std=std)
            model = UPerNet(built, num_classes=num_classes, **heads)
            config = {"name": name, "num_classes": num_classes, **upernet, "backbone_options": own}
            config |= {"mean": model.mean, "std": model.std}
        else:
            _check_defaults(name, upernet)
            model, config = create_transformers_model(
                name.removeprefix("hf:"), options or {}, num_classes=num_classes, mean=mean, std=std
            )
    finish(model, config, dealias)
    return model


def _check_defaults(name: str, upernet: Mapping[str, Any]) -> None:
    defaults = signature(create_model).parameters
    for key, value in upernet.items():
        if value != defaults[key].default:
            raise ModelError(f"{key}: is for 'upernet'; give {name!r} its own in options")


def recreate_model(config: Mapping[str, Any], *, source: str) -> SegmentationModel:
    """Build a network from its stored configuration, with random weights.

    Args:
        config: arguments of :func:`create_model`; `backbone_weights` does not matter.
        source: where they come from, for messages.

    Raises:
        ModelError: the configuration is broken.
    """
    try:
        dealias = earlier_dealias(config.get("dealias"))
        return create_model(**{**config, "backbone_weights": None, "dealias": dealias})
    except (ValueError, TypeError) as error:
        raise ModelError(f"{source}: {error}") from error
