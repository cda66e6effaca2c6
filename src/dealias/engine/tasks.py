"""Tasks by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, get_args

from dealias.engine.configs import ConfigError
from dealias.engine.training import Task
from dealias.text import printable

TaskName = Literal["segmentation", "instance"]

# Modules of the tasks, imported when needed: instances need more libraries.
_MODULES: dict[str, str] = {
    "segmentation": "dealias.engine.segmentation",
    "instance": "dealias.engine.instances",
}


def take_task(options: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """Name of the task on the command line, or else in the configuration.

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
    """The task of a name, whose libraries are imported only now."""
    task: Task = importlib.import_module(_MODULES[name]).TASK
    return task
