"""Match detections with instances: which are right, and why the others are not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from dealias.metrics.instances.records import AnnotatedImage, Detections, as_coco


class InstanceError(NamedTuple):
    """A kind of error.

    Attributes:
        key: its name in result files.
        title: its name for people.
        description: a sentence that explains it.
    """

    key: str
    title: str
    description: str


MISSED = InstanceError("missed", "Missed", "An instance that no detection found.")
FALSE_DETECTIONS = (
    InstanceError(
        "localisation",
        "Badly outlined",
        "A detection of the right class whose IoU with its instance is below one half.",
    ),
    InstanceError(
        "classification", "Wrong class", "A detection that fits an instance of another class."
    ),
    InstanceError(
        "both",
        "Wrong class, badly outlined",
        "A detection whose IoU with an instance of another class is below one half.",
    ),
    InstanceError("duplicate", "Found twice", "A detection of an instance that another has found."),
    InstanceError(
        "background", "Nothing there", "A detection that overlaps no instance, or only slightly."
    ),
)
INSTANCE_ERRORS = (MISSED, *FALSE_DETECTIONS)
# Other titles and descriptions for boxes, which have no outline.
BOX_ERRORS = tuple(
    kind._replace(title=kind.title.replace("outlined", "placed")) for kind in INSTANCE_ERRORS
)
FOUND, IGNORED = "found", "ignored"
NOBODY = -1

_MOST_DETECTIONS = 100  # per class and image, as in COCO
_OVERLAP = 0.5  # lowest IoU with its instance of a detection that is right
_TOUCH = 0.1  # lowest IoU with an instance of an error that refers to it


@dataclass(frozen=True)
class Matches:
    """The match between the N detections and the M instances of one image.

    Attributes:
        kinds: for each detection, "found" if it is right; "ignored" if it lies in a crowd or is not
            among the 100 most confident of its class, so that it counts as neither right nor wrong;
            or the key of one of `FALSE_DETECTIONS`.
        partners: int64 `[N]`, for each detection the instance that it found, the crowd that it lies
            in, or the instance that its error refers to; -1 for none.
        overlaps: float64 `[N]`, IoU with the partner, in [0, 1]; 0 without one.
        finders: int64 `[M]`, for each instance the detection that found it, or -1.
    """

    kinds: tuple[str, ...]
    partners: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    finders: NDArray[np.int64]


def match_instances(image: AnnotatedImage, detections: Detections) -> Matches:
    """Match the detections and the instances of an image.

    Detections and instances are compared by the IoU of their masks, or of their boxes if the
    detections have no masks. As in COCO, detections are processed in descending order of score, and
    only the 100 most confident of each class count. Each detection finds the instance of its class
    with the highest IoU that is still free, if that IoU is at least 0.5. So whether a detection is
    right does not depend on less confident ones. The other detections are classified as in Bolya et
    al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020, in the order
    of `FALSE_DETECTIONS`, but with duplicates first: a detection that overlaps an instance of its
    own class enough never counts as one of a wrong class. An error refers to an instance if their
    IoU is at least 0.1.

    Args:
        image: the image with its instances.
        detections: the detections in it.

    Raises:
        ValueError: masks do not have the size of the image, or the detections have masks but not
            the instances.
    """
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
        if seen[label] > _MOST_DETECTIONS:
            kinds[index] = IGNORED
            continue
        own = labels == label
        row = shared[index]
        free = own & ~crowd & (finders == NOBODY)
        partner = _most(row, free, _OVERLAP)
        if partner != NOBODY:
            kinds[index] = FOUND
            finders[partner] = index
        elif (partner := _most(row, own & crowd, _OVERLAP)) != NOBODY:
            kinds[index] = IGNORED
        else:
            kinds[index], partner = _error(row, own & ~crowd, ~own & ~crowd)
        partners[index] = partner
        overlaps[index] = row[partner] if partner != NOBODY else 0
    return Matches(tuple(kinds), partners, overlaps, finders)


def _error(
    row: NDArray[np.float64], own: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[str, int]:
    """Return the error of a detection with these overlaps, and the instance it refers to."""
    for key, among, least in (
        ("duplicate", own, _OVERLAP),
        ("localisation", own, _TOUCH),
        ("classification", other, _OVERLAP),
        ("both", other, _TOUCH),
    ):
        partner = _most(row, among, least)
        if partner != NOBODY:
            return key, partner
    return "background", NOBODY


def _most(row: NDArray[np.float64], among: NDArray[np.bool_], least: float) -> int:
    """Return the index of the largest overlap, the last of ties; -1 if none is large enough."""
    allowed = np.flatnonzero(among & (row >= least))
    if not allowed.size:
        return NOBODY
    best = row[allowed].max()
    return int(allowed[row[allowed] == best][-1])


def _overlaps(image: AnnotatedImage, detections: Detections) -> NDArray[np.float64]:
    """Return the IoU `[N, M]`; for crowds, as in COCO, the share of the detection inside."""
    instances = image.instances
    if not instances or not len(detections):
        return np.zeros((len(detections), len(instances)))
    targets: list[Any] = [as_coco(instance.box) for instance in instances]
    shapes: list[Any] = [as_coco(box) for box in detections.boxes.tolist()]
    if detections.masks is not None:
        targets, shapes = image.masks, list(detections.masks)
    crowd = [int(instance.crowd) for instance in instances]
    found: NDArray[np.float64] = coco_mask.iou(shapes, targets, crowd)
    return found
