"""Label maps to counts, counts to metrics: tensors in, tensors out."""

from dealias.metrics.functional._bands import Protocol, dilate, inner_boundary, label_edges
from dealias.metrics.functional._boundary import (
    boundary_f_counts,
    boundary_f_score,
    boundary_iou,
    boundary_iou_counts,
)
from dealias.metrics.functional._counts import (
    HardPixelCounts,
    LabelRangeError,
    banded_confusion,
    count_hard_pixels,
)
from dealias.metrics.functional._errors import (
    ERROR_KINDS,
    ClassPair,
    ErrorKind,
    costly_pairs,
    error_map,
    error_pixels,
    error_shares,
    miou_gain,
)
from dealias.metrics.functional._scores import scores

__all__ = [
    "ERROR_KINDS",
    "ClassPair",
    "ErrorKind",
    "HardPixelCounts",
    "LabelRangeError",
    "Protocol",
    "banded_confusion",
    "boundary_f_counts",
    "boundary_f_score",
    "boundary_iou",
    "boundary_iou_counts",
    "costly_pairs",
    "count_hard_pixels",
    "dilate",
    "error_map",
    "error_pixels",
    "error_shares",
    "inner_boundary",
    "label_edges",
    "miou_gain",
    "scores",
]
