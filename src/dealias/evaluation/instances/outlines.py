"""Draw instances as outlines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.metrics.instances import (
    FOUND,
    IGNORED,
    MISSED,
    NOBODY,
    AnnotatedImage,
    Detections,
    Matches,
    Rle,
    mask_in_box,
)

Color = tuple[int, int, int]
Box = Sequence[float]
Shape = Rle | Box  # run lengths, or (left, top, right, bottom) in pixels

# Distinguishable for colour-blind people (Okabe and Ito, 2008).
INSTANCE_COLORS: dict[str, Color] = {
    FOUND: (0, 158, 115),
    MISSED.key: (213, 94, 0),
    "localisation": (240, 228, 66),
    "classification": (86, 180, 233),
    "both": (0, 114, 178),
    "duplicate": (230, 159, 0),
    "background": (204, 121, 167),
}


def draw_outlines(
    picture: NDArray[np.uint8], outlines: Iterable[tuple[Shape, Any]], *, width: int = 1
) -> NDArray[np.uint8]:
    """Draw instances on a picture.

    Args:
        picture: uint8 [H, W, 3]; not modified.
        outlines: masks of that size, or boxes (left, top, right, bottom) in pixels, each with a
            colour; later ones are drawn on top.
        width: width of the lines in pixels; they are drawn inside the masks and boxes.
    """
    drawn: NDArray[np.uint8] = picture.copy()
    for shape, color in outlines:
        if isinstance(shape, Mapping):
            inside, place = mask_in_box(shape)
        else:
            inside, place = _box_in_image(shape, *picture.shape[:2])
        left = np.pad(inside, 1)  # the mask ends at the border of the box or the image
        for _ in range(width):
            left = _eroded(left)
        drawn[place][inside & ~left[1:-1, 1:-1]] = color
    return drawn


def shapes_of(
    image: AnnotatedImage, detections: Detections
) -> tuple[Sequence[Shape], Sequence[Shape]]:
    """Return the masks of the instances and of the detections, or the boxes without masks."""
    if detections.masks is not None:
        return image.masks, detections.masks
    return [instance.box for instance in image.instances], detections.boxes.tolist()


def target_outlines(image: AnnotatedImage, colors: NDArray[np.uint8]) -> list[tuple[Shape, Any]]:
    """Return the outlines of the instances of an image, in the colours of their classes."""
    labels = [instance.label for instance in image.instances]
    return [(mask, colors[label - 1]) for mask, label in zip(image.masks, labels, strict=True)]


def detection_outlines(
    detections: Detections, colors: NDArray[np.uint8], threshold: float
) -> list[tuple[Shape, Any]]:
    """Return the outlines of detections that reach the threshold, the highest score on top."""
    order = detections.scores.argsort(stable=True).tolist()
    shapes = detections.boxes.tolist() if detections.masks is None else detections.masks
    return [
        (shapes[i], colors[int(detections.labels[i]) - 1])
        for i in order
        if float(detections.scores[i]) >= threshold
    ]


def match_outlines(
    image: AnnotatedImage, detections: Detections, matches: Matches, threshold: float
) -> list[tuple[Shape, Any]]:
    """Return the outlines of detections and of missed instances, in the colours of their kinds.

    Args:
        image: the image with its instances.
        detections: the detections in it.
        matches: from :func:`match_instances`.
        threshold: lowest score of the detections that count.
    """
    scores = detections.scores.tolist()
    targets, shapes = shapes_of(image, detections)
    outlines: list[tuple[Shape, Any]] = [
        (shapes[i], INSTANCE_COLORS[kind])
        for i, kind in sorted(enumerate(matches.kinds), key=lambda entry: entry[1] != FOUND)
        if kind != IGNORED and scores[i] >= threshold
    ]
    finders = matches.finders.tolist()
    for instance, shape, finder in zip(image.instances, targets, finders, strict=True):
        found = finder != NOBODY and scores[finder] >= threshold
        if not found and not instance.crowd:
            outlines.append((shape, INSTANCE_COLORS[MISSED.key]))
    return outlines


def _box_in_image(
    box: Box, height: int, width: int
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return the whole pixels of a box that are in the image, and their rows and columns."""
    left, top, right, bottom = box
    rows, columns = _between(top, bottom, height), _between(left, right, width)
    return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool), (rows, columns)


def _between(start: float, stop: float, size: int) -> slice:
    """Return the slice of pixels between two positions, limited to the image."""
    first = min(max(math.floor(start), 0), size)
    return slice(first, min(max(math.ceil(stop), first), size))


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Erode a mask: drop pixels at the array border and those with a neighbour outside the mask."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = (
        mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    return inner
