"""Segmentation networks by name, with and without de-aliasing."""

from dealias.models.backbones import sync_batch_norm
from dealias.models.conversion import Converted, convert
from dealias.models.creation import create_model
from dealias.models.hub import from_pretrained, model_card, push_to_hub, save_pretrained
from dealias.models.huggingface_files import (
    check_model_folder,
    model_folder,
    offline,
    read_pretrained,
    stored_normalisation,
)
from dealias.models.network import (
    EARLIER_BORDER,
    EARLIER_MIXING,
    EARLIER_PLACE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelError,
    Network,
    limited,
    network_name,
    settled_dealias,
)
from dealias.models.saved import load, read_saved, save
from dealias.models.segmentation import Criterion, SegmentationModel, pixel_loss
from dealias.models.upernet import UPerNet
from dealias.models.weight_files import (
    read_checkpoint,
    read_state_dict,
    read_weights,
    state_dict_of,
)
from dealias.models.weights import (
    WeightsError,
    check_kinds,
    digest_weights,
    load_weights,
    match_weights,
)
from dealias.models.wrapped import FullyConvolutional, WrappedNetwork

__all__ = [
    "EARLIER_BORDER",
    "EARLIER_MIXING",
    "EARLIER_PLACE",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Converted",
    "Criterion",
    "FullyConvolutional",
    "ModelError",
    "Network",
    "SegmentationModel",
    "UPerNet",
    "WeightsError",
    "WrappedNetwork",
    "check_kinds",
    "check_model_folder",
    "convert",
    "create_model",
    "digest_weights",
    "from_pretrained",
    "limited",
    "load",
    "load_weights",
    "match_weights",
    "model_card",
    "model_folder",
    "network_name",
    "offline",
    "pixel_loss",
    "push_to_hub",
    "read_checkpoint",
    "read_pretrained",
    "read_saved",
    "read_state_dict",
    "read_weights",
    "save",
    "save_pretrained",
    "settled_dealias",
    "state_dict_of",
    "stored_normalisation",
    "sync_batch_norm",
]
