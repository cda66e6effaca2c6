"""The detections of an instance segmentation test, and their figures."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dealias.environment import environment
from dealias.files import defined, write_json
from dealias.metrics.instances import (
    OVERLAPS,
    AnnotatedImage,
    AveragePrecision,
    DetectionArea,
    Detections,
    ErrorSummary,
    Matched,
    Overlap,
    average_precision,
    match_instances,
    summarize_errors,
)


@dataclass
class InstanceEvaluation:
    """Images with their instances and detections. Evaluations of parts can be merged.

    Attributes:
        classes: names of classes 1 .. C.
        found: images with their detections.
        skipped: messages about files that were left out.
        notes: messages about annotations that are used in a corrected form, such as broken
            polygons.
        detection_area: how the area of a detection is measured for APs, APm and APl; see
            :func:`average_precision`.
    """

    classes: tuple[str, ...]
    found: list[tuple[AnnotatedImage, Detections]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    detection_area: DetectionArea = "mask"
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def absorb(self, image: AnnotatedImage, detections: Detections) -> None:
        """Add an image."""
        self.found.append((image, detections))

    def merge(self, other: InstanceEvaluation) -> InstanceEvaluation:
        """Merge two evaluations, in the order of the image ids."""
        found = sorted(self.found + other.found, key=lambda pair: pair[0].id)
        return InstanceEvaluation(
            self.classes,
            found,
            self.skipped + other.skipped,
            list(dict.fromkeys(self.notes + other.notes)),
            self.detection_area,
        )

    @property
    def overlaps(self) -> tuple[Overlap, ...]:
        """The kinds of overlap: boxes, masks and boundaries, or only boxes if there are no masks.

        Raises:
            ValueError: some detections have masks, and others have none.
        """
        boxes_alone = any(detections.masks is None for _, detections in self.found)
        if boxes_alone and any(detections.masks for _, detections in self.found):
            raise ValueError("found: expected masks of all detections or of none, got both")
        return ("box",) if boxes_alone else OVERLAPS

    def average_precision(self) -> dict[str, AveragePrecision]:
        """Compute the average precision for each of `overlaps`; see :func:`average_precision`."""
        images = [image for image, _ in self.found]
        found = [detections for _, detections in self.found]
        precision: dict[str, AveragePrecision] = self._once(
            "precision",
            lambda: {
                overlap: average_precision(
                    images,
                    found,
                    classes=self.classes,
                    overlap=overlap,
                    detection_area=self.detection_area,
                )
                for overlap in self.overlaps
            },
        )
        return precision

    def matched(self) -> list[Matched]:
        """Return images by id, and their detections with the results of :func:`match_instances`."""
        found = sorted(self.found, key=lambda pair: pair[0].id)
        matched: list[Matched] = self._once(
            "matched", lambda: [(*pair, match_instances(*pair)) for pair in found]
        )
        return matched

    def errors(self) -> ErrorSummary:
        """Count the errors by kind; see :func:`summarize_errors`."""
        errors: ErrorSummary = self._once(
            "errors", lambda: summarize_errors(self.matched(), len(self.classes))
        )
        return errors

    def _once(self, name: str, work: Callable[[], Any]) -> Any:
        """Compute a value, unless it is already known for the same images and settings."""
        asked = (self.classes, self.detection_area, *(part for pair in self.found for part in pair))
        known, value = self._known.get(name, ((), None))
        if len(known) != len(asked) or any(map(operator.is_not, known, asked)):
            value = work()
            self._known[name] = asked, value
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain values for JSON; None where undefined."""
        found = self.average_precision() if self.found else {}
        errors = self.errors()
        by = "mask" if "mask" in self.overlaps else "box"
        instances = [one for image, _ in self.found for one in image.instances]
        crowds = sum(one.crowd for one in instances)
        by_label = Counter(one.label for one in instances if not one.crowd)
        return {
            "images": len(self.found),
            "instances": len(instances) - crowds,
            "crowds": crowds,
            "detections": sum(len(detections) for _, detections in self.found),
            "metrics": {overlap: defined(precision.scores) for overlap, precision in found.items()},
            "detection_area": self.detection_area if by == "mask" else by,
            "classes": [
                {
                    "name": name,
                    "instances": by_label[label],
                    **{key: defined(precision.classes[name]) for key, precision in found.items()},
                    "counts": {key: counts[label - 1] for key, counts in errors.counts.items()},
                }
                for label, name in enumerate(self.classes, start=1)
            ],
            "errors": {"overlap": by, **errors.to_dict()},
            "skipped": list(self.skipped),
            "notes": list(self.notes),
            "environment": environment(),
        }


def write_detections(
    evaluation: InstanceEvaluation, path: Path, ids: Mapping[int, int] | None = None
) -> None:
    """Write detections in COCO's result format; see :func:`coco_results`.

    Each entry has a box and, if the detections have masks, a mask. pycocotools takes the area of
    such an entry from the box, so its APs, APm and APl of masks equal those of
    :func:`average_precision` with `detection_area="box"`. If you remove "bbox", they equal those
    with `"mask"`.
    """
    results = [
        result
        for image, detections in evaluation.found
        for result in coco_results(image, detections, evaluation.classes, ids)
    ]
    write_json(results, path)


def coco_results(
    image: AnnotatedImage,
    detections: Detections,
    classes: tuple[str, ...],
    ids: Mapping[int, int] | None = None,
) -> list[dict[str, Any]]:
    """Return the detections of an image in COCO's result format, highest score first.

    Entries also have the names of the file and of the class. `ids` maps labels to category ids; by
    default the ids are the labels.
    """
    results: list[dict[str, Any]] = []
    for index in detections.scores.argsort(descending=True, stable=True).tolist():
        left, top, right, bottom = detections.boxes[index].tolist()
        label = int(detections.labels[index])
        result = {
            "image_id": image.id,
            "file_name": image.name,
            "category_id": label if ids is None else ids[label],
            "category": classes[label - 1],
            "score": float(detections.scores[index]),
            "bbox": [left, top, right - left, bottom - top],
        }
        if detections.masks is not None:
            mask = detections.masks[index]
            text = mask["counts"].decode("ascii")
            result["segmentation"] = {"size": mask["size"], "counts": text}
        results.append(result)
    return results
