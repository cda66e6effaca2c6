"""The modules that keep a sampling step from aliasing, and those they are compared with."""

from dealias.layers._adaptive_blur import AdaptiveBlur, adaptive_blur
from dealias.layers._blur import BlurFilter, binomial_kernel
from dealias.layers._dealiasing import DealiasingFilter
from dealias.layers._mixing import FrequencyMixing, frequency_mixing
from dealias.layers._pooling import corner_values, relative_amplitudes

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
