"""Which task a command is for."""

import pytest

from dealias.engine import ConfigError
from dealias.engine.tasks import take_task


@pytest.mark.parametrize(
    ("options", "arguments", "task"),
    [
        ({}, [], "segmentation"),
        ({"task": "instance"}, [], "instance"),
        ({"task": "instance"}, ["--seed", "1"], "instance"),
        ({}, ["--task", "instance"], "instance"),
        ({"task": "instance"}, ["--x", "y", "--task=segmentation"], "segmentation"),
    ],
)
def test_the_command_line_goes_before_the_file(options, arguments, task):
    assert take_task(options, arguments) == task


@pytest.mark.parametrize(
    ("options", "arguments"), [({"task": "x"}, []), ({}, ["--task", "x"]), ({}, ["--task"])]
)
def test_there_is_no_other_task(options, arguments):
    with pytest.raises(ConfigError, match="task: expected segmentation or instance, got"):
        take_task(options, arguments)
