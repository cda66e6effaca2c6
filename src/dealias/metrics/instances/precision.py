"""Average precision of COCO: of boxes, of masks and of the boundaries of masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from dealias.metrics.instances.detections import Detections
from dealias.metrics.instances.records import AnnotatedImage

Overlap = Literal["box", "mask", "boundary"]
DetectionArea = Literal["mask", "box"]

OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl")

_IOU_TYPES: dict[Overlap, str] = {"box": "bbox", "mask": "segm", "boundary": "boundary"}
_AREAS = {"APs": 1, "APm": 2, "APl": 3}  # area ranges by position, after that of all


class AveragePrecision(NamedTuple):
    """Average precision for one kind of overlap, fractions in [0, 1], NaN where undefined.

    Attributes:
        scores: "AP", mean over the IoU thresholds 0.5, 0.55, ... 0.95; "AP50" and "AP75" at one;
            "APs", "APm" and "APl" for areas up to 32x32 pixels, from there to 96x96, and from
            there on; those of exactly 32x32 or 96x96 count on both sides, as COCO has it.
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
    """Average precision as COCO has it, of at most 100 detections of a class in an image.

    Args:
        images: with the instances that are in them.
        detections: what was found in each.
        classes: names of classes 1 .. C.
        overlap: how a detection and an instance are compared: by the IoU of their "box", of their
            "mask", or, for "boundary", by the lesser of the IoU of the masks and that of their
            inner boundaries, 2 % of the image diagonal wide.
        detection_area: what APs, APm and APl of masks and boundaries take for the area of a
            detection: the pixels of its "mask", as pycocotools does with results without "bbox",
            and so do Detectron2 and MMDetection, which take it out; or width times height of its
            "box", as pycocotools does with results that have "bbox" and "segmentation". A
            detection that finds nothing counts as false if its area is in the range, so that no
            other score differs. For the overlap of boxes it is always that of the box, though
            pycocotools has that of the mask for results without "bbox"; instances have the area
            that the annotations say.

    Returns:
        The scores. A class that is in no image is left out of the means.

    Raises:
        ValueError: not as many detections as images, no images or one that occurs twice, a label
            over C, masks of another size than their image, or an overlap or an area that there is
            not.

    The arithmetic is faster-coco-eval's. Boundaries: Cheng et al., "Boundary IoU", CVPR 2021.
    """
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap: expected one of {', '.join(OVERLAPS)}, got {overlap!r}")
    check_detection_area(detection_area)
    if len(images) != len(detections):
        raise ValueError(f"detections: expected {len(images)}, one an image, got {len(detections)}")
    if not images or len({image.id for image in images}) != len(images):
        raise ValueError("images: expected at least one, and no id twice")
    for image, found_there in zip(images, detections, strict=True):
        found_there.check_against(image, classes=len(classes))
    # The evaluator takes positive ids alone, and goes through images in their order.
    numbers = {id_: rank for rank, id_ in enumerate(sorted(image.id for image in images), start=1)}
    target = COCO(_target(images, classes, numbers))
    found = target.loadRes(_results(images, detections, overlap, detection_area, numbers))
    evaluator = COCOeval_faster(
        target, found, _IOU_TYPES[overlap], boundary_cpu_count=1, rle_iou_max_workers=1
    )
    evaluator.evaluate()
    evaluator.accumulate()
    # (thresholds, recalls, classes, areas, numbers of detections); -1 where undefined
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
    """The area, if there is such a one; else ValueError."""
    known = get_args(DetectionArea)
    if area not in known:
        raise ValueError(f"detection_area: expected one of {', '.join(known)}, got {area!r}")
    return area


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan


def _target(
    images: Sequence[AnnotatedImage], classes: Sequence[str], numbers: Mapping[int, int]
) -> dict[str, Any]:
    annotations = [
        {
            "id": number,
            "image_id": numbers[image.id],
            "category_id": instance.label,
            "bbox": _as_coco(instance.box),
            "segmentation": instance.mask,
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
    """Boxes or masks alone have their own area, both together that of the box."""
    results = []
    for image, found in zip(images, detections, strict=True):
        parts = (found.boxes, found.labels, found.scores)
        boxes, labels, scores = (part.tolist() for part in parts)
        for box, label, score, mask in zip(boxes, labels, scores, found.masks, strict=True):
            entry = {"image_id": numbers[image.id], "category_id": label, "score": score}
            if overlap == "box" or area == "box":
                entry["bbox"] = _as_coco(box)
            if overlap != "box":
                entry["segmentation"] = mask
            results.append(entry)
    return results


def _as_coco(box: Sequence[float]) -> list[float]:
    """(left, top, width, height), as decimal numbers in a file were before they were added up."""
    left, top, right, bottom = box
    return [left, top, round(right - left, 9), round(bottom - top, 9)]
