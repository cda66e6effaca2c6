from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dealias.layers import FrequencyMixing


@pytest.fixture(scope="module")
def published(parity: Path, device: torch.device) -> dict[str, Tensor]:
    with np.load(parity / "freqmix.npz") as data:
        return {name: torch.from_numpy(data[name]).to(device) for name in data}


@pytest.fixture(scope="module")
def module(published: dict[str, Tensor], device: torch.device) -> FrequencyMixing:
    module = FrequencyMixing(32, 0.35, pooling="official").to(device)
    weights = {name[2:]: value for name, value in published.items() if name.startswith("w:")}
    module.load_state_dict(weights, strict=True)
    return module


@pytest.mark.parametrize("case", range(3))
@torch.no_grad()
def test_one_image(published: dict[str, Tensor], module: FrequencyMixing, case: int) -> None:
    actual = module(published[f"x{case}"])
    torch.testing.assert_close(actual, published[f"y{case}"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_batch_is_so_many_single_images(
    published: dict[str, Tensor], module: FrequencyMixing
) -> None:
    actual = module(published["leak_x"])
    torch.testing.assert_close(actual, published["leak_y_single"], atol=1e-4, rtol=0)
    assert (actual - published["leak_y_batched"]).abs().max() > 1e-3
