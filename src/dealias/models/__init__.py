"""Segmentation networks by name, with and without de-aliasing."""

from dealias.models._convert import Converted, convert
from dealias.models._create import create_model
from dealias.models._errors import ModelError, WeightsError
from dealias.models._files import load, save
from dealias.models._segmentation import SegmentationModel
from dealias.models._sync import sync_batch_norm
from dealias.models._upernet import UPerNet
from dealias.models._weights import load_weights

__all__ = [
    "Converted",
    "ModelError",
    "SegmentationModel",
    "UPerNet",
    "WeightsError",
    "convert",
    "create_model",
    "load",
    "load_weights",
    "save",
    "sync_batch_norm",
]
