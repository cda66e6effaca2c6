"""What the figures of an evaluation cost: over the table of counts alone, by part, in CPU time.

Intervals, mIoU image by image and margins are always worked out; widths and objects are asked for.
The table of counts alone is what there is without any of them: reading both files, counting and
adding. One process and one thread.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._record import record
from benchmarks.evaluate import CLASS_SET, write_pairs
from dealias.evaluation import Options, Unit, evaluate_pairs, find_differences
from dealias.evaluation.intervals import find_intervals
from dealias.labels import Pair, read_label_map
from dealias.metrics.functional import OBJECT_RECALL, count_hard_pixels, pack_margins, scores
from dealias.timing import time_in_turns

IMAGES, ROUNDS = 12, 3
ONE_WIDTH, FIVE_WIDTHS = "15", "3,7,15,31,63"


def read(pair: Pair) -> list[torch.Tensor]:
    """Read the label maps of a pair."""
    maps = (
        read_label_map(pair.prediction, CLASS_SET, "prediction"),
        read_label_map(pair.target, CLASS_SET, "target"),
    )
    return [torch.from_numpy(labels) for labels in maps]


def count_alone(pairs: list[Pair]) -> None:
    """The table of counts, and the six figures."""
    tables = (count_hard_pixels(*read(pair), num_classes=len(CLASS_SET)) for pair in pairs)
    total = next(tables)
    for table in tables:
        total = total + table
    scores(total)


def evaluate(pairs: list[Pair], options: Options) -> None:
    """The whole evaluation, with its result."""
    find_intervals.cache_clear()  # they are the same in each turn
    evaluate_pairs(pairs, options, workers=0).to_dict()


def measure_parts(pairs: list[Pair]) -> dict[str, float]:
    """CPU time of each part over that of a smaller one, timed in turns."""
    options = Options(CLASS_SET)
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: [read(pair) for pair in pairs],
        "counts": partial(count_alone, pairs),
        "figures": partial(evaluate, pairs, options),
        "one": partial(evaluate, pairs, replace(options, band_widths=ONE_WIDTH)),
        "five": partial(evaluate, pairs, replace(options, band_widths=FIVE_WIDTHS)),
        "objects": partial(evaluate, pairs, replace(options, object_recall=OBJECT_RECALL)),
    }
    seconds = time_in_turns(calls, ROUNDS, clock=time.process_time)
    return {
        "figures_over_counts_alone": round(seconds["figures"] / seconds["counts"], 2),
        "five_widths_over_one": round(seconds["five"] / seconds["one"], 2),
        "objects_over_none": round(seconds["objects"] / seconds["figures"], 2),
        "share_of_png_decoding": round(seconds["read"] / seconds["figures"], 3),
    }


def draw_units(images: int, classes: int, seed: int) -> list[Unit]:
    """Margins of images that have all classes."""
    rng = np.random.default_rng(seed)
    units = []
    for _ in range(images):
        target = rng.integers(100, 100_000, (4, classes))
        correct = (target * rng.uniform(0.5, 1, target.shape)).astype(np.int64)
        preds = correct + rng.integers(0, 20_000, target.shape)
        units.append(Unit(pack_margins(torch.from_numpy(np.stack([correct, target, preds])))))
    return units


def measure_bootstrap(images: int, classes: int) -> dict[str, Any]:
    """CPU seconds of the paired bootstrap, the slower of both."""
    first, second = (draw_units(images, classes, seed) for seed in range(2))
    start = time.process_time()
    find_differences(first, second, classes)
    seconds = time.process_time() - start
    return {"images": images, "classes": classes, "seconds": round(seconds, 2)}


def main() -> None:
    """Measure parts and bootstrap."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        parts = measure_parts(write_pairs(Path(folder), IMAGES))
    bootstrap = [measure_bootstrap(500, 19), measure_bootstrap(5000, 150)]
    record("figures", {"size": [1024, 2048], "images": IMAGES, **parts, "bootstrap": bootstrap})
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
