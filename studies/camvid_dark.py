"""``python -m studies.camvid_dark``: what the modules do to finding instances in the dark.

Trains and tests Mask R-CNN on darkened CamVid where the folder of runs holds no result yet, one
thread a run, and writes results/camvid_dark. Started again, it goes on with what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studies._summary import Figures
from studies._training import Study, main

_FIGURES = {
    "mask AP": ("mask", "AP"),
    "mask AP50": ("mask", "AP50"),
    "mask AP75": ("mask", "AP75"),
    "box AP": ("box", "AP"),
    "box AP50": ("box", "AP50"),
    "boundary AP": ("boundary", "AP"),
}


def _read(result: Any) -> Figures:
    return {name: result["metrics"][kind][key] for name, (kind, key) in _FIGURES.items()}


def _read_classes(result: Any) -> Figures:
    return {row["name"]: row["mask"] for row in result["classes"]}


_DEALIASED = ["--config", "camvid_dark/mask_rcnn_lite_dealiased"]

STUDY = Study(
    results=Path(__file__).parents[1] / "results" / "camvid_dark",
    runs=Path("runs/camvid_dark"),
    variants={
        "baseline": ["--config", "camvid_dark/mask_rcnn_lite"],
        "daf_freqmix": _DEALIASED,
        "daf_freqmix_all_sites": [*_DEALIASED, "--model.network.dealias.sites", "null"],
    },
    titles={
        "baseline": "baseline",
        "daf_freqmix": "DAF + FreqMix",
        "daf_freqmix_all_sites": "DAF + FreqMix at all steps",
    },
    metrics=dict.fromkeys(_FIGURES, "↑"),
    read=_read,
    class_metric="mask AP",
    read_classes=_read_classes,
    recorded=("images", "instances", "errors", "environment"),
)

if __name__ == "__main__":
    main(STUDY, __doc__)
