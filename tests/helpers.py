"""Label maps and slow oracles that several tests share."""

import cv2
import numpy as np
import torch

VOID = 255


def random_maps(seed: int, height: int, width: int, classes: int, blocks: bool = True):
    """A prediction and a target of uint8, in patches as real ones or as noise, some void."""
    rng = np.random.default_rng(seed)
    side = 5 if blocks else 1
    shape = (-(-height // side), -(-width // side))
    maps = []
    for _ in range(2):
        coarse = rng.integers(0, classes, shape).astype(np.uint8)
        maps.append(coarse.repeat(side, 0).repeat(side, 1)[:height, :width].copy())
    preds, target = maps
    agree = rng.random((height, width)) < 0.7
    preds[agree] = target[agree]
    target[rng.random((height, width)) < 0.03] = VOID
    return torch.from_numpy(preds), torch.from_numpy(target)


def paper_edges(labels: torch.Tensor) -> np.ndarray:
    laplacian = cv2.Laplacian(labels.numpy().astype(np.uint8), cv2.CV_64F)
    return laplacian != 0


def exact_edges(labels: torch.Tensor, void: int | None = None) -> np.ndarray:
    values = labels.numpy().astype(int)
    edges = np.zeros(values.shape, bool)
    for row, column in np.ndindex(*values.shape):
        for other in ((row, column + 1), (row + 1, column)):
            if other[0] < values.shape[0] and other[1] < values.shape[1]:
                pair = values[row, column], values[other]
                if pair[0] != pair[1] and void not in pair:
                    edges[row, column] = edges[other] = True
    return edges


def band(edges: np.ndarray, width: int) -> np.ndarray:
    return cv2.dilate(edges.astype(np.uint8), np.ones((width, width), np.uint8)) > 0


def slow_counts(preds, target, classes, width=15, protocol="paper", void=VOID):
    """The table of counts pixel by pixel, and the four edge counts."""
    if protocol == "paper":
        p_edges, t_edges = paper_edges(preds), paper_edges(target)
    else:
        p_edges, t_edges = exact_edges(preds), exact_edges(target, void)
    p_band, t_band = band(p_edges, width), band(t_edges, width)
    table = np.zeros((4, classes, classes), int)
    for at in np.ndindex(*preds.shape):
        if target[at] != void:
            table[int(p_band[at]) + 2 * int(t_band[at]), target[at], preds[at]] += 1
    edges = [
        (p_edges & ~t_band).sum(),
        p_edges.sum() + p_band.sum(),
        (t_edges & ~p_band).sum(),
        t_edges.sum() + t_band.sum(),
    ]
    return table.tolist(), [int(count) for count in edges]
