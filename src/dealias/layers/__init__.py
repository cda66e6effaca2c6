"""Modules against aliasing: the de-aliasing filter, frequency mixing and blurs."""

from dealias.layers.blur import AdaptiveBlur, BlurFilter, adaptive_blur, binomial_kernel
from dealias.layers.dealiasing import DealiasingFilter
from dealias.layers.mixing import (
    FrequencyMixing,
    corner_values,
    frequency_mixing,
    relative_amplitudes,
)

__all__ = [
    "AdaptiveBlur",
    "BlurFilter",
    "DealiasingFilter",
    "FrequencyMixing",
    "adaptive_blur",
    "binomial_kernel",
    "corner_values",
    "frequency_mixing",
    "relative_amplitudes",
]
