"""Timing in turns, and result files with hardware and versions."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from dealias.environment import environment

RESULTS = Path(__file__).parent / "results"


def time_in_turns(
    calls: Mapping[str, Callable[[], object]], rounds: int = 7, *, repeats: int = 1
) -> dict[str, float]:
    """Median seconds of each call, timed in turns so that noise affects all of them alike.

    With `repeats` above 1, a turn is the mean of that many calls, after one that is not timed and
    fills the caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            if repeats > 1:
                call()
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            if turn:  # the first one warms up
                seconds[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(times) for name, times in seconds.items()}


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


def hardware() -> dict[str, Any]:
    """Processor, cores, threads, memory and accelerator."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


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


def commit() -> str:
    """The commit checked out, followed by "-dirty" if files other than results differ."""
    folder = RESULTS.parent.parent
    describe = ["git", "describe", "--always"]
    run = subprocess.run(describe, cwd=folder, capture_output=True, text=True, check=False)
    differs = ["git", "diff", "--quiet", "HEAD", "--", ".", ":!benchmarks/results", ":!results"]
    changed = subprocess.run(differs, cwd=folder, check=False).returncode
    return run.stdout.strip() + ("-dirty" if changed else "")
