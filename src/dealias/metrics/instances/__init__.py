"""Average precision of detected instances, matching with the target, and kinds of errors.

Needs faster-coco-eval.
"""

from dealias.metrics.instances.detection_errors import (
    ErrorSummary,
    Matched,
    summarize_errors,
)
from dealias.metrics.instances.masks import (
    MaskError,
    Rle,
    box_of_mask,
    decode_masks,
    encode_masks,
    mask_area,
    mask_in_box,
    read_segmentation,
)
from dealias.metrics.instances.matching import (
    BOX_ERRORS,
    FALSE_DETECTIONS,
    FOUND,
    IGNORED,
    INSTANCE_ERRORS,
    MISSED,
    NOBODY,
    Matches,
    match_instances,
)
from dealias.metrics.instances.precision import (
    OVERLAPS,
    SCORES,
    AveragePrecision,
    DetectionArea,
    Overlap,
    average_precision,
    check_detection_area,
)
from dealias.metrics.instances.records import (
    AnnotatedImage,
    Detections,
    Instance,
)
from dealias.renamed import renamed

__all__ = [
    "BOX_ERRORS",
    "FALSE_DETECTIONS",
    "FOUND",
    "IGNORED",
    "INSTANCE_ERRORS",
    "MISSED",
    "NOBODY",
    "OVERLAPS",
    "SCORES",
    "AnnotatedImage",
    "AveragePrecision",
    "DetectionArea",
    "Detections",
    "ErrorSummary",
    "Instance",
    "MaskError",
    "Matched",
    "Matches",
    "Overlap",
    "Rle",
    "average_precision",
    "box_of_mask",
    "check_detection_area",
    "decode_masks",
    "encode_masks",
    "mask_area",
    "mask_in_box",
    "match_instances",
    "read_segmentation",
    "summarize_errors",
]

__getattr__ = renamed(
    __name__,
    {name: f"dealias.data.instances.{name}" for name in ("InstanceSet", "Notes", "Problem")}
    | {"finite": "dealias.files.defined"},
)
