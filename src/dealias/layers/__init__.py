"""The modules that keep a sampling step from aliasing, and those they are compared with."""

from dealias.layers.adaptive_blur import AdaptiveBlur, adaptive_blur
from dealias.layers.blur import BlurFilter, binomial_kernel
from dealias.layers.dealiasing import DealiasingFilter
from dealias.layers.mixing import FrequencyMixing, frequency_mixing
from dealias.layers.pooling import corner_values, relative_amplitudes

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
