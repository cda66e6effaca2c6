"""Instances, in the dark and in the light.

Needs torchvision, faster-coco-eval and SciPy.
"""

from dealias.instance._annotations import AnnotationError, read_annotations
from dealias.instance._average_precision import AveragePrecision, average_precision
from dealias.instance._classes import LIS_CLASSES, match_categories
from dealias.instance._dataset import InstanceDataset, collate_instances, target_of
from dealias.instance._detections import Detections
from dealias.instance._from_labels import Components, connected_components, label_maps_to_coco
from dealias.instance._images import InstanceImageError
from dealias.instance._lis import LisError, LisFiles, lis_files
from dealias.instance._masks import MaskError, decode_masks, encode_masks, read_segmentation
from dealias.instance._records import AnnotatedImage, Instance, InstanceSet, Problem
from dealias.instance._transforms import instance_transform

__all__ = [
    "LIS_CLASSES",
    "AnnotatedImage",
    "AnnotationError",
    "AveragePrecision",
    "Components",
    "Detections",
    "Instance",
    "InstanceDataset",
    "InstanceImageError",
    "InstanceSet",
    "LisError",
    "LisFiles",
    "MaskError",
    "Problem",
    "average_precision",
    "collate_instances",
    "connected_components",
    "decode_masks",
    "encode_masks",
    "instance_transform",
    "label_maps_to_coco",
    "lis_files",
    "match_categories",
    "read_annotations",
    "read_segmentation",
    "target_of",
]
