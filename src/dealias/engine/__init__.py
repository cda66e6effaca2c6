"""Training, testing and prediction, on PyTorch Lightning."""

from dealias.engine._checkpoints import (
    BestCheckpoint,
    CheckpointError,
    LastCheckpoint,
    WholeCheckpoints,
)
from dealias.engine._commands import Command, Commands
from dealias.engine._configs import ConfigError, config_names, find_config, take_configs
from dealias.engine._inference import Inference, slide
from dealias.engine._optimization import Optimization, parameter_groups
from dealias.engine._pictures import PredictionWriter, SamplePictures
from dealias.engine._task import SegmentationTask
from dealias.engine._training import Training, TrainingError

__all__ = [
    "BestCheckpoint",
    "CheckpointError",
    "Command",
    "Commands",
    "ConfigError",
    "Inference",
    "LastCheckpoint",
    "Optimization",
    "PredictionWriter",
    "SamplePictures",
    "SegmentationTask",
    "Training",
    "TrainingError",
    "WholeCheckpoints",
    "config_names",
    "find_config",
    "parameter_groups",
    "slide",
    "take_configs",
]
