"""What networks are trained for, and finding what belongs to it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, get_args

from dealias.engine.configs import ConfigError
from dealias.engine.training import Task
from dealias.text import printable

TaskName = Literal["segmentation", "instance"]

# Where the record of each lies: instances need libraries of their own.
_MODULES: dict[str, str] = {
    "segmentation": "dealias.engine.segmentation",
    "instance": "dealias.engine.instances",
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


def find_task(name: str) -> Task:
    """What belongs to the task of a name; its libraries are imported only now."""
    task: Task = importlib.import_module(_MODULES[name]).TASK
    return task
