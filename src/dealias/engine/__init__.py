"""Training, testing and prediction, on PyTorch Lightning."""

import importlib
from typing import TYPE_CHECKING, Any

from dealias.engine.checkpoint_files import CheckpointError, WholeCheckpoints
from dealias.engine.checkpoints import BestCheckpoint, LastCheckpoint
from dealias.engine.commands import Commands, Prepared
from dealias.engine.configs import (
    ConfigError,
    config_names,
    find_config,
    no_imports,
    refuse_files,
    refuse_moved,
    refuse_programs,
    take_configs,
)
from dealias.engine.filter_ramp import FilterRamp
from dealias.engine.inference import Inference, slide
from dealias.engine.losses import LossError, Losses
from dealias.engine.optimization import Optimization, parameter_groups
from dealias.engine.options import Command, resolve
from dealias.engine.parsing import BriefParser
from dealias.engine.paths import settle
from dealias.engine.pictures import PredictionWriter, SamplePictures
from dealias.engine.segmentation import SegmentationTask
from dealias.engine.tasks import Task, TaskName, find_task, take_task
from dealias.engine.training import Training, TrainingError

if TYPE_CHECKING:
    from dealias.engine.instances import InstanceTask

__all__ = [
    "BestCheckpoint",
    "BriefParser",
    "CheckpointError",
    "Command",
    "Commands",
    "ConfigError",
    "FilterRamp",
    "Inference",
    "InstanceTask",
    "LastCheckpoint",
    "LossError",
    "Losses",
    "Optimization",
    "PredictionWriter",
    "Prepared",
    "SamplePictures",
    "SegmentationTask",
    "Task",
    "TaskName",
    "Training",
    "TrainingError",
    "WholeCheckpoints",
    "config_names",
    "find_config",
    "find_task",
    "no_imports",
    "parameter_groups",
    "refuse_files",
    "refuse_moved",
    "refuse_programs",
    "resolve",
    "settle",
    "slide",
    "take_configs",
    "take_task",
]


def __getattr__(name: str) -> Any:
    if name == "InstanceTask":  # needs libraries for instances
        return importlib.import_module("dealias.engine.instances").InstanceTask
    raise AttributeError(f"module 'dealias.engine' has no attribute {name!r}")
