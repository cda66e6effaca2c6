"""Calls that wait for the device."""

from collections.abc import Callable, Mapping

import torch


def synchronised(
    calls: Mapping[str, Callable[[], object]], device: str
) -> dict[str, Callable[[], object]]:
    """Make calls wait for the GPU if they run on one."""
    if device == "cpu":
        return dict(calls)

    def waiting(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            call()
            torch.cuda.synchronize()

        return run

    return {name: waiting(call) for name, call in calls.items()}
