"""``python -m studies.insertion CHECKPOINT``: filters put into a trained network, not trained with.

By how much the figures fall says how far the network lives on what a filter takes away, site by
site. Writes results/camvid/insertion.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from dealias.data import SegmentationDataModule
from dealias.engine import SegmentationTask, find_config
from dealias.engine.configs import read_config
from dealias.evaluation import Evaluation, evaluate_maps
from dealias.models import load_weights
from dealias.models.weight_files import read_checkpoint

RESULTS = Path(__file__).parents[1] / "results" / "camvid"
METRICS = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")

_SITES = [f"blocks.{stage}.0.conv_dw" for stage in (1, 2, 3, 5)]
_REFLECT = {"border": "reflect"}
_COSINE = {"transfer": "raised_cosine"}
VARIANTS: dict[str, dict[str, Any] | None] = {
    "no filter": None,
    "all sites": {},
    "all sites, reflected border": {"filter_options": _REFLECT},
    "all sites, raised cosine": {"filter_options": _COSINE},
    "all sites, raised cosine, reflected border": {"filter_options": _REFLECT | _COSINE},
    "all sites, cutoff 0.35": {"cutoff": 0.35},
    "all sites, cutoff 0.35, reflected border": {"cutoff": 0.35, "filter_options": _REFLECT},
    "all sites, cutoff 0.42, reflected border": {"cutoff": 0.42, "filter_options": _REFLECT},
    "all sites, binomial blur": {"filter": "blur"},
    **{f"only {site}": {"sites": [site]} for site in _SITES},
    "all but the first": {"sites": _SITES[1:]},
}


def main() -> None:
    """Evaluate every variant on some of the validation images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of camvid/upernet_lite0")
    parser.add_argument("--images", type=int, default=26)
    options = parser.parse_args()
    data = SegmentationDataModule(name="camvid", workers=0, limit=options.images)
    checkpoint: Any = read_checkpoint(options.checkpoint)
    rows = {}
    for name, dealias in VARIANTS.items():
        rows[name] = _figures(checkpoint, dealias, data)
        print(name, rows[name], flush=True)
    content = {"images": options.images, "metrics": rows}
    (RESULTS / "insertion.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _figures(
    checkpoint: Any, dealias: dict[str, Any] | None, data: SegmentationDataModule
) -> dict[str, float]:
    network = dict(read_config(find_config("camvid/upernet_lite0"))["model"]["network"])
    network["backbone_weights"] = None
    if dealias is not None:
        network["dealias"] = {"mixing": False} | dealias
    task = SegmentationTask(network=network, classes=data.classes).eval()
    prefix = "network."
    state = {key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items()}
    load_weights(task.network, state, source="checkpoint")
    found, samples = Evaluation.empty(task.options.settings), data.samples("val")
    with torch.no_grad():
        for index, name in enumerate(samples.names):
            image, target = samples.read(index)
            preds = task.predict_labels(image[None])[0]
            if target is not None:
                found.absorb(evaluate_maps(name, preds, target, task.options))
    metrics = found.to_dict()["metrics"]
    return {metric: round(100 * metrics[metric], 2) for metric in METRICS}


if __name__ == "__main__":
    main()
