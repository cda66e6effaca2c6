"""Calls that end when the device has done its work."""

from collections.abc import Callable, Mapping

import torch


def synchronised(
    calls: Mapping[str, Callable[[], object]], device: str
) -> dict[str, Callable[[], object]]:
    """The same calls, waiting for a GPU if that is where they run."""
    if device == "cpu":
        return dict(calls)

    def waiting(call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            call()
            torch.cuda.synchronize()

        return run

    return {name: waiting(call) for name, call in calls.items()}
