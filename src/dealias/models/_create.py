"""Networks by name."""

from collections.abc import Mapping
from typing import Any

import torch

from dealias import surgery
from dealias.models._backbone_weights import load_backbone_weights
from dealias.models._backbones import create_backbone
from dealias.models._errors import ModelError
from dealias.models._segmentation import SegmentationModel
from dealias.models._upernet import UPerNet

_EXAMPLE_SIZE = (128, 160)
_DEALIAS_OPTIONS = ("cutoff", "filter", "filter_options", "mixing", "mixing_options", "sites")


def create_model(
    name: str,
    *,
    num_classes: int,
    backbone: str = "resnet50c",
    backbone_weights: str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    channels: int = 128,
    aux_head: bool = True,
    aux_channels: int = 256,
    dropout: float = 0.1,
    dealias: Mapping[str, Any] | None = None,
) -> SegmentationModel:
    """Build a segmentation network; nothing is downloaded.

    Args:
        name: "upernet".
        num_classes: number of classes.
        backbone: name of a timm network with features at strides 4, 8, 16 and 32, such as
            "resnet50c" (the paper's, with the stem of three convolutions), "convnext_tiny",
            "swin_tiny" or "tf_efficientnet_lite0".
        backbone_weights: file of a state dict with timm's names, .pth or .safetensors;
            "packaged" for ImageNet weights of EfficientNet-Lite0, from a Python package; None for
            random ones.
        backbone_options: further arguments of ``timm.create_model``.
        channels: of the pyramids.
        aux_head: whether there is an auxiliary head for training.
        aux_channels: of the auxiliary head.
        dropout: share of channels dropped before the classifiers.
        dealias: arguments of :func:`dealias.dealias` for the backbone, ``{}`` for its defaults;
            None leaves it as it is.

    Raises:
        ModelError: an argument is out of range, or there is no such network.
        WeightsError: the weights of the backbone can't be read, or do not fit.

    >>> net = create_model("upernet", num_classes=19, backbone="test_resnet", dealias={})
    >>> net.eval()(torch.zeros(1, 3, 64, 96))["out"].shape
    torch.Size([1, 19, 64, 96])
    """
    if name != "upernet":
        raise ModelError(f"name: expected 'upernet', got {name!r}")
    for argument, value in (
        ("num_classes", num_classes),
        ("channels", channels),
        ("aux_channels", aux_channels),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"{argument}: expected a positive integer, got {value!r}")
    if not 0 <= dropout < 1:
        raise ModelError(f"dropout: expected a share in [0, 1), got {dropout!r}")
    options = dict(backbone_options or {})
    built = create_backbone(backbone, options)
    if backbone_weights is not None:
        load_backbone_weights(built.network, backbone, options, backbone_weights)
    model = UPerNet(
        built,
        num_classes=num_classes,
        channels=channels,
        aux_head=aux_head,
        aux_channels=aux_channels,
        dropout=dropout,
    )
    if dealias is not None:
        dealias_backbone(model, dealias)
    model.config = {
        "name": name,
        "num_classes": num_classes,
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "backbone_options": options,
        "channels": channels,
        "aux_head": aux_head,
        "aux_channels": aux_channels,
        "dropout": dropout,
        "dealias": None if dealias is None else _plain(dealias),
    }
    return model


def dealias_backbone(model: SegmentationModel, options: Mapping[str, Any]) -> None:
    """De-alias the backbone of a network in place, and keep the report with the network."""
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
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
