"""Which detections are right, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from dealias.metrics.instances.detections import Detections
from dealias.metrics.instances.records import AnnotatedImage


class InstanceError(NamedTuple):
    """A kind of error.

    Attributes:
        key: as results name it.
        title: for people.
        description: what it means, in a sentence.
    """

    key: str
    title: str
    description: str


MISSED = InstanceError("missed", "Missed", "An instance that no detection found.")
FALSE_DETECTIONS = (
    InstanceError(
        "localisation",
        "Badly outlined",
        "A detection of the right class that overlaps its instance, but less than half.",
    ),
    InstanceError(
        "classification", "Wrong class", "A detection that fits an instance of another class."
    ),
    InstanceError(
        "both",
        "Wrong class, badly outlined",
        "A detection that overlaps an instance of another class, but less than half.",
    ),
    InstanceError(
        "duplicate", "Found twice", "A detection of an instance that a surer one has found."
    ),
    InstanceError(
        "background", "Nothing there", "A detection that overlaps no instance, or hardly."
    ),
)
INSTANCE_ERRORS = (MISSED, *FALSE_DETECTIONS)
FOUND, IGNORED = "found", "ignored"
MOST_DETECTIONS = 100  # of a class in an image, as COCO has it

NOBODY = -1


@dataclass(frozen=True)
class Matches:
    """Detections and instances of one image, put together.

    Attributes:
        kinds: of each detection: "found", if it is right; "ignored", if it lies in a crowd, which
            counts as neither, or comes after the 100 surest of its class; or the key of one of
            `FALSE_DETECTIONS`.
        partners: int64 [N], for each detection the instance that it found, the crowd that it lies
            in, or the instance that its error is about; -1 for none.
        overlaps: float64 [N], IoU with the partner, in [0, 1]; 0 without one.
        finders: int64 [M], for each instance the detection that found it, or -1.
    """

    kinds: tuple[str, ...]
    partners: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    finders: NDArray[np.int64]


def match_instances(
    image: AnnotatedImage, detections: Detections, *, overlap: float = 0.5, touch: float = 0.1
) -> Matches:
    """Put detections and instances of an image together by the IoU of their masks.

    As COCO does, the surest detection comes first, and takes of the instances of its class that
    are still free the one that it overlaps most, if enough; the 100 surest of each class count. So
    whether a detection is right does not depend on less sure ones. The others are told apart as by
    Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020, in
    the order of `FALSE_DETECTIONS`, but with duplicates first: what overlaps an instance of its own
    class enough is never of a wrong class.

    Args:
        image: with the instances that are in it.
        detections: what was found in it.
        overlap: least IoU with the instance that a detection finds, in (0, 1].
        touch: least IoU with an instance that a detection is about at all, in [0, `overlap`].

    Raises:
        ValueError: a threshold out of range, or masks of another size than the image.
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"overlap: expected an IoU in (0, 1], got {overlap}")
    if not 0 <= touch <= overlap:
        raise ValueError(f"touch: expected an IoU in [0, {overlap}], got {touch}")
    detections.check_against(image)
    instances = image.instances
    crowd = np.array([instance.crowd for instance in instances], bool)
    labels = np.array([instance.label for instance in instances], np.int64)
    shared = _overlaps(image, detections)
    partners = np.full(len(detections), NOBODY)
    overlaps = np.zeros(len(detections))
    finders = np.full(len(instances), NOBODY)
    kinds = [""] * len(detections)
    own_labels = detections.labels.numpy()
    seen: Counter[int] = Counter()
    for index in detections.scores.argsort(descending=True, stable=True).tolist():
        label = int(own_labels[index])
        seen[label] += 1
        if seen[label] > MOST_DETECTIONS:
            kinds[index] = IGNORED
            continue
        own = labels == label
        row = shared[index]
        free = own & ~crowd & (finders == NOBODY)
        partner = _most(row, free, overlap)
        if partner != NOBODY:
            kinds[index] = FOUND
            finders[partner] = index
        elif (partner := _most(row, own & crowd, overlap)) != NOBODY:
            kinds[index] = IGNORED
        else:
            kinds[index], partner = _error(row, own & ~crowd, ~own & ~crowd, overlap, touch)
        partners[index] = partner
        overlaps[index] = row[partner] if partner != NOBODY else 0
    return Matches(tuple(kinds), partners, overlaps, finders)


def _error(
    row: NDArray[np.float64],
    own: NDArray[np.bool_],
    other: NDArray[np.bool_],
    overlap: float,
    touch: float,
) -> tuple[str, int]:
    """The kind of error of a detection with these overlaps, and the instance that it is about."""
    for key, among, least in (
        ("duplicate", own, overlap),
        ("localisation", own, touch),
        ("classification", other, overlap),
        ("both", other, touch),
    ):
        partner = _most(row, among, least)
        if partner != NOBODY:
            return key, partner
    return "background", NOBODY


def _most(row: NDArray[np.float64], among: NDArray[np.bool_], least: float) -> int:
    """Where the overlap is largest, the last of several; -1 if it is nowhere enough."""
    allowed = np.flatnonzero(among & (row >= min(least, 1 - 1e-10)) & (row > 0))
    if not allowed.size:
        return NOBODY
    best = row[allowed].max()
    return int(allowed[row[allowed] == best][-1])


def _overlaps(image: AnnotatedImage, detections: Detections) -> NDArray[np.float64]:
    """IoU [N, M]; with crowds the share of the detection that lies in them, as COCO has it."""
    targets: Sequence[object] = [instance.mask for instance in image.instances]
    if not targets or not len(detections):
        return np.zeros((len(detections), len(targets)))
    crowd = [int(instance.crowd) for instance in image.instances]
    found: NDArray[np.float64] = coco_mask.iou(list(detections.masks), targets, crowd)
    return found
