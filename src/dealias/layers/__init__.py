"""Modules against aliasing: the de-aliasing filter, frequency mixing and blurs."""

from dealias.layers.blur import AdaptiveBlur, BlurFilter, adaptive_blur, binomial_kernel
from dealias.layers.dealiasing import DealiasingFilter
from dealias.layers.mixing import (
    FrequencyMixing,
    corner_values,
    frequency_mixing,
    relative_amplitudes,
)
from dealias.layers.partial import (
    PartialFilter,
    Strength,
    check_strength,
    filter_sampled,
    set_strength,
)
from dealias.layers.subsampling import Subsample

__all__ = [
    "AdaptiveBlur",
    "BlurFilter",
    "DealiasingFilter",
    "FrequencyMixing",
    "PartialFilter",
    "Strength",
    "Subsample",
    "adaptive_blur",
    "binomial_kernel",
    "check_strength",
    "corner_values",
    "filter_sampled",
    "frequency_mixing",
    "relative_amplitudes",
    "set_strength",
]
