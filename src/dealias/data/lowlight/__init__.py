"""Bright images as they would have been in the dark, and plain noise.

Needs torchvision.
"""

from dealias.data.lowlight._camera import CANON_5D4, Camera, LogLine
from dealias.data.lowlight._capture import EXPOSURE_RATIO, Capture, draw_capture
from dealias.data.lowlight._contact_sheet import contact_sheet
from dealias.data.lowlight._gaussian import gaussian_noise
from dealias.data.lowlight._low_light import develop, expose, low_light, to_raw
from dealias.data.lowlight._mosaic import demosaic, mosaic
from dealias.data.lowlight._noise import (
    quantization_noise,
    read_noise,
    row_noise,
    shot_noise,
    tukey_lambda,
)
from dealias.data.lowlight._transforms import GaussianNoise, LowLight
from dealias.data.lowlight._unprocessing import (
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
