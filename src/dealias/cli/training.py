"""``dealias fit``, ``validate``, ``test``, ``predict`` and ``data check``."""

import importlib
import sys
from collections.abc import Sequence

from dealias.cli.training_help import ALL_OPTIONS, brief_help


def main(command: str, arguments: Sequence[str]) -> int:
    """Run a command, or show its help without importing the libraries that it needs.

    Returns:
        0 on success, 1 if files were left out on request, or a file of the data can't be used.
    """
    name, module = ("data check", "checking") if command == "data" else (command, "running")
    if {"-h", "--help"} & {*arguments}:
        sys.stdout.write(brief_help(name))
        return 0
    arguments = ["--help" if given == ALL_OPTIONS else given for given in arguments]
    code: int = importlib.import_module(f"dealias.cli.{module}").run(command, arguments)
    return code
