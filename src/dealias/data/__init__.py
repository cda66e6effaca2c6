"""Data sets: where they lie, how they are read and augmented, and procedural scenes.

What needs torchvision or Lightning is imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dealias.data._finding import DataError, find_samples
from dealias.data._images import SampleError
from dealias.data._scenes import ProceduralScenes, Scene, render_scene, write_scenes

if TYPE_CHECKING:
    from dealias.data._augmentation import augmentation
    from dealias.data._check import DataCheck, SplitCheck, check_data
    from dealias.data._contact_sheet import contact_sheet, write_contact_sheet
    from dealias.data._datasets import SegmentationDataset, TrainingStream
    from dealias.data._module import SegmentationDataModule

_LATER = {
    "DataCheck": "_check",
    "SegmentationDataModule": "_module",
    "SegmentationDataset": "_datasets",
    "SplitCheck": "_check",
    "TrainingStream": "_datasets",
    "augmentation": "_augmentation",
    "check_data": "_check",
    "contact_sheet": "_contact_sheet",
    "write_contact_sheet": "_contact_sheet",
}

__all__ = [
    "DataCheck",
    "DataError",
    "ProceduralScenes",
    "SampleError",
    "Scene",
    "SegmentationDataModule",
    "SegmentationDataset",
    "SplitCheck",
    "TrainingStream",
    "augmentation",
    "check_data",
    "contact_sheet",
    "find_samples",
    "render_scene",
    "write_contact_sheet",
    "write_scenes",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"dealias.data.{_LATER[name]}"), name)
    raise AttributeError(f"module 'dealias.data' has no attribute {name!r}")
