"""Mask R-CNN with a feature pyramid, on any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import initLevelMapper

from dealias.metrics.instances import Detections, encode_masks
from dealias.models.backbones import Backbone
from dealias.models.detectors.base import Detector, Size, Target, without_crowds

_BOX_SIDE = 7  # side of the pooled features of a box
_RATIOS = (0.5, 1.0, 2.0)
_STRIDES = (4, 8, 16, 32)  # of the maps that boxes are pooled from
_NAMES = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposals",
    "loss_classifier": "classes",
    "loss_box_reg": "boxes",
    "loss_mask": "masks",
}


@dataclass(frozen=True)
class MaskRCNNOptions:
    """Sizes and limits of Mask R-CNN; the defaults are those of its authors.

    Attributes:
        channels: channels of the feature pyramid.
        pyramid_norms: whether the feature pyramid has batch norms. The authors' pyramid has none,
            but they help in short trainings.
        box_channels: channels of the two layers that classify boxes.
        mask_channels: channels of the convolutions that predict masks.
        mask_convolutions: number of these convolutions.
        anchor_sizes: sides of the anchors in pixels, for strides 4, 8, 16, 32 and 64.
        anchors_drawn: number of anchors per image on which proposals are trained at each step.
        boxes_drawn: number of proposals per image on which the heads are trained at each step.
        candidates: largest number of anchors per level before non-maximum suppression in training;
            half as many in tests.
        proposals: largest number of proposals per image after non-maximum suppression in training;
            half as many in tests.
        detections: largest number of detections per image.
        score_threshold: lowest score of a detection.
    """

    channels: int = 256
    pyramid_norms: bool = False
    box_channels: int = 1024
    mask_channels: int = 256
    mask_convolutions: int = 4
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    anchors_drawn: int = 256
    boxes_drawn: int = 512
    candidates: int = 2000
    proposals: int = 2000
    detections: int = 100
    score_threshold: float = 0.05


class MaskRCNN(Detector):
    """Mask R-CNN (He et al., ICCV 2017), with the proposals and heads of torchvision.

    Args:
        backbone: see :class:`Detector`.
        num_classes: see :class:`Detector`.
        frozen_norms: see :class:`Detector`.
        options: sizes and limits.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_classes: int,
        frozen_norms: bool = False,
        options: MaskRCNNOptions = MaskRCNNOptions(),
    ) -> None:
        super().__init__(backbone, num_classes=num_classes, frozen_norms=frozen_norms)
        self.neck = FeaturePyramidNetwork(
            list(backbone.channels),
            options.channels,
            extra_blocks=LastLevelMaxPool(),
            norm_layer=nn.BatchNorm2d if options.pyramid_norms else None,
        )
        whole = _torchvision_network(num_classes + 1, options)
        self.rpn = whole.rpn
        self.roi_heads = whole.roi_heads
        for pool in (self.roi_heads.box_roi_pool, self.roi_heads.mask_roi_pool):
            # Otherwise inferred, once, from the first images, whose sizes are those before padding.
            pool.scales = [1 / stride for stride in _STRIDES]
            pool.map_levels = initLevelMapper(2, 5)  # powers of 2 of the strides

    def loss(
        self,
        images: Tensor,
        sizes: Sequence[Size],
        targets: Sequence[Target],
        features: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Compute the five terms of Mask R-CNN: see :meth:`Detector.loss`."""
        keys = ("boxes", "labels", "masks")
        known = [dict(zip(keys, without_crowds(target), strict=True)) for target in targets]
        pyramid = self._pyramid(features)
        proposals, terms = self.rpn(ImageList(images, list(sizes)), pyramid, known)
        _, more = self.roi_heads(pyramid, proposals, list(sizes), known)
        return {_NAMES[name]: value for name, value in (terms | more).items()}

    def detect(
        self, images: Tensor, sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Detections]:
        """Find instances: see :meth:`Detector.detect`."""
        pyramid = self._pyramid(self.features(images))
        proposals, _ = self.rpn(ImageList(images, list(sizes)), pyramid)
        found, _ = self.roi_heads(pyramid, proposals, list(sizes))
        return [
            _detections(one, size, original)
            for one, size, original in zip(found, sizes, original_sizes, strict=True)
        ]

    def _pyramid(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        maps = {str(level): feature for level, feature in enumerate(features)}
        pyramid: dict[str, Tensor] = self.neck(maps)
        return pyramid


def _detections(found: dict[str, Tensor], size: Size, original: Size) -> Detections:
    scale = found["boxes"].new_tensor([original[1] / size[1], original[0] / size[0]] * 2)
    boxes = found["boxes"] * scale
    masks = paste_masks_in_image(found["masks"], boxes, original)[:, 0] >= 0.5
    return Detections(
        boxes.float().cpu(),
        found["labels"].cpu(),
        found["scores"].float().cpu(),
        encode_masks(masks),
    )


class _Channels(nn.Module):
    """The only attribute of a backbone that torchvision needs to build the heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels


def _torchvision_network(num_classes: int, options: MaskRCNNOptions) -> detection.MaskRCNN:
    sizes = tuple((size,) for size in options.anchor_sizes)
    layers = [options.mask_channels] * options.mask_convolutions
    return detection.MaskRCNN(
        _Channels(options.channels),
        rpn_anchor_generator=AnchorGenerator(sizes, (_RATIOS,) * len(sizes)),
        rpn_pre_nms_top_n_train=options.candidates,
        rpn_pre_nms_top_n_test=max(1, options.candidates // 2),
        rpn_post_nms_top_n_train=options.proposals,
        rpn_post_nms_top_n_test=max(1, options.proposals // 2),
        rpn_batch_size_per_image=options.anchors_drawn,
        box_head=TwoMLPHead(options.channels * _BOX_SIDE**2, options.box_channels),
        box_predictor=FastRCNNPredictor(options.box_channels, num_classes),
        box_score_thresh=options.score_threshold,
        box_detections_per_img=options.detections,
        box_batch_size_per_image=options.boxes_drawn,
        mask_head=MaskRCNNHeads(options.channels, layers, 1),
        mask_predictor=MaskRCNNPredictor(options.mask_channels, options.mask_channels, num_classes),
    )
