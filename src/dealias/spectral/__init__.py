"""Where a signal lies in frequency, what a sampling step can hold, and the low-pass between."""

from dealias.spectral._filters import filter_orthogonality
from dealias.spectral._lowpass import lowpass, lowpass_matrix
from dealias.spectral._rate import equivalent_sampling_rate, nyquist_frequency
from dealias.spectral._score import aliasing_map, aliasing_score
from dealias.spectral._spectrum import RadialSpectrum, radial_spectrum

__all__ = [
    "RadialSpectrum",
    "aliasing_map",
    "aliasing_score",
    "equivalent_sampling_rate",
    "filter_orthogonality",
    "lowpass",
    "lowpass_matrix",
    "nyquist_frequency",
    "radial_spectrum",
]
