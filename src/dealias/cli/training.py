"""``dealias fit``, ``validate``, ``test`` and ``predict``."""

import importlib
import sys
from collections.abc import Sequence

from dealias.cli.training_help import ALL_OPTIONS, brief_help


def main(command: str, arguments: Sequence[str]) -> int:
    """Run a command, or show its help without importing the libraries that it needs.

    Returns:
        0 on success, 1 if files were left out on request.
    """
    if {"-h", "--help"} & {*arguments}:
        sys.stdout.write(brief_help(command))
        return 0
    arguments = ["--help" if given == ALL_OPTIONS else given for given in arguments]
    code: int = importlib.import_module("dealias.cli.running").run(command, arguments)
    return code
