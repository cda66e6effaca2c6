"""Instances, in the dark and in the light.

Needs torchvision, Lightning, timm, faster-coco-eval and SciPy, and transformers for Mask2Former.
"""

from dealias.instance._annotations import AnnotationError, read_annotations
from dealias.instance._average_precision import SCORES, AveragePrecision, average_precision
from dealias.instance._check import (
    ClassCounts,
    InstanceCheck,
    InstanceSplitCheck,
    check_instances,
)
from dealias.instance._classes import LIS_CLASSES, match_categories
from dealias.instance._contact_sheet import (
    instance_contact_sheet,
    write_instance_contact_sheet,
)
from dealias.instance._create import create_detector
from dealias.instance._dataset import InstanceDataset, collate_instances, target_of
from dealias.instance._detections import Detections
from dealias.instance._detector import Detector, feature_consistency, stack_images
from dealias.instance._errors import ErrorSummary, summarize_errors
from dealias.instance._evaluation import InstanceEvaluation
from dealias.instance._from_labels import Components, connected_components, label_maps_to_coco
from dealias.instance._lis import LisError, LisFiles, lis_files
from dealias.instance._mask2former import Mask2Former
from dealias.instance._mask_rcnn import MaskRCNN, MaskRCNNOptions
from dealias.instance._masks import MaskError, decode_masks, encode_masks, read_segmentation
from dealias.instance._matching import INSTANCE_ERRORS, Matches, match_instances
from dealias.instance._module import InstanceDataModule
from dealias.instance._records import AnnotatedImage, Instance, InstanceSet, Problem
from dealias.instance._report import InstanceReportPart, InstanceReportWriter
from dealias.instance._results import DetectionsError, read_detections
from dealias.instance._task import InstanceTask
from dealias.instance._transforms import instance_transform

__all__ = [
    "INSTANCE_ERRORS",
    "LIS_CLASSES",
    "SCORES",
    "AnnotatedImage",
    "AnnotationError",
    "AveragePrecision",
    "ClassCounts",
    "Components",
    "Detections",
    "DetectionsError",
    "Detector",
    "ErrorSummary",
    "Instance",
    "InstanceCheck",
    "InstanceDataModule",
    "InstanceDataset",
    "InstanceEvaluation",
    "InstanceReportPart",
    "InstanceReportWriter",
    "InstanceSet",
    "InstanceSplitCheck",
    "InstanceTask",
    "LisError",
    "LisFiles",
    "Mask2Former",
    "MaskError",
    "MaskRCNN",
    "MaskRCNNOptions",
    "Matches",
    "Problem",
    "average_precision",
    "check_instances",
    "collate_instances",
    "connected_components",
    "create_detector",
    "decode_masks",
    "encode_masks",
    "feature_consistency",
    "instance_contact_sheet",
    "instance_transform",
    "label_maps_to_coco",
    "lis_files",
    "match_categories",
    "match_instances",
    "read_annotations",
    "read_detections",
    "read_segmentation",
    "stack_images",
    "summarize_errors",
    "target_of",
    "write_instance_contact_sheet",
]
