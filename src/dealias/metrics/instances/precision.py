"""Average precision of boxes, masks and the boundaries of masks, as in COCO."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from dealias.metrics.instances.records import AnnotatedImage, Detections, as_coco

Overlap = Literal["box", "mask", "boundary"]
DetectionArea = Literal["mask", "box"]

OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl")

_IOU_TYPES: dict[Overlap, str] = {"box": "bbox", "mask": "segm", "boundary": "boundary"}
_AREAS = {"APs": 1, "APm": 2, "APl": 3}  # indices of area ranges; 0 is all areas


class AveragePrecision(NamedTuple):
    """Average precision for one kind of overlap, fractions in [0, 1], NaN where undefined.

    Attributes:
        scores: "AP", the mean over the IoU thresholds 0.5, 0.55, ... 0.95; "AP50" and "AP75" at one
            threshold; "APs", "APm" and "APl" for areas up to 32x32 pixels, from 32x32 to 96x96, and
            from 96x96 on. As in COCO, each limit belongs to both of its ranges.
        classes: "AP" by class.
    """

    scores: dict[str, float]
    classes: dict[str, float]


def average_precision(
    images: Sequence[AnnotatedImage],
    detections: Sequence[Detections],
    *,
    classes: Sequence[str],
    overlap: Overlap = "mask",
    detection_area: DetectionArea = "mask",
) -> AveragePrecision:
    """Compute average precision as in COCO, with at most 100 detections per class and image.

    Args:
        images: images with their instances.
        detections: the detections in each image.
        classes: names of classes 1 .. C.
        overlap: how a detection and an instance are compared: by the IoU of their "box" or of their
            "mask"; or, for "boundary", by the lower of the IoU of the masks and the IoU of their
            inner boundaries, 2 % of the image diagonal wide.
        detection_area: the area of a detection for APs, APm and APl of masks and boundaries: the
            pixels of its "mask", as pycocotools counts results without "bbox" (Detectron2 and
            MMDetection remove it); or width times height of its "box", as pycocotools counts
            results with "bbox" and "segmentation". Only these three scores depend on it: a
            detection that finds nothing counts as false if its area is in the range. For the
            overlap of boxes it is always the area of the box, although pycocotools uses that of the
            mask for results without "bbox". The area of an instance is that in the annotations.

    Returns:
        The scores. A class that occurs in no image is left out of the means.

    Raises:
        ValueError: the numbers of images and detections differ, there are no images or one occurs
            twice, a label is above C, masks do not have the size of their image or are missing for
            an overlap of masks or boundaries, or the overlap or the area is unknown.

    Computed by faster-coco-eval. Boundaries: Cheng et al., "Boundary IoU", CVPR 2021.
    """
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap: expected one of {', '.join(OVERLAPS)}, got {overlap!r}")
    check_detection_area(detection_area)
    if len(images) != len(detections):
        raise ValueError(
            f"detections: expected {len(images)}, one per image, got {len(detections)}"
        )
    if not images or len({image.id for image in images}) != len(images):
        raise ValueError("images: expected at least one, and no id twice")
    for image, found_there in zip(images, detections, strict=True):
        found_there.check_against(image, classes=len(classes))
        if overlap != "box" and found_there.masks is None:
            raise ValueError(f"overlap: expected box, as detections have no masks, got {overlap!r}")
    # The evaluator accepts only positive ids, and processes images in the order of their ids.
    numbers = {id_: rank for rank, id_ in enumerate(sorted(image.id for image in images), start=1)}
    target = COCO(_target(images, classes, overlap, numbers))
    found = target.loadRes(_results(images, detections, overlap, detection_area, numbers))
    evaluator = COCOeval_faster(
        target, found, _IOU_TYPES[overlap], boundary_cpu_count=1, rle_iou_max_workers=1
    )
    evaluator.evaluate()
    evaluator.accumulate()
    # [thresholds, recalls, classes, areas, numbers of detections]; -1 where undefined
    precision: NDArray[np.float64] = np.asarray(evaluator.eval["precision"])[..., -1]
    everywhere = precision[..., 0]
    scores = {
        "AP": _mean(everywhere),
        "AP50": _mean(everywhere[0]),
        "AP75": _mean(everywhere[5]),
        **{name: _mean(precision[..., index]) for name, index in _AREAS.items()},
    }
    by_class = {name: _mean(everywhere[:, :, index]) for index, name in enumerate(classes)}
    return AveragePrecision(scores, by_class)


def check_detection_area(area: DetectionArea) -> DetectionArea:
    """Return `area`; raise ValueError if it is unknown."""
    known = get_args(DetectionArea)
    if area not in known:
        raise ValueError(f"detection_area: expected one of {', '.join(known)}, got {area!r}")
    return area


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan


def _target(
    images: Sequence[AnnotatedImage],
    classes: Sequence[str],
    overlap: Overlap,
    numbers: Mapping[int, int],
) -> dict[str, Any]:
    annotations = [
        {
            "id": number,
            "image_id": numbers[image.id],
            "category_id": instance.label,
            "bbox": as_coco(instance.box),
            **({} if overlap == "box" else {"segmentation": instance.mask}),
            "area": instance.area,
            "iscrowd": int(instance.crowd),
        }
        for number, (image, instance) in enumerate(
            ((image, instance) for image in images for instance in image.instances), start=1
        )
    ]
    return {
        "images": [
            {"id": numbers[image.id], "height": image.size[0], "width": image.size[1]}
            for image in images
        ],
        "annotations": annotations,
        "categories": [{"id": id_, "name": name} for id_, name in enumerate(classes, start=1)],
    }


def _results(
    images: Sequence[AnnotatedImage],
    detections: Sequence[Detections],
    overlap: Overlap,
    area: DetectionArea,
    numbers: Mapping[int, int],
) -> list[dict[str, Any]]:
    """Make results in COCO's format; the area is that of the box if present, else of the mask."""
    results = []
    for image, found in zip(images, detections, strict=True):
        parts = (found.boxes, found.labels, found.scores)
        boxes, labels, scores = (part.tolist() for part in parts)
        masks = [None] * len(found) if found.masks is None else found.masks
        for box, label, score, mask in zip(boxes, labels, scores, masks, strict=True):
            entry = {"image_id": numbers[image.id], "category_id": label, "score": score}
            if overlap == "box" or area == "box":
                entry["bbox"] = as_coco(box)
            if overlap != "box":
                entry["segmentation"] = mask
            results.append(entry)
    return results
