"""The table of counts against a literal form of the published evaluation, on one thread.

The literal form passes over the image five times, for mIoU and for the regions of BIoU, FErr, MErr
and DErr, each time with Laplacians (OpenCV), dilations, masks and three calls of torch.histc. Its
predictions are int64, like those of argmax. It does not compute the edge rates, which the table
includes.
"""

from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._record import record
from dealias.metrics.functional import count_hard_pixels, label_edges, scores
from dealias.timing import time_in_turns

CLASSES, VOID = 19, 255
HEIGHT, WIDTH = 1024, 2048

Labels = NDArray[np.integer[Any]]


def draw_pair(shapes: int, seed: int = 0) -> tuple[Labels, Labels]:
    """Draw a target of discs and poles with a strip of void, and shift it for a prediction."""
    rng = np.random.default_rng(seed)
    target = np.zeros((HEIGHT, WIDTH), np.uint8)
    target[HEIGHT // 2 :] = 1
    for _ in range(shapes):
        centre = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        cv2.circle(target, centre, int(rng.integers(4, 150)), int(rng.integers(CLASSES)), -1)
    for _ in range(shapes // 3):
        left, thickness = int(rng.integers(WIDTH)), int(rng.integers(2, 6))
        target[rng.integers(HEIGHT // 2) :, left : left + thickness] = rng.integers(CLASSES)
    preds = np.roll(target, (2, 3), (0, 1))
    target[:20] = VOID
    return preds.astype(np.int64), target


def literal_band(labels: Labels) -> NDArray[np.bool_]:
    """Edges by Laplacian, dilated by a square of 15 pixels."""
    edges = cv2.Laplacian(labels.astype(np.uint8), cv2.CV_64F) != 0
    return cv2.dilate(edges.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0


def literal_areas(preds: Labels, target: Labels) -> list[torch.Tensor]:
    """Intersection, prediction and target area of each class: whole image, then each region."""
    result = [histograms(preds, target)]
    for metric in ("BIoU", "FErr", "MErr", "DErr"):
        in_preds, in_target = literal_band(preds), literal_band(target)
        inside = {
            "BIoU": in_preds | in_target,
            "FErr": in_preds,
            "MErr": in_target,
            "DErr": in_preds & in_target,
        }[metric]
        masked = target.copy()
        masked[~inside] = VOID
        result.append(histograms(preds, masked))
    return result


def histograms(preds: Labels, target: Labels) -> torch.Tensor:
    """[3, C]: correct, predicted and target pixels per class, without void."""
    p, t = torch.from_numpy(preds), torch.from_numpy(target)
    known = t != VOID
    p, t = p[known], t[known]
    parts = (p[p == t], p, t)
    return torch.stack([torch.histc(part.float(), CLASSES, 0, CLASSES - 1) for part in parts])


def main() -> None:
    """Time both on sparse to crowded maps, and check that they agree."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    for shapes in (10, 20, 40, 120):
        preds, target = draw_pair(shapes)
        maps = torch.from_numpy(preds.astype(np.uint8)), torch.from_numpy(target)
        result = scores(count_hard_pixels(*maps, num_classes=CLASSES))
        right, predicted, wanted = literal_areas(preds, target)[0]
        literal_miou = (right / (predicted + wanted - right)).nanmean()
        torch.testing.assert_close(result["mIoU"].float(), literal_miou)

        count = partial(count_hard_pixels, *maps, num_classes=CLASSES)
        seconds = time_in_turns(
            {
                "literal": partial(literal_areas, preds, target),
                "paper": partial(count, protocol="paper"),
                "exact": partial(count, protocol="exact"),
            },
            repeats=4,
        )
        rows.append(
            {
                "shapes": shapes,
                "edge_pixels": round(label_edges(maps[1]).float().mean().item(), 4),
                "literal_over_paper": round(seconds["literal"] / seconds["paper"], 1),
                "literal_over_exact": round(seconds["literal"] / seconds["exact"], 1),
            }
        )
    record("counts", {"size": [HEIGHT, WIDTH], "classes": CLASSES, "rows": rows})
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
