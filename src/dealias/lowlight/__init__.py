"""Transforms that make bright images look as if taken in the dark, or add Gaussian noise.

Needs torchvision.
"""

from dealias.lowlight.camera import CANON_5D4, Camera, LogLine
from dealias.lowlight.noise import (
    gaussian_noise,
    quantization_noise,
    read_noise,
    row_noise,
    shot_noise,
    tukey_lambda,
)
from dealias.lowlight.transforms import GaussianNoise, LowLight

__all__ = [
    "CANON_5D4",
    "Camera",
    "GaussianNoise",
    "LogLine",
    "LowLight",
    "gaussian_noise",
    "quantization_noise",
    "read_noise",
    "row_noise",
    "shot_noise",
    "tukey_lambda",
]
