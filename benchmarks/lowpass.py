"""The separable low-pass against the literal complex form and against a copy."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch

from benchmarks._literal import literal_lowpass
from benchmarks._record import record
from dealias.spectral import Backend, check_responses, choose_backend, lowpass
from dealias.timing import synchronised, time_in_turns

CUTOFF = 2**0.5 / 4
LAYOUTS = (torch.contiguous_format, torch.channels_last)
SIZES = {
    "cpu": [(1, 256, 128, 256), (1, 512, 64, 128), (1, 1024, 32, 64)],
    "cuda": [(1, 256, 256, 512), (1, 512, 128, 256), (1, 1024, 64, 128)],
}


def measure(device: str = "cpu", *, rounds: int = 30) -> list[dict[str, Any]]:
    """Ratios of times for each backend; above 1, it is faster than the literal form."""
    dtypes = [torch.float32] if device == "cpu" else [torch.float32, torch.bfloat16]
    backends: list[Backend] = ["auto", "fft", "matmul"]
    if device == "cpu":
        backends.append("slabs")
    rows: list[dict[str, Any]] = []
    for size, dtype, layout in product(SIZES[device], dtypes, LAYOUTS):
        x = torch.randn(size, device=device, dtype=dtype).contiguous(memory_format=layout)
        calls: dict[str, Callable[[], object]] = {
            "copy": x.clone,
            "literal": partial(literal_lowpass, x, CUTOFF),
        }
        calls |= {backend: partial(lowpass, x, CUTOFF, backend=backend) for backend in backends}
        taken = time_in_turns(synchronised(calls, device), rounds)
        rows.append(
            {
                "size": size,
                "dtype": str(dtype).removeprefix("torch."),
                "layout": str(layout).removeprefix("torch."),
                "auto": choose_backend(x, *check_responses(CUTOFF)),
                "literal_over": {b: taken["literal"] / taken[b] for b in backends},
                # Reading and writing once, as a copy does.
                "bandwidth_of_a_copy": taken["copy"] / taken["auto"],
            }
        )
    return rows


@torch.inference_mode()
def main() -> None:
    """Measure on every available device."""
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    record("lowpass", {"cutoff": CUTOFF} | {device: measure(device) for device in devices})


if __name__ == "__main__":
    main()
