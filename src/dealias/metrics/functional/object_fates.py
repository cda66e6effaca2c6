"""The fate of each object: found or vanished, merged or split; and false predicted objects."""

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
    """The shares that decide the fate of an object.

    Attributes:
        vanished_below: an object has vanished if less than this share is predicted as its class.
        found_from: an object is found if at least this share is predicted as its class.
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
    """The bits of :func:`mark_objects`, for objects of the target and for predicted objects."""

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

    These terms are defined at :func:`dealias.metrics.functional.count_objects`.

    Args:
        preds: predicted classes, integers `[H, W]`, each 0 .. C - 1.
        target: target classes, of the same shape and device, each 0 .. C - 1 or `ignore_index`.
        num_classes: number of classes C.
        ignore_index: void label of `target`.
        recall: the shares from which an object is found, and below which it has vanished.

    Returns:
        uint8 `[H, W]` on the device of `preds`: for each pixel the sum of its bits of
        :class:`ObjectMark`. The first three bits describe the target object that the pixel belongs
        to, and ``FALSE`` describes its predicted object. The sum is 0 where no bit applies and
        where the target is void. Neighbours with the same label and mark belong to one object.

    Raises:
        LabelRangeError: a label that is neither a class nor void.
        ValueError: the arguments are not tensors, their shapes or devices differ, a rank or dtype
            is wrong, or an option is invalid.

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
    """Return the value of the component of each run; 0 for runs that are left out."""
    return np.append(values, 0).astype(np.uint8)[parts.of_run]  # left-out runs have index -1


class Overlaps(NamedTuple):
    """Pairs of an object and a predicted object of its class that share pixels."""

    target: Indices
    preds: Indices
    pixels: NDArray[np.int64]


class JudgedObjects(NamedTuple):
    """The objects of an image and their fates.

    Attributes:
        runs: the runs of both maps.
        objects: the K objects of the target.
        predicted: the P predicted objects.
        overlaps: pairs of an object and a predicted object.
        hits: int64 `[K]`, pixels of objects that are predicted as their class.
        right: int64 `[P]`, pixels of predicted objects that have their class in the target.
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
    """Find the objects of label maps `[H, W]`, which have at least one pixel, and their fates.

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
    """Return the pairs of objects that share pixels, sorted by object and predicted object."""
    both = (runs.target == runs.preds) & (objects.of_run >= 0)
    key = objects.of_run[both] * len(predicted.pixels) + predicted.of_run[both]
    pairs, place = np.unique(key, return_inverse=True)
    pixels = sum_by(place, runs.pixels[both], len(pairs))
    return Overlaps(*np.divmod(pairs, max(1, len(predicted.pixels))), pixels)


def _merged(overlaps: Overlaps, covered: NDArray[np.bool_], objects: int) -> NDArray[np.bool_]:
    """Find the objects that a predicted object covers together with others."""
    target, preds = overlaps.target[covered], overlaps.preds[covered]
    fused = np.bincount(preds) > 1
    merged = np.zeros(objects, np.bool_)
    merged[target[fused[preds]]] = True
    return merged
