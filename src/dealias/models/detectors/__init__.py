"""Networks that find instances.

Needs torchvision, timm and faster-coco-eval, and transformers for Mask2Former.
"""

from dealias.models.detectors.base import Detector, Size, feature_consistency, stack_images
from dealias.models.detectors.creation import create_detector
from dealias.models.detectors.mask2former import Mask2Former
from dealias.models.detectors.mask_rcnn import MaskRCNN, MaskRCNNOptions

__all__ = [
    "Detector",
    "Mask2Former",
    "MaskRCNN",
    "MaskRCNNOptions",
    "Size",
    "create_detector",
    "feature_consistency",
    "stack_images",
]
