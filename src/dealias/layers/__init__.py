"""Modules that reduce aliasing: the de-aliasing filter, mixing, blurs and polyphase sampling."""

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
from dealias.layers.polyphase import (
    CHOSEN,
    Offsets,
    PolyphaseShift,
    Sampling,
    check_sampling,
    collect_offsets,
    polyphase_upsample,
)
from dealias.layers.subsampling import Subsample

__all__ = [
    "CHOSEN",
    "AdaptiveBlur",
    "BlurFilter",
    "DealiasingFilter",
    "FrequencyMixing",
    "Offsets",
    "PartialFilter",
    "PolyphaseShift",
    "Sampling",
    "Strength",
    "Subsample",
    "adaptive_blur",
    "binomial_kernel",
    "check_sampling",
    "check_strength",
    "collect_offsets",
    "corner_values",
    "filter_sampled",
    "frequency_mixing",
    "polyphase_upsample",
    "relative_amplitudes",
    "set_strength",
]
