"""Networks for instances by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dealias.models.backbones import create_backbone
from dealias.models.detectors.base import Detector
from dealias.models.detectors.mask2former import Mask2Former
from dealias.models.detectors.mask_rcnn import MaskRCNN, MaskRCNNOptions
from dealias.models.network import ModelError, check_arguments, finish, limited

_NAMES = ("mask_rcnn", "mask2former")


def create_detector(
    name: str,
    *,
    num_classes: int,
    backbone: str = "resnet50",
    backbone_weights: Path | str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    frozen_norms: bool = False,
    options: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dealias: Mapping[str, Any] | None = None,
) -> Detector:
    """Build a network for instances; nothing is downloaded.

    Args:
        name: "mask_rcnn", which has a feature pyramid, or "mask2former".
        num_classes: number of classes, without background.
        backbone: name of a timm network with features at strides 4, 8, 16 and 32, such as
            "resnet50" or "tf_efficientnet_lite0".
        backbone_weights: see :func:`dealias.models.create_model`.
        backbone_options: further arguments of ``timm.create_model``.
        frozen_norms: whether batch norms of the backbone keep the statistics of its weights, which
            suits small batches.
        options: attributes of :class:`MaskRCNNOptions`, or options that differ from the default
            configuration of transformers' Mask2Former.
        mean: see :func:`dealias.models.create_model`.
        std: see :func:`dealias.models.create_model`.
        dealias: see :func:`dealias.models.create_model`.

    Raises:
        ModelError: an argument is out of range, or there is no such network.
        WeightsError: the weights of the backbone can't be read, or do not fit.
    """
    if name not in _NAMES:
        raise ModelError(f"name: expected {' or '.join(_NAMES)}, got {name!r}")
    check_arguments(
        num_classes=num_classes,
        mean=mean,
        std=std,
        backbone_options=backbone_options,
        options=options,
    )
    if type(frozen_norms) is not bool:
        raise ModelError(f"frozen_norms: expected true or false, got {frozen_norms!r}")
    own, given = backbone_options or {}, options or {}
    with limited():
        built = create_backbone(backbone, own, weights=backbone_weights, mean=mean, std=std)
        common: dict[str, Any] = {"num_classes": num_classes, "frozen_norms": frozen_norms}
        model: Detector = (
            MaskRCNN(built, **common, options=_mask_rcnn_options(given))
            if name == "mask_rcnn"
            else Mask2Former(built, **common, options=given)
        )
    config = {
        "name": name,
        **common,
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "backbone_options": own,
        "options": given,
        "mean": model.mean,
        "std": model.std,
    }
    finish(model, config, dealias)
    return model.train()


def _mask_rcnn_options(given: Mapping[str, Any]) -> MaskRCNNOptions:
    known = [field.name for field in fields(MaskRCNNOptions)]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ModelError(
            f"options: expected some of {', '.join(known)}, got {', '.join(map(repr, unknown))}"
        )
    for key, value in given.items():
        if key == "score_threshold":
            fits, expected = type(value) in (int, float) and 0 <= value < 1, "[0, 1)"
        elif key == "pyramid_norms":
            fits, expected = type(value) is bool, "true or false"
        elif key == "anchor_sizes" and not (isinstance(value, list | tuple) and len(value) == 5):
            fits, expected = False, "5 integers"
        else:
            parts = value if key == "anchor_sizes" else [value]
            fits, expected = all(type(n) is int and n > 0 for n in parts), "integers from 1 on"
        if not fits:
            raise ModelError(f"options: {key}: expected {expected}, got {value!r}")
    values: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in given.items()}
    return MaskRCNNOptions(**values)
