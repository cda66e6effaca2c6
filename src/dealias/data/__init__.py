"""Data sets: where they lie, how they are read and augmented, and procedural scenes.

What needs torchvision or Lightning is imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dealias.data.finding import DataError, find_samples
from dealias.data.reading import SampleError
from dealias.data.scenes import ProceduralScenes, Scene, render_scene, write_scenes

if TYPE_CHECKING:
    from dealias.data.segmentation import (
        DataCheck,
        SegmentationDataModule,
        SegmentationDataset,
        SplitCheck,
        TrainingStream,
        augmentation,
        check_data,
        contact_sheet,
        write_contact_sheet,
    )

# Needs torchvision and Lightning.
_SEGMENTATION = (
    "DataCheck",
    "SegmentationDataModule",
    "SegmentationDataset",
    "SplitCheck",
    "TrainingStream",
    "augmentation",
    "check_data",
    "contact_sheet",
    "write_contact_sheet",
)

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
    if name in _SEGMENTATION:
        return getattr(importlib.import_module("dealias.data.segmentation"), name)
    raise AttributeError(f"module 'dealias.data' has no attribute {name!r}")
