from pathlib import Path

import numpy as np
import pytest
import torch

from dealias.spectral import lowpass


@pytest.mark.parametrize("backend", ["matmul", "fft"])
@pytest.mark.parametrize("case", range(5))
def test_the_published_filter(parity: Path, case: int, backend: str, device: torch.device) -> None:
    with np.load(parity / "daf.npz") as data:
        x, y = (torch.from_numpy(data[f"{name}{case}"]).to(device) for name in "xy")
        cutoff = data[f"cutoff{case}"].item()
    actual = lowpass(x, cutoff, band_edge="official", backend=backend)
    torch.testing.assert_close(actual, y, atol=1e-5, rtol=0)
