"""Objects: connected components of the target, found or vanished, merged or split."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.metrics.functional.components import Indices
from dealias.metrics.functional.counts import check_options, check_pair
from dealias.metrics.functional.hard_pixel_scores import ratio
from dealias.metrics.functional.object_fates import (
    OBJECT_RECALL,
    ObjectRecall,
    Overlaps,
    check_object_recall,
    judge_objects,
)


class ObjectSize(NamedTuple):
    """A range of areas.

    Attributes:
        name: name of the size.
        one_in: objects of this size are smaller than the image's area divided by this number; None
            for the largest size.
    """

    name: str
    one_in: int | None


OBJECT_SIZES = (
    ObjectSize("tiny", 10_000),
    ObjectSize("small", 1_000),
    ObjectSize("medium", 100),
    ObjectSize("large", None),
)


class ObjectColumn(IntEnum):
    """The last dimension of the counts of :func:`count_objects`."""

    OBJECTS = 0
    FOUND = 1
    VANISHED = 2
    MERGED = 3
    SPLIT = 4
    PREDICTED = 5
    FALSE = 6
    PIXELS = 7
    HIT_PIXELS = 8
    FALSE_PIXELS = 9


OBJECT_COUNTS = (len(OBJECT_SIZES), len(ObjectColumn))  # the last dimensions of the counts


def count_objects(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    recall: ObjectRecall = OBJECT_RECALL,
) -> Tensor:
    """Count the objects of label maps by their fates.

    An object is a connected component of a class in the target; pixels that touch at a corner are
    connected. A predicted object is the same in the prediction. Pixels with a void target count for
    neither, and do not cause errors: a predicted object continues across void, so its part beyond
    the void makes no object split and is not false by itself, but it merges only objects that it
    connects without void.

    Args:
        preds: predicted classes, integers `[H, W]` or `[B, H, W]`, each 0 .. C - 1.
        target: target classes, of the same shape and device, each 0 .. C - 1 or `ignore_index`.
        num_classes: number of classes C.
        ignore_index: void label of `target`.
        recall: the shares from which an object is found, and below which it has vanished.

    Returns:
        int64 `[C, 4, 10]` on the device of `preds`, summed over the batch and to be summed over
            images: by class, size (:data:`OBJECT_SIZES`) and :class:`ObjectColumn`.

            - ``OBJECTS``: all objects. ``FOUND``: at least `recall.found_from` of the object's
              pixels are predicted as its class. ``VANISHED``: less than `recall.vanished_below` of
              them are. Other objects are partly found.
            - ``MERGED``: one predicted object, cut where the target is void, holds
              `recall.found_from` or more of the object, and as much of another object too.
            - ``SPLIT``: two or more predicted objects each hold `recall.vanished_below` or more of
              the object.
            - ``PREDICTED``: predicted objects, by their own size. ``FALSE``: less than
              `recall.vanished_below` of the predicted object's pixels have its class in the target,
              so there is nothing or next to nothing there.
            - ``PIXELS``: pixels of objects. ``HIT_PIXELS``: those of them that are predicted as
              their class. ``FALSE_PIXELS``: wrong pixels of predicted objects, by the size of the
              object that the predicted object holds most of, or by its own size if it holds none.
              Summed over sizes, these are the row sums of the confusion matrix, its diagonal, and
              the rest of its columns.

            An object may for example be both found and merged, or partly found and split.

    Raises:
        LabelRangeError: a label that is neither a class nor void.
        ValueError: the arguments are not tensors, their shapes or devices differ, a rank or dtype
            is wrong, or an option is invalid.

    The time is linear in the number of pixels, whatever the number of classes. Vanished and false
    objects correspond to the missed and noise regions of Hoover et al., "An experimental comparison
    of range image segmentation algorithms", PAMI 1996, and merged and split objects to under- and
    over-segmentation. That paper counts the pixels of both regions.

    >>> target = torch.tensor([[1, 1, 0, 1, 0, 1, 0]])
    >>> preds = torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    >>> counts = count_objects(preds, target, num_classes=2).sum(1)  # of all sizes
    >>> {column.name: int(counts[1, column]) for column in ObjectColumn if column < 5}
    {'OBJECTS': 3, 'FOUND': 2, 'VANISHED': 1, 'MERGED': 2, 'SPLIT': 0}
    """
    check_options(num_classes, ignore_index)
    check_object_recall(recall)
    check_pair(preds, target)
    counts = np.zeros((num_classes, *OBJECT_COUNTS), np.int64)
    if preds.numel():
        size = preds.shape[-2:]
        maps = [labels.detach().cpu().reshape(-1, *size).numpy() for labels in (preds, target)]
        for pred, true in zip(*maps, strict=True):
            _count_image(counts, pred, true, ignore_index, recall)
    return torch.from_numpy(counts).to(preds.device)


def object_scores(counts: Tensor) -> dict[str, Tensor]:
    """Compute the pixel IoU and recall of objects from the counts of :func:`count_objects`.

    Args:
        counts: int64 `[C, 4, 10]`.

    Returns:
        ``IoU_per_class`` and ``Acc_per_class``, `[C, 4]`, by class and size, are fractions in [0,
        1]. IoU is NaN where there is neither an object nor a false pixel, and Acc where there is no
        object. ``mIoU`` and ``mAcc``, `[4]`, are their means over the classes where they are
        defined. A false pixel counts against the size that ``FALSE_PIXELS`` assigns it to.
    """
    pixels = counts[..., ObjectColumn.PIXELS]
    hits = counts[..., ObjectColumn.HIT_PIXELS]
    per_class = {
        "IoU": ratio(hits, pixels + counts[..., ObjectColumn.FALSE_PIXELS]),
        "Acc": ratio(hits, pixels),
    }
    means = {f"m{name}": values.nanmean(0) for name, values in per_class.items()}
    return means | {f"{name}_per_class": values for name, values in per_class.items()}


_Columns = dict[ObjectColumn, Any]  # one value for each object, or one for all


def _count_image(
    counts: NDArray[np.int64],
    preds: NDArray[np.integer],
    target: NDArray[np.integer],
    ignore_index: int,
    recall: ObjectRecall,
) -> None:
    """Add the counts of one image to `counts`, `[C, 4, 10]`."""
    judged = judge_objects(preds, target, len(counts), ignore_index, recall)
    objects, predicted = judged.objects, judged.predicted
    size, predicted_size = (_sizes(part.pixels, target.size) for part in (objects, predicted))
    of_objects: _Columns = {
        ObjectColumn.OBJECTS: 1,
        ObjectColumn.FOUND: judged.found,
        ObjectColumn.VANISHED: judged.vanished,
        ObjectColumn.MERGED: judged.merged,
        ObjectColumn.SPLIT: judged.split,
        ObjectColumn.PIXELS: objects.pixels,
        ObjectColumn.HIT_PIXELS: judged.hits,
    }
    of_predicted: _Columns = {
        ObjectColumn.PREDICTED: 1,
        ObjectColumn.FALSE: judged.false,
    }
    wrong: _Columns = {ObjectColumn.FALSE_PIXELS: predicted.pixels - judged.right}
    for labels_of, sizes, columns in (
        (objects.label, size, of_objects),
        (predicted.label, predicted_size, of_predicted),
        (predicted.label, _blamed(judged.overlaps, size, predicted_size), wrong),
    ):
        for column, values in columns.items():
            np.add.at(counts[..., column], (labels_of, sizes), values)


def _sizes(pixels: NDArray[np.int64], area: int) -> Indices:
    """Return the index in `OBJECT_SIZES` of each object in an image of `area` pixels."""
    bounds = [size.one_in for size in OBJECT_SIZES if size.one_in is not None]
    index: Indices = np.sum([pixels * one_in >= area for one_in in bounds], axis=0, dtype=np.intp)
    return index


def _blamed(overlaps: Overlaps, object_size: Indices, predicted_size: Indices) -> Indices:
    """Return the size that the wrong pixels of each predicted object count against."""
    blamed: Indices = predicted_size.copy()
    # The last entry of a predicted object has the most pixels; of ties, it is the first object.
    order = np.lexsort((-overlaps.target, overlaps.pixels))
    blamed[overlaps.preds[order]] = object_size[overlaps.target[order]]
    return blamed
