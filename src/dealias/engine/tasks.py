"""What networks are trained for, and the classes that belong to it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, get_args

from dealias.engine.configs import ConfigError
from dealias.text import printable

TaskName = Literal["segmentation", "instance"]

# Named, not imported: instances need libraries of their own, and import the engine.
_CLASSES = {
    "segmentation": (
        "dealias.engine:SegmentationTask",
        "dealias.data.segmentation:SegmentationDataModule",
    ),
    "instance": ("dealias.engine:InstanceTask", "dealias.data.instances:InstanceDataModule"),
}


def take_task(options: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """The task that the command line asks for, or else the configuration file.

    Raises:
        ConfigError: there is no such task.
    """
    task = options.get("task", "segmentation")
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        option, equals, value = argument.partition("=")
        if option == "--task":
            task = value if equals else following
    if task not in get_args(TaskName):
        known = " or ".join(get_args(TaskName))
        raise ConfigError(f"task: expected {known}, got {printable(str(task))!r}")
    return str(task)


def task_classes(task: str) -> tuple[Any, Any]:
    """The modules of Lightning for a task: that of the network and that of the data."""
    module, data = (_named(path) for path in _CLASSES[task])
    return module, data


def _named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
