"""Networks by name."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from dealias import surgery
from dealias.models.backbone_weights import load_backbone_weights
from dealias.models.backbones import create_backbone
from dealias.models.errors import ModelError
from dealias.models.huggingface import create_transformers_model
from dealias.models.segmentation import SegmentationModel
from dealias.models.upernet import UPerNet

_EXAMPLE_SIZE = (128, 160)
_HEADS = ("num_classes", "channels", "aux_head", "aux_channels", "dropout")
_UPERNET_ONLY = ("backbone", "backbone_weights", "backbone_options", *_HEADS[1:])
_DEALIAS_OPTIONS = ("cutoff", "filter", "filter_options", "mixing", "mixing_options", "sites")


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
        name: "upernet"; or a network of transformers: "hf:" and a type of network, as
            "hf:segformer", "hf:mask2former" and "hf:upernet", for random weights, or a folder or a
            name in the local cache.
        num_classes: number of classes.
        backbone: name of a timm network with features at strides 4, 8, 16 and 32, such as
            "resnet50c" (the paper's, with the stem of three convolutions), "convnext_tiny",
            "swin_tiny" or "tf_efficientnet_lite0". This and the next six are for "upernet".
        backbone_weights: file of weights with timm's names, of torch.save or safetensors;
            "packaged" for ImageNet weights of EfficientNet-Lite0, from a Python package; None for
            random ones.
        backbone_options: further arguments of ``timm.create_model``.
        channels: of the pyramids.
        aux_head: whether there is an auxiliary head for training.
        aux_channels: of the auxiliary head.
        dropout: share of channels dropped before the classifiers.
        options: for "hf:", what differs in the configuration of transformers.
        mean: of the images, if not as the backbone was trained with, per channel of RGB in [0, 1].
        std: of the images, likewise.
        dealias: arguments of :func:`dealias.dealias` for the backbone, ``{}`` for its defaults;
            None leaves it as it is.

    Raises:
        ModelError: an argument is out of range, or there is no such network.
        WeightsError: the weights of the backbone can't be read, or do not fit.

    >>> net = create_model("upernet", num_classes=19, backbone="test_resnet", dealias={})
    >>> net.eval()(torch.zeros(1, 3, 64, 96))["out"].shape
    torch.Size([1, 19, 64, 96])
    """
    given = {key: value for key, value in locals().items() if key not in ("name", "dealias")}
    if not isinstance(name, str):
        raise ModelError(f"name: expected 'upernet' or 'hf:...', got {name!r}")
    _check(given)
    build = _transformers if name.startswith("hf:") else _upernet
    model, config = build(name, given)
    if dealias is not None:
        dealias_backbone(model, dealias)
    model.config = _plain({**config, "dealias": dealias})
    return model


_Built = tuple[SegmentationModel, dict[str, Any]]


def _upernet(name: str, given: dict[str, Any]) -> _Built:
    if name != "upernet":
        raise ModelError(f"name: expected 'upernet' or 'hf:...', got {name!r}")
    if given["options"]:
        raise ModelError("options: are for 'hf:' networks; backbone_options are for timm's")
    backbone = given["backbone"]
    options = given["backbone_options"] or {}
    built = create_backbone(backbone, options)
    if given["backbone_weights"] is not None:
        load_backbone_weights(built.network, backbone, options, given["backbone_weights"])
    model = UPerNet(built, **{key: given[key] for key in _HEADS})
    model.mean, model.std = (tuple(given[key] or getattr(model, key)) for key in ("mean", "std"))
    config = {key: given[key] for key in ("num_classes", *_UPERNET_ONLY)}
    return model, {
        "name": name,
        **config,
        "backbone_options": options,
        "mean": model.mean,
        "std": model.std,
    }


def _transformers(name: str, given: dict[str, Any]) -> _Built:
    defaults = signature(create_model).parameters
    for key in _UPERNET_ONLY:
        if given[key] != defaults[key].default:
            raise ModelError(f"{key}: is for 'upernet'; give {name!r} its own in options")
    return create_transformers_model(
        name.removeprefix("hf:"),
        given["options"] or {},
        **{key: given[key] for key in ("num_classes", "mean", "std")},
    )


def _check(given: Mapping[str, Any]) -> None:
    for key in ("num_classes", "channels", "aux_channels"):
        if type(given[key]) is not int or given[key] < 1:
            raise ModelError(f"{key}: expected a positive integer, got {given[key]!r}")
    dropout = given["dropout"]
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ModelError(f"dropout: expected a share in [0, 1), got {dropout!r}")
    for key in ("backbone_options", "options"):
        if given[key] is not None and not isinstance(given[key], Mapping):
            raise ModelError(f"{key}: expected a mapping, got {given[key]!r}")
    for key in ("mean", "std"):
        if given[key] is not None and len(given[key]) != 3:
            raise ModelError(f"{key}: expected one for each of R, G and B, got {given[key]!r}")


def dealias_backbone(model: SegmentationModel, options: Mapping[str, Any]) -> None:
    """De-alias the backbone of a network in place, and keep the report with the network."""
    if not isinstance(options, Mapping):
        raise ModelError(f"dealias: expected a mapping, got {options!r}")
    unknown = [key for key in options if key not in _DEALIAS_OPTIONS]
    if unknown:
        raise ModelError(
            f"dealias: expected options among {', '.join(_DEALIAS_OPTIONS)}, "
            f"got {', '.join(map(repr, unknown))}"
        )
    example = torch.zeros(1, 3, *_EXAMPLE_SIZE)
    given = {key: _as_tuples(value) if key == "cutoff" else value for key, value in options.items()}
    _, model.dealias_report = surgery.dealias(model.backbone, example, inplace=True, **given)


def _as_tuples(value: Any) -> Any:
    """Cutoffs by (row, column), which are lists in files."""
    if isinstance(value, Mapping):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
