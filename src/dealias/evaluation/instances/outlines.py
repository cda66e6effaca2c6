"""Draw instances as outlines."""

from __future__ import annotations

from collections.abc import Iterable
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

# Told apart by colour-blind people (Okabe and Ito, 2008).
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
    picture: NDArray[np.uint8], outlines: Iterable[tuple[Rle, Any]], *, width: int = 1
) -> NDArray[np.uint8]:
    """Draw instances on a picture.

    Args:
        picture: uint8 [H, W, 3]; not modified.
        outlines: masks of that size, each with a colour; later ones are drawn on top.
        width: width of the lines in pixels; they lie inside the masks.
    """
    drawn: NDArray[np.uint8] = picture.copy()
    for mask, color in outlines:
        inside, place = mask_in_box(mask)
        left = np.pad(inside, 1)  # what is outside the box, or the image, ends the mask
        for _ in range(width):
            left = _eroded(left)
        drawn[place][inside & ~left[1:-1, 1:-1]] = color
    return drawn


def target_outlines(image: AnnotatedImage, colors: NDArray[np.uint8]) -> list[tuple[Rle, Any]]:
    """Outlines of the instances of an image, in the colours of their classes."""
    return [(instance.mask, colors[instance.label - 1]) for instance in image.instances]


def detection_outlines(
    detections: Detections, colors: NDArray[np.uint8], threshold: float
) -> list[tuple[Rle, Any]]:
    """Outlines of detections with at least the threshold as score, the highest score on top."""
    order = detections.scores.argsort(stable=True).tolist()
    return [
        (detections.masks[i], colors[int(detections.labels[i]) - 1])
        for i in order
        if float(detections.scores[i]) >= threshold
    ]


def match_outlines(
    image: AnnotatedImage, detections: Detections, matches: Matches, threshold: float
) -> list[tuple[Rle, Any]]:
    """Outlines of detections and of missed instances, in the colours of their kinds.

    Args:
        image: the image with its instances.
        detections: the detections in it.
        matches: from :func:`match_instances`.
        threshold: lowest score of the detections that count.
    """
    scores = detections.scores.tolist()
    outlines: list[tuple[Rle, Any]] = [
        (detections.masks[i], INSTANCE_COLORS[kind])
        for i, kind in sorted(enumerate(matches.kinds), key=lambda entry: entry[1] != FOUND)
        if kind != IGNORED and scores[i] >= threshold
    ]
    for instance, finder in zip(image.instances, matches.finders.tolist(), strict=True):
        found = finder != NOBODY and scores[finder] >= threshold
        if not found and not instance.crowd:
            outlines.append((instance.mask, INSTANCE_COLORS[MISSED.key]))
    return outlines


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask without pixels at the border of the array or with a neighbour outside the mask."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = (
        mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    return inner
