"""Measure where any network aliases on images."""

from dealias.probe.figures import draw_maps, draw_spectra
from dealias.probe.inputs import MULTIPLE, list_images, read_image
from dealias.probe.maps import first_filtered, map_entering, pixel_scores, write_scores
from dealias.probe.measure import SiteResult, capture_maps, measure_aliasing
from dealias.probe.networks import SPECS, Network, NetworkError, load_network
from dealias.probe.shifts import (
    ShiftMap,
    ShiftResult,
    class_scores,
    map_shifts,
    measure_shifts,
    translate,
)
from dealias.probe.video import compare_frames, dense_flow, measure_video, read_frames

__all__ = [
    "MULTIPLE",
    "SPECS",
    "Network",
    "NetworkError",
    "ShiftMap",
    "ShiftResult",
    "SiteResult",
    "capture_maps",
    "class_scores",
    "compare_frames",
    "dense_flow",
    "draw_maps",
    "draw_spectra",
    "first_filtered",
    "list_images",
    "load_network",
    "map_entering",
    "map_shifts",
    "measure_aliasing",
    "measure_shifts",
    "measure_video",
    "pixel_scores",
    "read_frames",
    "read_image",
    "translate",
    "write_scores",
]
