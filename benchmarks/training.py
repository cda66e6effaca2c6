"""Time that the modules add to a training step and to a prediction, and time to read a batch."""

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
from dealias.models import SegmentationModel, create_model
from dealias.timing import synchronised, time_in_turns

NETWORKS = {  # batch and crop for a CPU and for a GPU
    "camvid/upernet_lite0": {"cpu": (8, 192, 256), "cuda": (8, 360, 480)},
    "cityscapes/upernet_r50": {"cpu": (2, 192, 256), "cuda": (8, 512, 1024)},
}
VARIANTS: dict[str, dict[str, Any] | None] = {
    "baseline": None,
    "daf": {"place": "before"},
    "daf_after": {"place": "after"},
    "blur_after": {"place": "after", "filter": "blur"},
    "freqmix": {"filter": None, "mixing": True},
    "daf_freqmix": {"place": "before", "mixing": True},
}


def measure(device: str = "cpu", *, rounds: int = 15) -> list[dict[str, Any]]:
    """Median times relative to the plain network.

    A step is forward, backward and update of a batch; a prediction is of one image, without
    gradients.
    """
    rows = []
    for name, sizes in NETWORKS.items():
        calls = {key: _calls(name, key, sizes[device], device) for key in VARIANTS}
        row: dict[str, Any] = {"network": name, "batch_and_crop": sizes[device]}
        for index, kind in enumerate(("step", "prediction")):
            timed = {key: pair[index] for key, pair in calls.items()}
            taken = time_in_turns(synchronised(timed, device), rounds)
            row[kind] = {key: seconds / taken["baseline"] for key, seconds in taken.items()}
            if kind == "step":
                row["reading_and_augmentation"] = _reading(sizes[device]) / taken["baseline"]
        rows.append(row)
    return rows


def build(name: str, variant: str) -> SegmentationModel:
    """The network of a configuration with what a variant puts in, and random weights."""
    network = dict(read_config(find_config(name))["model"]["network"])
    changes = {"backbone_weights": None, "dealias": VARIANTS[variant]}
    return create_model(**network | changes, num_classes=11)


def _calls(
    name: str, variant: str, size: tuple[int, int, int], device: str
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A training step and a prediction."""
    config = read_config(find_config(name))
    torch.manual_seed(0)
    last = config["model"].get("channels_last", False)
    memory = torch.channels_last if last else torch.contiguous_format
    model: Any = build(name, variant).to(device).train()
    model.to(memory_format=memory)
    optimizer: Any = Optimization(**config["model"]["optimization"]).optimizer(model)
    batch, height, width = size
    images = torch.randn(batch, 3, height, width, device=device).to(memory_format=memory)
    target = torch.randint(11, (batch, height, width), device=device)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        terms = model.loss(images, target, ignore_index=255)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        optimizer.step()

    @torch.inference_mode()
    def predict() -> None:
        model.eval()
        model(images[:1])

    return step, predict


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
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    record("training", {"rows": measure(given.device, rounds=given.rounds)})
