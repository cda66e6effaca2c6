"""Evaluate detections: scores, errors, and pictures of their outlines.

Needs faster-coco-eval.
"""

from dealias.evaluation.instances.evaluation import (
    InstanceEvaluation,
    coco_results,
    write_detections,
)
from dealias.evaluation.instances.outlines import (
    INSTANCE_COLORS,
    detection_outlines,
    draw_outlines,
    match_outlines,
    shapes_of,
    target_outlines,
)

__all__ = [
    "INSTANCE_COLORS",
    "InstanceEvaluation",
    "coco_results",
    "detection_outlines",
    "draw_outlines",
    "match_outlines",
    "shapes_of",
    "target_outlines",
    "write_detections",
]
