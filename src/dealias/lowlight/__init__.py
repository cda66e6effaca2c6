"""Bright images as they would have been in the dark, and plain noise.

Needs torchvision.
"""

from dealias.lowlight.bayer import demosaic, mosaic
from dealias.lowlight.camera import CANON_5D4, Camera, LogLine
from dealias.lowlight.capture import EXPOSURE_RATIO, Capture, draw_capture
from dealias.lowlight.gaussian import check_sigma, gaussian_noise
from dealias.lowlight.noise import (
    quantization_noise,
    read_noise,
    row_noise,
    shot_noise,
    tukey_lambda,
)
from dealias.lowlight.pipeline import develop, expose, low_light, to_raw
from dealias.lowlight.sheet import contact_sheet
from dealias.lowlight.transforms import GaussianNoise, LowLight
from dealias.lowlight.unprocessing import (
    camera_to_srgb,
    gamma_compression,
    gamma_expansion,
    inverse_smoothstep,
    inverse_white_balance,
    smoothstep,
    srgb_to_camera,
    white_balance,
)

__all__ = [
    "CANON_5D4",
    "EXPOSURE_RATIO",
    "Camera",
    "Capture",
    "GaussianNoise",
    "LogLine",
    "LowLight",
    "camera_to_srgb",
    "check_sigma",
    "contact_sheet",
    "demosaic",
    "develop",
    "draw_capture",
    "expose",
    "gamma_compression",
    "gamma_expansion",
    "gaussian_noise",
    "inverse_smoothstep",
    "inverse_white_balance",
    "low_light",
    "mosaic",
    "quantization_noise",
    "read_noise",
    "row_noise",
    "shot_noise",
    "smoothstep",
    "srgb_to_camera",
    "to_raw",
    "tukey_lambda",
    "white_balance",
]
