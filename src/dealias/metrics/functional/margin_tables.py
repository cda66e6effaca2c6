"""Margins of many images, which are small and sufficient for resampling."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.metrics.functional.hard_pixel_scores import MEANS, class_iou, class_scores

MARGIN_CELLS = 12  # margins by region: correct, target and predicted pixels of four regions
LOWER_IS_BETTER = ("FErr", "MErr", "DErr")
FIGURES = ("IoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")  # the order of the paper
MEAN_FIGURES = tuple(MEANS.get(name, name) for name in FIGURES)
ARROWS = {name: "↓" if name in LOWER_IS_BETTER else "↑" for name in FIGURES}
_WORST = 10  # percent


@dataclass(frozen=True)
class MarginTable:
    """The :func:`margins` of units, which are images or groups of images, class by class.

    A unit has a row for each class that occurs in its target or prediction.

    Attributes:
        unit: int64 `[M]`, the unit of each row, 0 .. units - 1.
        label: int64 `[M]`, the class of each row.
        counts: int64 `[M, 12]`, the margins of each row.
        units: number of units; a unit that is all void has no row.
        num_classes: number of classes C.
    """

    unit: NDArray[np.int64]
    label: NDArray[np.int64]
    counts: NDArray[np.int64]
    units: int
    num_classes: int

    @classmethod
    def of(cls, images: Sequence[bytes], num_classes: int) -> MarginTable:
        """Return the table of images, each packed by :func:`pack_margins`."""
        rows = np.frombuffer(b"".join(images), np.int64).reshape(-1, 1 + MARGIN_CELLS)
        sizes = [len(image) // (8 * (1 + MARGIN_CELLS)) for image in images]
        unit = np.repeat(np.arange(len(images)), sizes)
        return cls(unit, rows[:, 0], rows[:, 1:], len(images), num_classes)

    def grouped(self, groups: Sequence[str]) -> MarginTable:
        """Return the table of groups, sorted by name, given the group of each unit."""
        names, group = np.unique(np.array(groups, dtype=object), return_inverse=True)
        key = group[self.unit] * self.num_classes + self.label
        present, row = np.unique(key, return_inverse=True)
        counts = np.zeros((len(present), MARGIN_CELLS), np.int64)
        np.add.at(counts, row, self.counts)
        unit, label = np.divmod(present, self.num_classes)
        return MarginTable(unit, label, counts, len(names), self.num_classes)

    def total(self) -> Tensor:
        """Return the sum of the margins of all units, int64 `[3, 4, C]`."""
        found = np.zeros((self.num_classes, MARGIN_CELLS), np.int64)
        np.add.at(found, self.label, self.counts)
        return torch.from_numpy(found.T.reshape(3, 4, -1).copy())

    def resampled(self, weights: NDArray[np.float64]) -> Tensor:
        """Return the margins of resamples, `[R, 3, 4, C]`.

        Args:
            weights: float64 `[units, R]`, how often each unit is in each resample. Sums below 2**53
                are exact, so they don't depend on the order of summation.
        """
        order = np.lexsort((self.unit, self.label))
        ends = np.searchsorted(self.label[order], np.arange(self.num_classes + 1))
        found = np.zeros((self.num_classes, MARGIN_CELLS, weights.shape[1]))
        for label, (start, end) in enumerate(itertools.pairwise(ends)):
            rows = order[start:end]
            whole = len(rows) == self.units  # rows match the weights, which need no copy
            drawn = weights if whole else weights[self.unit[rows]]
            found[label] = self.counts[rows].T.astype(np.float64) @ drawn
        return torch.from_numpy(found).permute(2, 1, 0).reshape(-1, 3, 4, self.num_classes)

    def scores(self) -> NDArray[np.float64]:
        """Return the figures of each row, float64 `[M, 6]` in the order of `FIGURES`, or NaN."""
        rows = torch.from_numpy(self.counts.copy()).view(-1, 3, 4, 1)
        found = class_scores(rows)
        return torch.cat([found[name] for name in FIGURES], -1).numpy()

    def unit_figures(self) -> NDArray[np.float64]:
        """Return the figures of each single unit, float64 `[units, 6]`: means over its classes."""
        values = self.scores()
        known = ~np.isnan(values)
        sums, numbers = np.zeros((2, self.units, len(FIGURES)))
        np.add.at(sums, self.unit, np.where(known, values, 0))
        np.add.at(numbers, self.unit, known)
        with np.errstate(invalid="ignore"):
            return np.asarray(sums / numbers)

    def support(self) -> Tensor:
        """Count the units that have each figure, int64 `[6, C + 1]`: by class, mean last."""
        known = ~np.isnan(self.scores())
        found = np.zeros((self.num_classes, len(FIGURES)), np.int64)
        np.add.at(found, self.label, known)
        of_mean = (~np.isnan(self.unit_figures())).sum(0)
        return torch.from_numpy(np.concatenate([found, of_mean[None]]).T.copy())


def pack_margins(totals: Tensor) -> bytes:
    """Pack the margins of an image, int64 `[3, 4, C]`, for :class:`MarginTable`.

    Returns:
        int64 `[K, 13]` as bytes: a row for each class that occurs, starting with the class.

    >>> totals = torch.zeros(3, 4, 150, dtype=torch.int64)
    >>> totals[:, 0, 7] = 100
    >>> len(pack_margins(totals))
    104
    """
    cells = totals.reshape(MARGIN_CELLS, -1).T.cpu().numpy()
    present = np.flatnonzero(cells.any(1))
    return np.column_stack([present, cells[present]]).astype(np.int64).tobytes()


def figures(totals: Tensor) -> Tensor:
    """Compute the six figures from margins `[..., 3, 4, C]`, float64 `[..., 6, C + 1]`.

    They are in the order of `FIGURES`, by class and with the mean over the classes that have the
    figure last, as defined by :func:`scores`; NaN where undefined.
    """
    found = class_scores(totals)
    classes = torch.stack([found[name] for name in FIGURES], -2)
    return torch.cat([classes, classes.nanmean(-1, keepdim=True)], -1)


def count_better(first: MarginTable, second: MarginTable) -> tuple[Tensor, Tensor]:
    """Count the units whose figure is better, and those whose figure is worse, in the second table.

    Args:
        first: margins of units.
        second: margins of the same units under another prediction.

    Returns:
        int64 `[6, C + 1]` each, as for :func:`figures`, with the mean over the classes of a unit
        last. A unit whose figure is undefined in either table is not counted.
    """
    one, two = (table.unit * table.num_classes + table.label for table in (first, second))
    _, mine, theirs = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    upwards = np.array([-1 if name in LOWER_IS_BETTER else 1 for name in FIGURES])
    by_class = (second.scores()[theirs] - first.scores()[mine]) * upwards
    of_mean = (second.unit_figures() - first.unit_figures()) * upwards
    counted = []
    for is_such in (np.greater, np.less):
        found = np.zeros((first.num_classes + 1, len(FIGURES)), np.int64)
        np.add.at(found, first.label[mine], is_such(by_class, 0))
        found[-1] = is_such(of_mean, 0).sum(0)
        counted.append(torch.from_numpy(found.T.copy()))
    return counted[0], counted[1]


def fine_grained_miou(table: MarginTable) -> dict[str, float]:
    """Compute mIoU image by image, over all images and over the worst tenth.

    Args:
        table: margins of images.

    Returns:
        Fractions in [0, 1], NaN without any class. ``mIoU_I``: the mean over images of the mean IoU
        of the classes in an image. ``mIoU_C``: the mean over classes of the mean IoU over the
        images that have the class. ``mIoU_I_worst_tenth`` and ``mIoU_C_worst_tenth``: the same over
        the tenth of the images with the lowest value, for ``mIoU_C`` separately for each class; the
        tenth is rounded down, to at least one image. An image has a class if its target does.

    Source: Wang et al., "Revisiting Evaluation Metrics for Semantic Segmentation: Optimization and
    Evaluation of Fine-grained Intersection over Union", NeurIPS 2023.
    """
    rows = torch.from_numpy(table.counts.copy()).view(-1, 3, 4, 1).sum(2)
    values = class_iou(rows)[:, 0].numpy()
    present = rows[:, 1, 0].numpy() > 0
    values, unit, label = values[present], table.unit[present], table.label[present]
    numbers = np.bincount(unit, minlength=table.units)
    with np.errstate(invalid="ignore"):
        means = np.bincount(unit, values, table.units) / numbers
    by_class = [values[label == k] for k in np.unique(label)]
    found = {}
    for suffix, worst in (("", False), ("_worst_tenth", True)):
        found[f"mIoU_I{suffix}"] = _lowest(means[numbers > 0], worst)
        of_classes = [_lowest(of_class, worst) for of_class in by_class]
        found[f"mIoU_C{suffix}"] = float(np.mean(of_classes)) if of_classes else float("nan")
    return found


def _lowest(values: NDArray[np.float64], worst: bool) -> float:
    """Return the mean of values, or of the lowest tenth of them; NaN if there are none."""
    if not len(values):
        return float("nan")
    taken = max(1, len(values) * _WORST // 100) if worst else len(values)
    return float(np.sort(values)[:taken].mean())
