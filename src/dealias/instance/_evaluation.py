"""What a test of a network for instances found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dealias.evaluation import environment, write_whole
from dealias.instance._average_precision import OVERLAPS, AveragePrecision, average_precision
from dealias.instance._detections import Detections
from dealias.instance._records import AnnotatedImage


@dataclass
class InstanceEvaluation:
    """Images, what is in them, and what was found; parts add up.

    Attributes:
        classes: names of classes 1 .. C.
        found: each image with its detections.
        skipped: messages about files that were left out.
    """

    classes: tuple[str, ...]
    found: list[tuple[AnnotatedImage, Detections]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def absorb(self, image: AnnotatedImage, detections: Detections) -> None:
        """Add an image."""
        self.found.append((image, detections))

    def merge(self, other: InstanceEvaluation) -> InstanceEvaluation:
        """Both together, in the order of the images' ids."""
        found = sorted(self.found + other.found, key=lambda pair: pair[0].id)
        return InstanceEvaluation(self.classes, found, self.skipped + other.skipped)

    def average_precision(self) -> dict[str, AveragePrecision]:
        """Average precision of boxes, masks and boundaries; see :func:`average_precision`."""
        images = [image for image, _ in self.found]
        detections = [detections for _, detections in self.found]
        return {
            overlap: average_precision(images, detections, classes=self.classes, overlap=overlap)
            for overlap in OVERLAPS
        }

    def to_dict(self) -> dict[str, Any]:
        """All figures, plain enough for JSON; None where undefined."""
        found = self.average_precision() if self.found else {}
        return {
            "images": len(self.found),
            "instances": sum(len(image.instances) for image, _ in self.found),
            "detections": sum(len(detections) for _, detections in self.found),
            "metrics": {
                overlap: {name: _finite(value) for name, value in precision.scores.items()}
                for overlap, precision in found.items()
            },
            "classes": [
                {
                    "name": name,
                    "instances": sum(
                        instance.label == label
                        for image, _ in self.found
                        for instance in image.instances
                    ),
                    **{key: _finite(precision.classes[name]) for key, precision in found.items()},
                }
                for label, name in enumerate(self.classes, start=1)
            ],
            "skipped": list(self.skipped),
            "environment": environment(),
        }


def write_result(
    evaluation: InstanceEvaluation, path: Path, more: Mapping[str, Any] | None = None
) -> None:
    """Write `InstanceEvaluation.to_dict`, and `more`, as JSON."""
    write_plain(evaluation.to_dict() | dict(more or {}), path)


def write_detections(evaluation: InstanceEvaluation, path: Path) -> None:
    """Write what was found in COCO's format of results, with the name of the file as well."""
    results = [
        result
        for image, detections in evaluation.found
        for result in coco_results(image, detections, evaluation.classes)
    ]
    write_plain(results, path)


def coco_results(
    image: AnnotatedImage, detections: Detections, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Detections of an image as COCO's format of results has them, the surest first."""
    results = []
    for index in detections.scores.argsort(descending=True, stable=True).tolist():
        left, top, right, bottom = detections.boxes[index].tolist()
        label, mask = int(detections.labels[index]), detections.masks[index]
        results.append(
            {
                "image_id": image.id,
                "file_name": image.name,
                "category_id": label,
                "category": classes[label - 1],
                "score": float(detections.scores[index]),
                "bbox": [left, top, right - left, bottom - top],
                "segmentation": {"size": mask["size"], "counts": mask["counts"].decode("ascii")},
            }
        )
    return results


def write_plain(content: Any, path: Path) -> None:
    """Write lists, mappings, numbers and text as JSON."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with write_whole(path) as file:
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
