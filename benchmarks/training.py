"""Time that the modules add to a training step, and time to read and augment a batch."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks._record import record
from dealias.data import Augmentation, SegmentationDataModule, Splits, write_scenes
from dealias.engine import Optimization
from dealias.engine.configs import find_config, read_config
from dealias.models import create_model
from dealias.timing import synchronised, time_in_turns

NETWORKS = {  # batch and crop for a CPU and for a GPU
    "camvid/upernet_lite0": {"cpu": (8, 192, 256), "cuda": (8, 360, 480)},
    "cityscapes/upernet_r50": {"cpu": (2, 192, 256), "cuda": (8, 512, 1024)},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "daf": {"mixing": False},
    "freqmix": {"filter": None},
    "daf_freqmix": {},
}


def measure(device: str = "cpu", *, rounds: int = 15) -> list[dict[str, Any]]:
    """Median times of a step (forward, backward, update) relative to the plain network."""
    rows = []
    for name, sizes in NETWORKS.items():
        calls = {key: _step(name, key, sizes[device], device) for key in VARIANTS}
        taken = time_in_turns(synchronised(calls, device), rounds)
        ratios = {key: seconds / taken["baseline"] for key, seconds in taken.items()}
        row: dict[str, Any] = {"network": name, "batch_and_crop": sizes[device]} | ratios
        row["reading_and_augmentation"] = _reading(sizes[device]) / taken["baseline"]
        rows.append(row)
    return rows


def _step(name: str, variant: str, size: tuple[int, int, int], device: str) -> Callable[[], None]:
    config = read_config(find_config(name if variant == "baseline" else f"{name}_dealiased"))
    network = dict(config["model"]["network"]) | {"backbone_weights": None}
    if variant != "baseline":
        network["dealias"] = dict(network["dealias"]) | VARIANTS[variant]
    torch.manual_seed(0)
    last = config["model"].get("channels_last", False)
    memory = torch.channels_last if last else torch.contiguous_format
    model: Any = create_model(**network, num_classes=11).to(device).train()
    model.to(memory_format=memory)
    optimizer: Any = Optimization(**config["model"]["optimization"]).optimizer(model)
    batch, height, width = size
    images = torch.randn(batch, 3, height, width, device=device).to(memory_format=memory)
    target = torch.randint(11, (batch, height, width), device=device)

    def step() -> None:
        optimizer.zero_grad()
        terms = model.loss(images, target, ignore_index=255)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        optimizer.step()

    return step


def _reading(size: tuple[int, int, int], *, batches: int = 6) -> float:
    """Seconds to read and augment a batch of images of 360x480 pixels in one process."""
    batch, height, width = size
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(folder, 24, size=(360, 480))
        data = SegmentationDataModule(
            name="folder",
            root=Path(folder),
            classes="scenes",
            splits=Splits(train="."),
            augmentation=Augmentation(crop_size=(height, width), scale_range=(0.75, 1.5)),
            batch_size=batch,
            workers=0,
        )
        stream = iter(data.train_dataloader())
        next(stream)
        start = time.perf_counter()
        for _ in range(batches):
            next(stream)
        return (time.perf_counter() - start) / batches


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    record("training", {"rows": measure(parser.parse_args().device)})
