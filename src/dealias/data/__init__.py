"""Data sets: finding, reading and augmenting them, and procedural scenes.

Names that need torchvision or Lightning are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dealias.data.finding import DataError, Splits, find_samples
from dealias.data.reading import SampleError
from dealias.data.scenes import ProceduralScenes, Scene, render_scene, write_scenes
from dealias.data.sheets import write_picture

if TYPE_CHECKING:
    from dealias.data.checks import DataCheck
    from dealias.data.dark import Dark
    from dealias.data.segmentation.augment import Augmentation
    from dealias.data.segmentation.check import SplitCheck, check_data
    from dealias.data.segmentation.datasets import SegmentationDataset
    from dealias.data.segmentation.module import SCENE_SEEDS, Scenes, SegmentationDataModule
    from dealias.data.segmentation.sheet import contact_sheet
    from dealias.data.segmentation.weights import class_weights, read_class_weights
    from dealias.data.streams import TrainingStream

# Names that are imported on first use, and their modules.
_LAZY = {
    "Augmentation": "segmentation.augment",
    "Dark": "dark",
    "DataCheck": "checks",
    "SCENE_SEEDS": "segmentation.module",
    "Scenes": "segmentation.module",
    "SegmentationDataModule": "segmentation.module",
    "SegmentationDataset": "segmentation.datasets",
    "SplitCheck": "segmentation.check",
    "TrainingStream": "streams",
    "check_data": "segmentation.check",
    "class_weights": "segmentation.weights",
    "contact_sheet": "segmentation.sheet",
    "read_class_weights": "segmentation.weights",
}

__all__ = [
    "SCENE_SEEDS",
    "Augmentation",
    "Dark",
    "DataCheck",
    "DataError",
    "ProceduralScenes",
    "SampleError",
    "Scene",
    "Scenes",
    "SegmentationDataModule",
    "SegmentationDataset",
    "SplitCheck",
    "Splits",
    "TrainingStream",
    "check_data",
    "class_weights",
    "contact_sheet",
    "find_samples",
    "read_class_weights",
    "render_scene",
    "write_picture",
    "write_scenes",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"dealias.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'dealias.data' has no attribute {name!r}")
