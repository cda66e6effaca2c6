"""What became of each object: found or vanished, merged or split; and false predicted objects."""

from enum import IntFlag
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.metrics.functional.components import (
    Components,
    Indices,
    Labels,
    Runs,
    components,
    find_runs,
    sum_by,
)
from dealias.metrics.functional.counts import check_labels, check_options, check_pair


class ObjectRecall(NamedTuple):
    """The shares that decide what became of an object.

    Attributes:
        vanished_below: an object of which less than this is predicted as its class has vanished.
        found_from: an object of which at least this is predicted as its class is found.
    """

    vanished_below: float = 0.1
    found_from: float = 0.5


OBJECT_RECALL = ObjectRecall()


def check_object_recall(recall: ObjectRecall) -> None:
    """Raise ValueError unless ``0 < vanished_below <= found_from <= 1``."""
    if not (
        all(type(share) in (int, float) for share in recall)
        and 0 < recall.vanished_below <= recall.found_from <= 1
    ):
        raise ValueError(
            f"object_recall: expected two shares with 0 < vanished_below <= found_from <= 1, "
            f"got vanished_below {recall[0]!r} and found_from {recall[1]!r}"
        )


class ObjectMark(IntFlag):
    """The bits of :func:`mark_objects`: of objects of the target, and of predicted objects."""

    VANISHED = 1
    MERGED = 2
    SPLIT = 4
    FALSE = 8


def mark_objects(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    recall: ObjectRecall = OBJECT_RECALL,
) -> Tensor:
    """Mark the pixels of objects that vanished, were merged or split, and of false objects.

    What these are is said at :func:`dealias.metrics.functional.count_objects`.

    Args:
        preds: predicted classes, integers `[H, W]`, each 0 .. C - 1.
        target: target classes, of the same shape and device, each 0 .. C - 1 or `ignore_index`.
        num_classes: number of classes C.
        ignore_index: void label of `target`.
        recall: when an object is found, and when it has vanished.

    Returns:
        uint8 `[H, W]` on the device of `preds`: for each pixel the sum of its bits of
        :class:`ObjectMark`. The first three are of the object of the target that it belongs to,
        ``FALSE`` is of its predicted object; 0 where none applies and where the target is void.
        Neighbours of the same label and mark are of one object.

    Raises:
        LabelRangeError: a label that is neither a class nor void.
        ValueError: not tensors, shapes or devices that differ, a wrong rank or dtype, or an
            invalid option.

    >>> target = torch.tensor([[1, 1, 0, 1, 0, 1, 0]])
    >>> preds = torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    >>> mark_objects(preds, target, num_classes=2).tolist()  # two are 1, vanished, others merged
    [[2, 2, 1, 2, 2, 1, 2]]
    """
    check_options(num_classes, ignore_index)
    check_object_recall(recall)
    check_pair(preds, target)
    if preds.ndim != 2:
        raise ValueError(f"preds: expected [H, W], got {list(preds.shape)}")
    if not preds.numel():
        return torch.zeros_like(preds, dtype=torch.uint8)
    pred, true = (labels.detach().cpu().numpy() for labels in (preds, target))
    judged = judge_objects(pred, true, num_classes, ignore_index, recall)
    of_target = judged.vanished * ObjectMark.VANISHED
    of_target += judged.merged * ObjectMark.MERGED + judged.split * ObjectMark.SPLIT
    of_runs = _spread(of_target, judged.objects)
    of_runs += _spread(judged.false * ObjectMark.FALSE, judged.predicted)
    marks = np.repeat(of_runs, judged.runs.pixels).reshape(preds.shape)
    return torch.from_numpy(marks).to(preds.device)


def _spread(values: NDArray[np.integer], parts: Components) -> NDArray[np.uint8]:
    """The value of the component of each run; 0 for runs that are left out."""
    return np.append(values, 0).astype(np.uint8)[parts.of_run]  # those are -1, the last


class Overlaps(NamedTuple):
    """Pairs of an object and a predicted object of its class that share pixels."""

    target: Indices
    preds: Indices
    pixels: NDArray[np.int64]


class JudgedObjects(NamedTuple):
    """The objects of an image and what became of them.

    Attributes:
        runs: the runs of both maps.
        objects: objects of the target, K of them.
        predicted: predicted objects, P of them.
        overlaps: pairs of both.
        hits: int64 `[K]`, pixels that are predicted as their class.
        right: int64 `[P]`, pixels of predicted objects that are of their class in the target.
        found: bool `[K]`, see :func:`dealias.metrics.functional.count_objects`.
        vanished: bool `[K]`, likewise.
        merged: bool `[K]`, likewise.
        split: bool `[K]`, likewise.
        false: bool `[P]`, likewise.
    """

    runs: Runs
    objects: Components
    predicted: Components
    overlaps: Overlaps
    hits: NDArray[np.int64]
    right: NDArray[np.int64]
    found: NDArray[np.bool_]
    vanished: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    split: NDArray[np.bool_]
    false: NDArray[np.bool_]


def judge_objects(
    preds: Labels, target: Labels, num_classes: int, ignore_index: int, recall: ObjectRecall
) -> JudgedObjects:
    """Find the objects of label maps `[H, W]`, with at least one pixel, and what became of them.

    Raises:
        LabelRangeError: a label that is neither a class nor void.
    """
    runs = find_runs(preds, target)
    found_preds, found_target, pixels = map(
        torch.from_numpy, (runs.preds, runs.target, runs.pixels)
    )
    check_labels(found_preds, found_target, num_classes, ignore_index, pixels)
    known = runs.target != ignore_index
    objects = components(runs, runs.target, known)
    predicted = components(runs, runs.preds, known, across=True)
    overlaps = _overlaps(runs, objects, predicted)
    cut = overlaps
    if not known.all():
        cut = _overlaps(runs, objects, components(runs, runs.preds, known))
    number = len(objects.pixels)
    hits = sum_by(overlaps.target, overlaps.pixels, number)
    right = sum_by(overlaps.preds, overlaps.pixels, len(predicted.pixels))
    held = overlaps.pixels / objects.pixels[overlaps.target]
    parts = sum_by(overlaps.target, held >= recall.vanished_below, number)
    return JudgedObjects(
        runs,
        objects,
        predicted,
        overlaps,
        hits,
        right,
        found=hits / objects.pixels >= recall.found_from,
        vanished=hits / objects.pixels < recall.vanished_below,
        merged=_merged(cut, cut.pixels / objects.pixels[cut.target] >= recall.found_from, number),
        split=parts > 1,
        false=right / predicted.pixels < recall.vanished_below,
    )


def _overlaps(runs: Runs, objects: Components, predicted: Components) -> Overlaps:
    """The pairs of objects that share pixels, sorted by object and predicted object."""
    both = (runs.target == runs.preds) & (objects.of_run >= 0)
    key = objects.of_run[both] * len(predicted.pixels) + predicted.of_run[both]
    pairs, place = np.unique(key, return_inverse=True)
    pixels = sum_by(place, runs.pixels[both], len(pairs))
    return Overlaps(*np.divmod(pairs, max(1, len(predicted.pixels))), pixels)


def _merged(overlaps: Overlaps, covered: NDArray[np.bool_], objects: int) -> NDArray[np.bool_]:
    """The objects that a predicted object covers together with others."""
    target, preds = overlaps.target[covered], overlaps.preds[covered]
    fused = np.bincount(preds) > 1
    merged = np.zeros(objects, np.bool_)
    merged[target[fused[preds]]] = True
    return merged
