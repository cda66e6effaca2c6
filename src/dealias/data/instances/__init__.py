"""Images with instances: annotations, data sets, checks and contact sheets.

Needs torchvision, Lightning, faster-coco-eval and SciPy.
"""

from dealias.data.dark import Dark
from dealias.data.instances.annotations import AnnotationError, read_annotations
from dealias.data.instances.categories import COCO_CLASSES, LIS_CLASSES, match_categories
from dealias.data.instances.check import (
    ClassCounts,
    InstanceCheck,
    InstanceSplitCheck,
    check_instances,
)
from dealias.data.instances.datasets import InstanceDataset, collate_instances, target_of
from dealias.data.instances.detection_files import DetectionsError, read_detections
from dealias.data.instances.finding import LisError, LisFiles, lis_files
from dealias.data.instances.from_labels import Components, connected_components, label_maps_to_coco
from dealias.data.instances.module import InstanceAugmentation, InstanceDataModule
from dealias.data.instances.records import InstanceSet, Notes, Problem
from dealias.data.instances.sheet import instance_contact_sheet
from dealias.data.instances.transforms import instance_transform

__all__ = [
    "COCO_CLASSES",
    "LIS_CLASSES",
    "AnnotationError",
    "ClassCounts",
    "Components",
    "Dark",
    "DetectionsError",
    "InstanceAugmentation",
    "InstanceCheck",
    "InstanceDataModule",
    "InstanceDataset",
    "InstanceSet",
    "InstanceSplitCheck",
    "LisError",
    "LisFiles",
    "Notes",
    "Problem",
    "check_instances",
    "collate_instances",
    "connected_components",
    "instance_contact_sheet",
    "instance_transform",
    "label_maps_to_coco",
    "lis_files",
    "match_categories",
    "read_annotations",
    "read_detections",
    "target_of",
]
