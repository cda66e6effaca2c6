"""Low-pass filters, sampling rates, Nyquist frequencies and power spectra of feature maps."""

from dealias.spectral.arguments import check_choice, check_cutoff, check_maps, is_traced, per_axis
from dealias.spectral.backends import (
    Backend,
    apply_lowpass,
    check_backend,
    choose_backend,
    response_matrix,
)
from dealias.spectral.filtering import lowpass, lowpass_matrix
from dealias.spectral.power import RadialSpectrum, aliasing_map, aliasing_score, radial_spectrum
from dealias.spectral.response import BandEdge, Border, Response, Transfer, check_responses
from dealias.spectral.sampling import (
    equivalent_sampling_rate,
    filter_orthogonality,
    nyquist_frequency,
)

__all__ = [
    "Backend",
    "BandEdge",
    "Border",
    "RadialSpectrum",
    "Response",
    "Transfer",
    "aliasing_map",
    "aliasing_score",
    "apply_lowpass",
    "check_backend",
    "check_choice",
    "check_cutoff",
    "check_maps",
    "check_responses",
    "choose_backend",
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
