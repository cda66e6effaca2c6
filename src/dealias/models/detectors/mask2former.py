"""Mask2Former for instances, on any backbone."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import masks_to_boxes

from dealias.metrics.instances import Detections, encode_masks
from dealias.models.backbones import Backbone
from dealias.models.detectors.base import Detector, Size, Target, without_crowds
from dealias.models.network import ModelError
from dealias.models.segmentation import resize
from dealias.text import on_a_line

_MOST = 100  # detections per image
_FIXED = ("backbone_config", "num_labels", "use_auxiliary_loss")


class Mask2Former(Detector):
    """Mask2Former (Cheng et al., CVPR 2022), with the decoders and the loss of transformers.

    Args:
        backbone: see :class:`Detector`.
        num_classes: see :class:`Detector`.
        frozen_norms: see :class:`Detector`.
        options: options that differ from the defaults of transformers' Mask2FormerConfig, such as
            ``{"num_queries": 50}``.

    Raises:
        ModelError: transformers is not installed, or has no such option.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_classes: int,
        frozen_norms: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, num_classes=num_classes, frozen_norms=frozen_norms)
        self.network: Any = _transformers_network(backbone.channels, num_classes, options or {})

    def loss(
        self,
        images: Tensor,
        sizes: Sequence[Size],  # noqa: ARG002 - padding is in no mask
        targets: Sequence[Target],
        features: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Compute the matched loss: classes, masks and dice, each summed over decoder layers."""
        classes, masks = [], []
        for target in targets:
            _, labels, drawn = without_crowds(target)
            canvas = drawn.new_zeros(len(drawn), *images.shape[-2:])
            canvas[:, : drawn.shape[1], : drawn.shape[2]] = drawn
            classes.append(labels - 1)
            masks.append(canvas.float())
        all_classes, all_masks = self._decode(features)
        terms = self.network.get_loss_dict(
            all_masks[-1],
            all_classes[-1],
            masks,
            classes,
            self.network.get_auxiliary_logits(all_classes, all_masks),
        )
        names = {"classes": "cross_entropy", "masks": "loss_mask", "dice": "loss_dice"}
        return {
            name: torch.stack(
                [value.squeeze() for key, value in terms.items() if part in key]
            ).sum()
            for name, part in names.items()
        }

    def detect(
        self, images: Tensor, sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Detections]:
        """Find instances: the highest-scoring pairs of query and class, scored by both."""
        all_classes, all_masks = self._decode(self.features(images))
        found = []
        for classes, masks, size, original in zip(
            all_classes[-1].float().softmax(-1)[..., :-1],
            all_masks[-1].float(),
            sizes,
            original_sizes,
            strict=True,
        ):
            logits = resize(masks[None], images.shape[-2:])[..., : size[0], : size[1]]
            found.append(_detections(classes, resize(logits, original)[0]))
        return found

    def _decode(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Sequence[Tensor]]:
        """Class logits `[B, Q, C + 1]` and mask logits `[B, Q, h, w]` of each decoder layer."""
        model = self.network.model
        levels = model.pixel_level_module.decoder(list(features), output_hidden_states=True)
        decoded = model.transformer_module(
            multi_scale_features=levels.multi_scale_features,
            mask_features=levels.mask_features,
            output_hidden_states=True,
            output_attentions=False,
        )
        states = decoded.intermediate_hidden_states
        classes = [self.network.class_predictor(state.transpose(0, 1)) for state in states]
        return classes, decoded.masks_queries_logits


def _detections(classes: Tensor, logits: Tensor) -> Detections:
    """The highest-scoring of Q queries: class probabilities `[Q, C]`, mask logits `[Q, H, W]`."""
    surest, order = classes.flatten().topk(min(_MOST, classes.numel()))
    query, label = order // classes.shape[1], order % classes.shape[1] + 1
    logits = logits[query]
    masks = logits > 0
    pixels = masks.flatten(1).sum(1)
    inside = (logits.sigmoid() * masks).flatten(1).sum(1) / pixels.clamp_min(1)
    kept = pixels > 0
    boxes = masks_to_boxes(masks[kept])
    boxes[:, 2:] += 1  # from the last pixel inside to the first outside
    return Detections(
        boxes.float().cpu(),
        label[kept].cpu(),
        (surest * inside)[kept].cpu(),
        encode_masks(masks[kept]),
    )


def _transformers_network(
    channels: Sequence[int], num_classes: int, options: Mapping[str, Any]
) -> Any:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(f"name 'mask2former': {error}; pip install transformers") from error
    known = transformers.Mask2FormerConfig().to_dict()
    unknown = [key for key in options if key not in known or key in _FIXED]
    if unknown:
        raise ModelError(f"options: {', '.join(unknown)}: no such options of Mask2Former")
    # Stands in for the backbone: only its numbers of channels are used.
    stand_in = transformers.ResNetConfig(
        hidden_sizes=list(channels),
        depths=[1] * len(channels),
        layer_type="basic",
        out_features=[f"stage{stage}" for stage in range(1, len(channels) + 1)],
    )
    try:
        with _fewer_warnings():
            config = transformers.Mask2FormerConfig(
                backbone_config=stand_in, num_labels=num_classes, **options
            )
        network = transformers.Mask2FormerForUniversalSegmentation(config)
    except Exception as error:  # the library's checks raise several kinds of errors
        reason = on_a_line(error)
        raise ModelError(
            f"options: {dict(options)} can't be those of Mask2Former: {reason}"
        ) from error
    network.model.pixel_level_module.encoder = nn.Identity()
    return network


@contextlib.contextmanager
def _fewer_warnings() -> Iterator[None]:
    """Silence the warning that only Swin is tested, since the library's backbone is not used."""
    logger = logging.getLogger("transformers.models.mask2former")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
