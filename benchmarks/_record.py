"""Peak memory, and result files with hardware and versions."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dealias.environment import commit, environment, hardware

RESULTS = Path(__file__).parent / "results"


def memory_of(call: Callable[[], object]) -> tuple[float, float]:
    """Peak MiB that a call adds to this process, and the peak of the process.

    Only on Linux. `resource.getrusage` would include the memory of the parent at the fork.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    call()
    peak = _status("VmHWM")
    return peak - before, peak


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field))
    return int(line.split()[1]) / 1024


def record(name: str, result: Mapping[str, Any]) -> None:
    """Print a result and write it to benchmarks/results/NAME.json."""
    content = dict(result) | {
        "hardware": hardware(),
        "environment": environment(),
        "commit": commit(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    print(name, json.dumps(dict(result), indent=2))
