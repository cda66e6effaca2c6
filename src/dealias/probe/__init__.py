"""Measure where any network aliases, on images."""

from dealias.probe.figures import draw_maps, draw_spectra
from dealias.probe.inputs import MULTIPLE, image_paths, read_image
from dealias.probe.maps import first_filtered, map_entering, pixel_scores, write_scores
from dealias.probe.measure import SiteResult, capture_maps, measure_aliasing
from dealias.probe.networks import SPECS, LoadedNetwork, NetworkError, load_network
from dealias.probe.shifts import (
    ShiftMap,
    ShiftResult,
    map_shifts,
    measure_shifts,
    output_scores,
    translate,
)
from dealias.probe.video import compare_frames, dense_flow, measure_video, read_frames
from dealias.renamed import renamed

__all__ = [
    "MULTIPLE",
    "SPECS",
    "LoadedNetwork",
    "NetworkError",
    "ShiftMap",
    "ShiftResult",
    "SiteResult",
    "capture_maps",
    "compare_frames",
    "dense_flow",
    "draw_maps",
    "draw_spectra",
    "first_filtered",
    "image_paths",
    "load_network",
    "map_entering",
    "map_shifts",
    "measure_aliasing",
    "measure_shifts",
    "measure_video",
    "output_scores",
    "pixel_scores",
    "read_frames",
    "read_image",
    "translate",
    "write_scores",
]

__getattr__ = renamed(
    __name__,
    {
        "Network": "dealias.probe.LoadedNetwork",
        "class_scores": "dealias.probe.output_scores",
        "list_images": "dealias.probe.image_paths",
    },
)
