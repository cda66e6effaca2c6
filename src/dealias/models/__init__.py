"""Segmentation networks by name, with and without de-aliasing."""

from dealias.models.backbones import sync_batch_norm
from dealias.models.conversion import Converted, convert
from dealias.models.creation import create_model
from dealias.models.huggingface import check_model_folder
from dealias.models.network import (
    EARLIER_BORDER,
    EARLIER_MIXING,
    EARLIER_PLACE,
    ModelError,
    Network,
    limited,
    settled_dealias,
)
from dealias.models.saved import load, save
from dealias.models.segmentation import SegmentationModel
from dealias.models.upernet import UPerNet
from dealias.models.weight_files import read_checkpoint, read_weights
from dealias.models.weights import WeightsError, check_kinds, load_weights

__all__ = [
    "EARLIER_BORDER",
    "EARLIER_MIXING",
    "EARLIER_PLACE",
    "Converted",
    "ModelError",
    "Network",
    "SegmentationModel",
    "UPerNet",
    "WeightsError",
    "check_kinds",
    "check_model_folder",
    "convert",
    "create_model",
    "limited",
    "load",
    "load_weights",
    "read_checkpoint",
    "read_weights",
    "save",
    "settled_dealias",
    "sync_batch_norm",
]
