"""The fates of objects, as values of a result."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.files import defined
from dealias.metrics.functional import (
    OBJECT_COUNTS,
    OBJECT_SIZES,
    ObjectColumn,
    ObjectRecall,
    object_scores,
)

OBJECT_FATES = ("found", "partly_found", "vanished", "merged", "split", "false")
# The columns of an image's row for each class.
IMAGE_COLUMNS = (
    ObjectColumn.OBJECTS,
    ObjectColumn.VANISHED,
    ObjectColumn.MERGED,
    ObjectColumn.SPLIT,
    ObjectColumn.FALSE,
)

ImageObjects = tuple[tuple[int, ...], ...]  # rows of one image


def no_objects(classes: int) -> Tensor:
    """Return the counts of no images, int64 [C, 4, 10]."""
    return torch.zeros(classes, *OBJECT_COUNTS, dtype=torch.int64)


def image_objects(counts: Tensor) -> ImageObjects:
    """List the objects of one image: for each class that has any, its number and `IMAGE_COLUMNS`.

    Args:
        counts: from :func:`dealias.metrics.functional.count_objects`, int64 [C, 4, 10].
    """
    of_classes = counts.sum(1)[:, list(IMAGE_COLUMNS)].tolist()
    return tuple((index, *row) for index, row in enumerate(of_classes) if any(row))


def image_objects_result(rows: ImageObjects, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the objects of one image by class, for JSON, from its row."""
    keys = [column.name.lower() for column in IMAGE_COLUMNS]
    return {names[index]: dict(zip(keys, counts, strict=True)) for index, *counts in rows}


def object_arrays(counts: Tensor, images: Sequence[ImageObjects]) -> dict[str, NDArray[np.int64]]:
    """Return the arrays that :func:`read_objects` reads from a file of counts."""
    rows = [row for image in images for row in image]
    return {
        "objects": counts.numpy(),
        "image_object_classes": np.array([len(image) for image in images], np.int64),
        "image_objects": np.array(rows, np.int64).reshape(-1, 1 + len(IMAGE_COLUMNS)),
    }


def read_objects(
    read: Callable[..., NDArray[np.int64]], images: int, confusion: Tensor
) -> tuple[Tensor, list[ImageObjects]]:
    """Read and check the arrays of :func:`object_arrays`.

    Args:
        read: is given the name and the shape of an array, and returns it; its numbers are not
            negative.
        images: number of images.
        confusion: the confusion matrix that the objects belong to, int64 [C, C].

    Raises:
        ValueError: the arrays contradict each other or the confusion matrix.
    """
    classes = len(confusion)
    counts = torch.from_numpy(read("objects", classes, *OBJECT_COUNTS))
    _check_totals(counts, confusion)
    lengths = read("image_object_classes", images)
    rows = read("image_objects", int(lengths.sum()), 1 + len(IMAGE_COLUMNS))
    index = rows[:, 0] + np.repeat(np.arange(images) * classes, lengths)
    if (rows[:, 0] >= classes).any() or (np.diff(index) <= 0).any():
        raise ValueError("image_objects: expected the classes of each image in order, got others")
    sums = np.zeros((classes, len(IMAGE_COLUMNS)), np.int64)
    np.add.at(sums, rows[:, 0], rows[:, 1:])
    if not np.array_equal(sums, counts.sum(1)[:, list(IMAGE_COLUMNS)].numpy()):
        raise ValueError("image_objects: expected as many objects as in all, got others")
    ends = [0, *np.cumsum(lengths).tolist()]
    listed = [tuple(row) for row in rows.tolist()]
    return counts, [tuple(listed[begin:end]) for begin, end in itertools.pairwise(ends)]


def _check_totals(counts: Tensor, confusion: Tensor) -> None:
    """Raise ValueError if the counts of objects contradict each other or the confusion matrix."""
    column = dict(zip(ObjectColumn, counts.unbind(-1), strict=True))
    right = confusion.diagonal()
    for name, expected in (
        (ObjectColumn.PIXELS, confusion.sum(1)),
        (ObjectColumn.HIT_PIXELS, right),
        (ObjectColumn.FALSE_PIXELS, confusion.sum(0) - right),
    ):
        if not torch.equal(column[name].sum(1), expected):
            raise ValueError(f"objects: expected the {name.name.lower()} of the table of counts")
    objects = column[ObjectColumn.OBJECTS]
    decided = column[ObjectColumn.FOUND] + column[ObjectColumn.VANISHED]
    for part, whole in (
        (decided, objects),
        (column[ObjectColumn.MERGED], objects),
        (column[ObjectColumn.SPLIT], objects),
        (column[ObjectColumn.FALSE], column[ObjectColumn.PREDICTED]),
    ):
        if (part > whole).any():
            raise ValueError("objects: expected no more of a kind than there are in all, got more")


def objects_result(counts: Tensor, recall: ObjectRecall, names: Sequence[str]) -> dict[str, Any]:
    """Return the fates of objects, by class and by size, for JSON.

    Args:
        counts: from :func:`dealias.metrics.functional.count_objects`, int64 [C, 4, 10].
        recall: from which share on an object is found, and below which it has vanished.
        names: names of the classes.

    Returns:
        The shares of `recall`, and ``total``, ``sizes`` and ``classes`` with the numbers of
        objects. Sizes also have mIoU and mAcc, and the sizes of a class IoU and Acc; these are None
        where undefined. Objects of a size are ``below`` this share of the area of the image.
    """
    scores = {name: values.tolist() for name, values in object_scores(counts).items()}
    sizes = [
        {"name": size.name, "below": None if size.one_in is None else 1 / size.one_in}
        for size in OBJECT_SIZES
    ]
    places = range(len(sizes))
    return {
        **recall._asdict(),
        "total": _numbers(counts.sum((0, 1))),
        "sizes": [
            sizes[size]
            | _numbers(counts[:, size].sum(0))
            | {name: defined(scores[name][size]) for name in ("mIoU", "mAcc")}
            for size in places
        ],
        "classes": [
            {"name": name}
            | _numbers(counts[index].sum(0))
            | {
                "sizes": [
                    {"name": sizes[size]["name"]}
                    | _numbers(counts[index, size])
                    | {
                        metric: defined(scores[f"{metric}_per_class"][index][size])
                        for metric in ("IoU", "Acc")
                    }
                    for size in places
                ]
            }
            for index, name in enumerate(names)
        ],
    }


def _numbers(row: Tensor) -> dict[str, int]:
    """Return the numbers of objects in a row of counts, int64 [10]."""
    counts = {column.name.lower(): int(row[column]) for column in ObjectColumn}
    partly = counts["objects"] - counts["found"] - counts["vanished"]
    return {
        name: partly if name == "partly_found" else counts[name]
        for name in ("objects", *OBJECT_FATES[:-1], "predicted", "false")
    }
