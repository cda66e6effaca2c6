"""``dealias data check``."""

import importlib
import sys
from collections.abc import Sequence

from dealias.cli.training_help import ALL_OPTIONS, brief_help


def main(command: str, arguments: Sequence[str]) -> int:
    """Check a data set, or show the help without importing the libraries that the check needs.

    Returns:
        0 if every file can be used, 1 if not.
    """
    if {"-h", "--help"} & {*arguments}:
        sys.stdout.write(brief_help(f"{command} check"))
        return 0
    arguments = ["--help" if given == ALL_OPTIONS else given for given in arguments]
    code: int = importlib.import_module("dealias.cli.checking").run(command, arguments)
    return code
