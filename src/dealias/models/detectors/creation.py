"""Networks for instances by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from dealias.models import ModelError
from dealias.models.backbone_weights import load_backbone_weights
from dealias.models.backbones import create_backbone
from dealias.models.creation import dealias_backbone
from dealias.models.detectors.base import Detector
from dealias.models.detectors.mask2former import Mask2Former
from dealias.models.detectors.mask_rcnn import MaskRCNN, MaskRCNNOptions

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
        name: "mask_rcnn", with a feature pyramid; or "mask2former".
        num_classes: number of classes, without background.
        backbone: name of a timm network with features at strides 4, 8, 16 and 32, such as
            "resnet50" or "tf_efficientnet_lite0".
        backbone_weights: as for :func:`dealias.models.create_model`.
        backbone_options: further arguments of ``timm.create_model``.
        frozen_norms: whether batch norms of the backbone keep the statistics of its weights, as
            small batches ask for.
        options: attributes of :class:`MaskRCNNOptions`, or what differs in the configuration of
            transformers' Mask2Former.
        mean: of the images, if not as the backbone was trained with, per channel of RGB in [0, 1].
        std: of the images, likewise.
        dealias: arguments of :func:`dealias.dealias` for the backbone, ``{}`` for its defaults;
            None leaves it as it is.

    Raises:
        ModelError: an argument is out of range, or there is no such network.
        WeightsError: the weights of the backbone can't be read, or do not fit.
    """
    if name not in _NAMES:
        raise ModelError(f"name: expected {' or '.join(_NAMES)}, got {name!r}")
    if type(num_classes) is not int or num_classes < 1:
        raise ModelError(f"num_classes: expected a positive integer, got {num_classes!r}")
    for key, value in (("mean", mean), ("std", std)):
        if value is not None:
            _check_per_channel(key, value)
    if type(frozen_norms) is not bool:
        raise ModelError(f"frozen_norms: expected true or false, got {frozen_norms!r}")
    own = dict(backbone_options or {})
    built = create_backbone(backbone, own)
    if backbone_weights is not None:
        load_backbone_weights(built.network, backbone, own, backbone_weights)
    given = dict(options or {})
    common: dict[str, Any] = {"num_classes": num_classes, "frozen_norms": frozen_norms}
    model: Detector = (
        MaskRCNN(built, **common, options=_mask_rcnn_options(given))
        if name == "mask_rcnn"
        else Mask2Former(built, **common, options=given)
    )
    model.mean, model.std = tuple(mean or model.mean), tuple(std or model.std)
    if dealias is not None:
        dealias_backbone(cast(Any, model), dealias)  # it looks at the backbone alone
    model.config = {
        "name": name,
        **common,
        "backbone": backbone,
        "backbone_weights": None if backbone_weights is None else str(backbone_weights),
        "backbone_options": own,
        "options": given,
        "mean": list(model.mean),
        "std": list(model.std),
        "dealias": None if dealias is None else dict(dealias),
    }
    return model.train()


def _check_per_channel(key: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ModelError(f"{key}: expected one for each of R, G and B, got {value!r}")
    least = 0.0 if key == "std" else -math.inf
    numbers = all(type(one) in (int, float) and least < one < math.inf for one in value)
    if not numbers:
        what = "positive numbers" if key == "std" else "numbers"
        raise ModelError(f"{key}: expected {what}, got {value!r}")


def _mask_rcnn_options(given: Mapping[str, Any]) -> MaskRCNNOptions:
    known = [field.name for field in fields(MaskRCNNOptions)]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ModelError(
            f"options: expected some of {', '.join(known)}, got {', '.join(map(repr, unknown))}"
        )
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    options = MaskRCNNOptions(**cast(Any, values))
    if not isinstance(options.anchor_sizes, tuple) or len(options.anchor_sizes) != 5:
        raise ModelError(
            f"options: anchor_sizes: expected 5 integers, got {given['anchor_sizes']!r}"
        )
    others = ("score_threshold", "pyramid_norms")
    numbers = [(key, one) for key, v in values.items() for one in (v if type(v) is tuple else (v,))]
    norms = values.get("pyramid_norms", False)
    if type(norms) is not bool:
        raise ModelError(f"options: pyramid_norms: expected true or false, got {norms!r}")
    for key, value in numbers:
        if key not in others and (type(value) is not int or value < 1):
            raise ModelError(f"options: {key}: expected integers from 1 on, got {given.get(key)!r}")
    if type(options.score_threshold) not in (int, float) or not 0 <= options.score_threshold < 1:
        raise ModelError(
            f"options: score_threshold: expected [0, 1), got {options.score_threshold!r}"
        )
    return options
