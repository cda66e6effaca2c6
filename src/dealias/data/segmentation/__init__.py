"""Images with label maps: data sets, augmentation, checks and sheets.

Needs torchvision and Lightning.
"""

from dealias.data.segmentation.augment import augmentation
from dealias.data.segmentation.check import DataCheck, SplitCheck, check_data
from dealias.data.segmentation.datasets import SegmentationDataset, TrainingStream
from dealias.data.segmentation.module import SCENE_SEEDS, SegmentationDataModule
from dealias.data.segmentation.sheet import contact_sheet, write_contact_sheet

__all__ = [
    "SCENE_SEEDS",
    "DataCheck",
    "SegmentationDataModule",
    "SegmentationDataset",
    "SplitCheck",
    "TrainingStream",
    "augmentation",
    "check_data",
    "contact_sheet",
    "write_contact_sheet",
]
