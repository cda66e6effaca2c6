"""Segmentation networks by name, with and without de-aliasing."""

from dealias.models._create import create_model
from dealias.models._errors import ModelError, WeightsError
from dealias.models._segmentation import SegmentationModel
from dealias.models._upernet import UPerNet

__all__ = [
    "ModelError",
    "SegmentationModel",
    "UPerNet",
    "WeightsError",
    "create_model",
]
