"""Tasks: what commands need to know about each, and how to find one by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dealias.engine.configs import ConfigError
from dealias.engine.training import Training
from dealias.text import printable

TaskName = Literal["segmentation", "instance"]

# Modules of the tasks, imported when needed, since instances need more libraries.
_MODULES: dict[str, str] = {
    "segmentation": "dealias.engine.segmentation",
    "instance": "dealias.engine.instances",
}


@dataclass(frozen=True)
class Task:
    """Everything that the commands need to know about a task.

    Attributes:
        name: name of the task, as in the option ``task``.
        training: the Lightning module of the network, which also writes the page of a test.
        data: the Lightning data module.
        check: checks the data set of a data module.
        contact_sheet: draws samples of a data module, uint8 [H, W, 3], RGB.
        printed: name of the module with ``print_check`` and ``print_results``, which only the
            command line imports.
    """

    name: str
    training: type[Training]
    data: type[Any]
    check: Callable[..., Any]
    contact_sheet: Callable[..., NDArray[np.uint8]]
    printed: str


def take_task(options: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """The name of the task on the command line or, if not given there, in the configuration.

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
    """The task of a name; its libraries are imported only now."""
    task: Task = importlib.import_module(_MODULES[name]).TASK
    return task
