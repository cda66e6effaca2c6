"""``python -m studies.camvid``: what each module does to training on CamVid, over several seeds.

Trains and tests what the folder of runs does not hold yet, one thread a run, and writes
results/camvid. Started again after a stop, it goes on with what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studies._summary import Figures
from studies._training import Study, main

RESULTS = Path(__file__).parents[1] / "results" / "camvid"
METRICS = {"mIoU": "↑", "BIoU": "↑", "BAcc": "↑", "FErr": "↓", "MErr": "↓", "DErr": "↓"}
TITLES = {
    "baseline": "baseline",
    "daf": "DAF",
    "freqmix": "FreqMix",
    "daf_freqmix": "DAF + FreqMix",
    "daf_all_sites": "DAF at all steps",
    "daf_freqmix_all_sites": "DAF + FreqMix at all steps, mixing at 50 times its rate",
}
_PLAIN, _DEALIASED = (["--config", f"camvid/upernet_lite0{end}"] for end in ("", "_dealiased"))
_DEALIAS = "--model.network.dealias"
_ALL_SITES = [f"{_DEALIAS}.sites", "null"]
_NO_MIXING, _NO_FILTER = [f"{_DEALIAS}.mixing", "false"], [f"{_DEALIAS}.filter", "null"]
VARIANTS = {
    "baseline": _PLAIN,
    "daf": [*_DEALIASED, *_NO_MIXING],
    "freqmix": [*_DEALIASED, *_NO_FILTER],
    "daf_freqmix": _DEALIASED,
    "daf_all_sites": [*_DEALIASED, *_NO_MIXING, *_ALL_SITES],
}
TRIALS = {  # one seed each: what was tried before
    "daf_freqmix_all_sites": [
        *_DEALIASED,
        *_ALL_SITES,
        "--model.optimization.mixing_multiplier",
        "5",
    ],
}


def _read(result: Any) -> Figures:
    return {metric: result["metrics"][metric] for metric in METRICS}


STUDY = Study(
    results=RESULTS,
    runs=Path("runs/camvid"),
    variants=VARIANTS,
    trials=TRIALS,
    titles=TITLES,
    metrics=METRICS,
    read=_read,
    recorded=("environment",),
)

if __name__ == "__main__":
    main(STUDY, __doc__)
