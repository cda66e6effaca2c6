"""From label maps to counts and from counts to metrics, as functions of tensors."""

from dealias.metrics.functional.bands import Protocol, dilate, inner_boundary, label_edges
from dealias.metrics.functional.boundary import (
    boundary_f_counts,
    boundary_f_score,
    boundary_iou,
    boundary_iou_counts,
)
from dealias.metrics.functional.counts import (
    HardPixelCounts,
    LabelRangeError,
    banded_confusion,
    check_options,
    count_hard_pixels,
)
from dealias.metrics.functional.error_kinds import (
    ERROR_KINDS,
    ClassPair,
    ErrorKind,
    costly_pairs,
    error_map,
    error_pixels,
    error_shares,
    miou_gain,
)
from dealias.metrics.functional.hard_pixel_scores import scores
from dealias.metrics.functional.shifts import (
    SHIFT_REGIONS,
    Offset,
    Windows,
    compare_shift,
    count_shifts,
    draw_offsets,
    shift_agreement,
    shifted_windows,
)

__all__ = [
    "ERROR_KINDS",
    "SHIFT_REGIONS",
    "ClassPair",
    "ErrorKind",
    "HardPixelCounts",
    "LabelRangeError",
    "Offset",
    "Protocol",
    "Windows",
    "banded_confusion",
    "boundary_f_counts",
    "boundary_f_score",
    "boundary_iou",
    "boundary_iou_counts",
    "check_options",
    "compare_shift",
    "costly_pairs",
    "count_hard_pixels",
    "count_shifts",
    "dilate",
    "draw_offsets",
    "error_map",
    "error_pixels",
    "error_shares",
    "inner_boundary",
    "label_edges",
    "miou_gain",
    "scores",
    "shift_agreement",
    "shifted_windows",
]
