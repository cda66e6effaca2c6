"""``python -m studies.shifts``: how much of a prediction depends on the sampling grid, on CamVid.

Trains UPerNet on EfficientNet-Lite0 and on `test_resnet`, unless the folder of runs holds them,
tests both under random shifts, and measures the agreement at given distances. Writes
results/shifts. Started again after a stop, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dealias.cli import main as command
from dealias.data import SegmentationDataModule, Splits
from dealias.environment import commit, environment, hardware
from dealias.files import write_json, write_whole
from dealias.metrics.functional import shift_agreement
from dealias.models import convert
from dealias.probe import map_shifts
from dealias.study import UNDEFINED, markdown

RESULTS = Path(__file__).parents[1] / "results" / "shifts"
DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 31, 32)
SHIFTS = 5
_CAMVID = ["--config", "camvid/upernet_lite0"]
_NETWORK = "--model.network"
NETWORKS = {
    "lite0": _CAMVID,
    "test_resnet": [
        *_CAMVID,
        f"{_NETWORK}.backbone=test_resnet",
        f"{_NETWORK}.backbone_weights=null",
        f"{_NETWORK}.channels=32",
        f"{_NETWORK}.aux_head=false",
        "--model.optimization.lr=4.0e-3",
        "--model.optimization.head_multiplier=1.0",
        "--model.optimization.warmup_steps=10",
        "--data.augmentation.crop_size=[144, 192]",
        "--trainer.max_steps=800",
        "--trainer.val_check_interval=800",
    ],
}
TITLES = {
    "lite0": "UPerNet-Lite0, ImageNet weights, 400 steps",
    "test_resnet": "UPerNet on test_resnet, random weights, 800 steps",
}
_KEYS = {"agreement": "all pixels", "agreement_preds_band": "bands of the prediction"}


def train_and_test(name: str, runs: Path) -> dict[str, Any]:
    """Train and test a network unless that is done; the result of the test."""
    run = runs / name
    options = [*NETWORKS[name], "--output", str(run), "--trainer.enable_progress_bar=false"]
    if not (run / "best.ckpt").is_file():
        resume = ["--ckpt_path", "last"] if (run / "last.ckpt").is_file() else []
        _run(["fit", *options, *resume])
    if not (run / "test" / "result.json").is_file():
        _run(["test", *options, "--shifts", str(SHIFTS), "--report", str(run / "report")])
    found: dict[str, Any] = json.loads((run / "test" / "result.json").read_bytes())
    return found


def _run(arguments: list[str]) -> None:
    if command(arguments) != 0:
        raise SystemExit(f"dealias {' '.join(arguments)} failed")


@torch.no_grad()
def measure(name: str, runs: Path) -> dict[str, Any]:
    """Agreement at each of `DISTANCES`, to the right and down, on CamVid's validation images."""
    model = convert(runs / name / "best.ckpt").model.eval()
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (model.mean, model.std))
    data = SegmentationDataModule(name="camvid", splits=Splits(), workers=0)
    data.setup("validate")
    classes = len(data.classes)
    counts = {distance: torch.zeros(3, 2, classes, dtype=torch.int64) for distance in DISTANCES}

    def predict(view: Tensor) -> Tensor:
        scores: Tensor = model(((view.float() - mean) / std)[None])["out"]
        return scores.argmax(1)[0]

    offsets = [offset for distance in DISTANCES for offset in ((0, distance), (distance, 0))]
    for batch in data.val_dataloader():
        image, target = batch["image"][0], batch["target"][0].long()
        for place, distance in enumerate(DISTANCES):
            pair = offsets[2 * place : 2 * place + 2]
            found = map_shifts(predict, image, pair, largest=max(DISTANCES), multiple=32)
            counts[distance] += found.count(
                target, num_classes=classes, ignore_index=data.classes.ignore_index
            )
    rows = {}
    for distance, table in counts.items():
        scores = shift_agreement(table)
        rows[str(distance)] = {
            key: float(value) for key, value in scores.items() if value.ndim == 0
        }
    return rows


def write(found: Mapping[str, Any]) -> None:
    """Write results.json, table.md and the figure."""
    write_json(dict(found), RESULTS / "results.json")
    lines = []
    for name, row in found["networks"].items():
        heads = [f"{distance} px" for distance in DISTANCES]
        cells = {
            title: [f"{100 * row['distances'][str(d)][key]:.2f}" for d in DISTANCES]
            for key, title in _KEYS.items()
        }
        lines += [f"**{TITLES[name]}**: agreement in percent", ""]
        lines += [*markdown(heads, cells.items()), ""]
        shifts = row["shifts"]
        rows = [
            (entry["name"], [_percent(entry[key]) for key in ("agreement", *list(_KEYS)[1:])])
            for entry in shifts["classes"]
        ]
        lines += [f"{SHIFTS} random shifts of up to {shifts['largest']} px, by class:", ""]
        lines += [*markdown(_KEYS.values(), rows), ""]
    with write_whole(RESULTS / "table.md") as file:
        file.write("\n".join(lines).encode())
    _draw(found)


def _percent(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.2f}"


def _draw(found: Mapping[str, Any]) -> None:
    figure = importlib.import_module("matplotlib.figure").Figure((6.4, 3), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for axis, (key, title) in zip(panels, _KEYS.items(), strict=True):
        for name, row in found["networks"].items():
            values = [100 * row["distances"][str(distance)][key] for distance in DISTANCES]
            axis.plot(DISTANCES, values, marker="o", markersize=3, label=name)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("the camera moves by, px")
        axis.set_xticks([1, 4, 8, 16, 24, 32])
        axis.grid(alpha=0.3)
    panels[0].set_ylabel("pixels that keep their class, %")
    panels[0].legend(fontsize=8)
    with write_whole(RESULTS / "agreement.png") as file:
        figure.savefig(file, format="png", dpi=150)


def main() -> None:
    """Train, test and measure what is missing, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/shifts"))
    runs = parser.parse_args().runs
    networks = {}
    for name in NETWORKS:
        kept = runs / name / "distances.json"
        result = train_and_test(name, runs)
        if not kept.is_file():
            write_json(measure(name, runs), kept)
        networks[name] = {
            "metrics": result["metrics"],
            "shifts": {k: v for k, v in result["shifts"].items() if k != "per_image"},
            "errors_against_aliasing": {
                key: result["errors_against_aliasing"][key]
                for key in ("site", "rank_correlation", "higher_share")
            },
            "distances": json.loads(kept.read_bytes()),
            "options": NETWORKS[name],
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    write({"networks": networks} | environment() | {"commit": commit(), "hardware": hardware()})


if __name__ == "__main__":
    main()
