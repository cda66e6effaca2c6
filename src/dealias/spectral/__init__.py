"""Where a signal lies in frequency, what a sampling step can hold, and the low-pass between."""

from dealias.spectral.arguments import check_choice, check_cutoff, check_maps, per_axis
from dealias.spectral.filtering import Backend, lowpass, lowpass_matrix
from dealias.spectral.filters import filter_orthogonality
from dealias.spectral.matmul import response_matrix
from dealias.spectral.rate import equivalent_sampling_rate, nyquist_frequency
from dealias.spectral.response import BandEdge, Border, Response, Transfer, check_response
from dealias.spectral.score import aliasing_map, aliasing_score
from dealias.spectral.spectrum import RadialSpectrum, radial_spectrum
from dealias.spectral.tracing import is_traced

__all__ = [
    "Backend",
    "BandEdge",
    "Border",
    "RadialSpectrum",
    "Response",
    "Transfer",
    "aliasing_map",
    "aliasing_score",
    "check_choice",
    "check_cutoff",
    "check_maps",
    "check_response",
    "equivalent_sampling_rate",
    "filter_orthogonality",
    "is_traced",
    "lowpass",
    "lowpass_matrix",
    "nyquist_frequency",
    "per_axis",
    "radial_spectrum",
    "response_matrix",
]
