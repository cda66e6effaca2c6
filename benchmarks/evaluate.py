"""The whole evaluation: speed-up by two workers, and peak memory."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks._record import memory_of, record
from benchmarks.counts import CLASSES, draw_pair
from dealias.evaluation import Options, evaluate_pairs
from dealias.labels import ClassSet, Pair, pair_folders
from dealias.timing import time_in_turns

CLASS_SET = ClassSet("benchmark", tuple(f"class {index}" for index in range(CLASSES)))
IMAGES, SMALL_IMAGES = 60, 1000


def write_pairs(folder: Path, images: int, scale: int = 1) -> list[Pair]:
    """Write pairs of 8-bit PNG; the first are drawn, the others are links to them."""
    for side in ("predictions", "targets"):
        (folder / side).mkdir()
    drawn = 6
    for index in range(images):
        paths = [folder / side / f"{index:04}.png" for side in ("predictions", "targets")]
        if index >= drawn:
            for path in paths:
                path.hardlink_to(path.with_name(f"{index % drawn:04}.png"))
            continue
        for path, labels in zip(paths, draw_pair(20, seed=index), strict=True):
            small = labels[::scale, ::scale].astype("uint8")
            Image.fromarray(small).save(path)
    return pair_folders(folder / "predictions", folder / "targets").pairs


def peak_of_process(images: int) -> float:
    """Peak MiB of a fresh process that evaluates `images` pairs of 256x512 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), images, scale=4)
        command = [sys.executable, "-m", "benchmarks.evaluate", folder]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(run.stdout)


def main() -> None:
    """Measure speed-up and memory."""
    options = Options(CLASS_SET)
    result: dict[str, Any] = {"size": [1024, 2048], "images": IMAGES}
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_pairs(Path(folder), IMAGES)
        seconds = time_in_turns(
            {
                "one": lambda: evaluate_pairs(pairs, options, workers=1),
                "two": lambda: evaluate_pairs(pairs, options, workers=2),
                "none": lambda: evaluate_pairs(pairs, options, workers=0),
            },
            rounds=5,
        )
        result["one_worker_over_two"] = round(seconds["one"] / seconds["two"], 2)
        result["no_worker_over_two"] = round(seconds["none"] / seconds["two"], 2)
    few, many = peak_of_process(SMALL_IMAGES // 10), peak_of_process(SMALL_IMAGES)
    result["peak_memory_mib"] = {str(SMALL_IMAGES // 10): few, str(SMALL_IMAGES): many}
    record("evaluate", result)


def _report_peak(folder: Path) -> None:
    torch.set_num_threads(1)
    pairs = pair_folders(folder / "predictions", folder / "targets").pairs
    _, peak = memory_of(lambda: evaluate_pairs(pairs, Options(CLASS_SET)))
    print(round(peak, 1))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _report_peak(Path(sys.argv[1]))
    else:
        main()
