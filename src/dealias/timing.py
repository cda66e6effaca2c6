"""Measure what calls cost, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def synchronised(
    calls: Mapping[str, Callable[[], object]], device: str
) -> dict[str, Callable[[], object]]:
    """Make calls wait for the GPU if they run on one.

    Args:
        calls: the calls, by name.
        device: "cpu" or "cuda".
    """
    if device == "cpu":
        return dict(calls)

    def waiting(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            call()
            torch.cuda.synchronize()

        return run

    return {name: waiting(call) for name, call in calls.items()}


def time_in_turns(
    calls: Mapping[str, Callable[[], object]],
    rounds: int = 7,
    *,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median seconds of each call, timed in turns so that noise affects all alike.

    With `repeats` above 1, a turn is the mean of that many calls, after one call that is not timed
    and fills the caches. With ``time.process_time`` as `clock`, the CPU time of this process is
    measured, which other processes affect less.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            if repeats > 1:
                call()
            start = clock()
            for _ in range(repeats):
                call()
            if turn:  # the first turn is a warm-up
                seconds[name].append((clock() - start) / repeats)
    return {name: statistics.median(times) for name, times in seconds.items()}
