"""Entry point of the processes of a study: see :func:`dealias.study.runs.run_jobs`."""

import json
import sys
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException

from dealias.study.cost import measure_cost
from dealias.study.runs import ending_with_parent
from dealias.study.training import train_and_test

_WORK: dict[str, Any] = {"train": train_and_test, "cost": measure_cost}


def main() -> int:
    """Do the work that the argument describes; an error in the inputs is printed as one line."""
    task = json.loads(sys.argv[1])
    with ending_with_parent():
        try:
            _WORK[task.pop("work")](**task)
        except (ValueError, OSError, MisconfigurationException) as error:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201 - into the log
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
