"""The separable low-pass against the literal complex form, and the bytes that it moves."""

from functools import partial
from typing import Any

import torch

from benchmarks._device import synchronised
from benchmarks._literal import literal_lowpass
from benchmarks._record import record, time_in_turns
from dealias.spectral import lowpass

CUTOFF = 2**0.5 / 4
SIZES = {
    "cpu": [(1, 256, 128, 256), (1, 512, 64, 128), (1, 1024, 32, 64)],
    "cuda": [(1, 256, 256, 512), (1, 512, 128, 256), (1, 1024, 64, 128)],
}


def measure(device: str = "cpu", *, rounds: int = 30) -> list[dict[str, Any]]:
    """Ratios of times; above 1, the separable form is the faster."""
    dtypes = [torch.float32] if device == "cpu" else [torch.float32, torch.bfloat16]
    rows: list[dict[str, Any]] = []
    for size in SIZES[device]:
        for dtype in dtypes:
            x = torch.randn(size, device=device, dtype=dtype)
            last = x.contiguous(memory_format=torch.channels_last)
            taken = time_in_turns(
                synchronised(
                    {
                        "copy": x.clone,
                        "literal": partial(literal_lowpass, x, CUTOFF),
                        "fft": partial(lowpass, x, CUTOFF, backend="fft"),
                        "matmul": partial(lowpass, x, CUTOFF, backend="matmul"),
                        "channels_last": partial(lowpass, last, CUTOFF, backend="matmul"),
                    },
                    device,
                ),
                rounds,
            )
            rows.append(
                {
                    "size": size,
                    "dtype": str(dtype).removeprefix("torch."),
                    "literal_over_matmul": taken["literal"] / taken["matmul"],
                    "literal_over_channels_last": taken["literal"] / taken["channels_last"],
                    "fft_over_matmul": taken["fft"] / taken["matmul"],
                    # Reading and writing once, as a copy does.
                    "bandwidth_of_a_copy": taken["copy"] / taken["matmul"],
                }
            )
    return rows


@torch.inference_mode()
def main() -> None:
    """Measure on every device at hand."""
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    record("lowpass", {"cutoff": CUTOFF} | {device: measure(device) for device in devices})


if __name__ == "__main__":
    main()
