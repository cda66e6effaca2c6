"""The frequency response of a one-dimensional low-pass, and its matrix."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from dealias.spectral.arguments import check_choice, check_cutoff, is_traced, per_axis

Transfer = Literal["ideal", "hamming", "raised_cosine", "butterworth"]
Border = Literal["wrap", "reflect"]
BandEdge = Literal["symmetric", "official"]


class Response(NamedTuple):
    """A low-pass along one axis of any length."""

    cutoff: float
    transfer: Transfer = "ideal"
    border: Border = "wrap"
    band_edge: BandEdge = "symmetric"
    rolloff: float = 0.5
    order: int = 4


def check_response(response: Response) -> Response:
    """Check the fields of a response, and return it."""
    check_choice("transfer", response.transfer, get_args(Transfer))
    check_choice("border", response.border, get_args(Border))
    check_choice("band_edge", response.band_edge, get_args(BandEdge))
    if not 0 < response.rolloff <= 1:
        raise ValueError(f"rolloff: expected a number in (0, 1], got {response.rolloff!r}")
    if response.order < 1:
        raise ValueError(f"order: expected at least 1, got {response.order!r}")
    if response.band_edge == "official" and response[1:3] != ("ideal", "wrap"):
        raise ValueError(
            "band_edge='official': expected transfer='ideal' and border='wrap', "
            f"got {response.transfer!r} and {response.border!r}"
        )
    return response._replace(cutoff=check_cutoff("cutoff", response.cutoff))


def check_responses(
    cutoff: float | tuple[float, float],
    *,
    transfer: Transfer = "ideal",
    border: Border = "wrap",
    band_edge: BandEdge = "symmetric",
    rolloff: float = 0.5,
    order: int = 4,
) -> tuple[Response, Response]:
    """Create the checked responses along the rows and the columns.

    Arguments and errors are those of :func:`lowpass`.

    >>> rows, columns = check_responses((0.25, 0.5))
    >>> rows.cutoff, columns.cutoff
    (0.25, 0.5)
    """
    cutoffs = per_axis("cutoff", cutoff, lambda _, value: value)
    rows, columns = (
        check_response(Response(c, transfer, border, band_edge, rolloff, order)) for c in cutoffs
    )
    return rows, columns


def period(response: Response, n: int) -> int:
    """Return the period of the signal with its borders."""
    return n if response.border == "wrap" else 2 * n


def passes_all(response: Response) -> bool:
    """Whether the response is the identity for any length."""
    return response.transfer == "ideal" and response.cutoff == 0.5


def unmatched(response: Response, n: int) -> bool:
    """Whether the band may have a frequency without its negative, so that the filter is complex.

    While a graph is traced, n may stand for other lengths too.
    """
    if response.band_edge == "symmetric" or is_traced():
        return response.band_edge == "official"
    first, last = (int(edge) for edge in _official_band(response, torch.arange(n)))
    return first + last != 0 and 2 * first != -n


def gains(response: Response, n: int, device: torch.device) -> Tensor:
    """Return the gain at each frequency of a signal of length n in float64, in ``fft`` order."""
    size = period(response, n)
    k = torch.arange(size, device=device)
    if response.band_edge == "official":
        first, last = _official_band(response, k)
        k = _modulo(k + n // 2, n) - n // 2
        return ((k >= first) & (k <= last)).double()
    # A single, correctly rounded division, so that a cutoff of k / n keeps frequency k.
    frequency = torch.minimum(k, size - k).double() / size
    if response.transfer == "ideal":
        return (frequency <= response.cutoff).double()
    ratio = frequency / response.cutoff
    if response.transfer == "hamming":
        window = 0.54 + 0.46 * _cosine(torch.pi * ratio)
        return torch.where(frequency <= response.cutoff, window, 0.0)
    if response.transfer == "raised_cosine":
        ramp = ((ratio - 1 + response.rolloff) / (2 * response.rolloff)).clamp(0, 1)
        return (1 + _cosine(torch.pi * ramp)) / 2
    return (1 + ratio ** (2 * response.order)) ** -0.5


def matrix(response: Response, n: int, device: torch.device, *, imaginary: bool = False) -> Tensor:
    r"""Return the response as a float64 n x n matrix; for an unmatched band, one part of it.

    It is a circulant of the kernel :math:`c_d = \frac1N \sum_k T(k/N) \cos(2 \pi k d / N)`, which
    is the Dirichlet kernel for an ideal filter. A mirrored border folds the 2n x 2n circulant:
    sample j occurs at j and at -1 - j.
    """
    size = period(response, n)
    k = torch.arange(size, device=device)
    angle = _modulo(k[:, None] * k, size).double() * (2 * torch.pi / size)
    wave = _cosine(angle - torch.pi / 2 if imaginary else angle)
    kernel = wave @ gains(response, n, device) / size
    i = torch.arange(n, device=device)
    circulant = kernel[_modulo(i[:, None] - i + size, size)]
    return circulant if response.border == "wrap" else circulant + kernel[i[:, None] + i + 1]


def _cosine(angle: Tensor) -> Tensor:
    """Return the float64 cosine, which ONNX Runtime 1.23, the last for Python 3.10, lacks.

    In exports by ``torch.onnx.export``, the cosine is computed in float32, accurate to 4e-7. A
    program that was made by ``torch.export.export`` before uses float64, which later versions of
    ONNX Runtime support.
    """
    if torch.onnx.is_in_onnx_export():
        return torch.cos(angle.float()).double()
    return torch.cos(angle)


def _modulo(a: Tensor, n: int) -> Tensor:
    """Return the remainder of non-negative integers; ONNX has none for a symbolic divisor."""
    return a - a // n * n


def _official_band(response: Response, k: Tensor) -> tuple[Tensor, Tensor]:
    """First and last frequency of the band; `k` has 0 to n - 1, as graphs can't round a size."""
    n = k[-1].double() + 1
    half, reach = n / 2, n * response.cutoff
    middle = torch.floor(half)
    return torch.round(half - reach) - middle, torch.round(half + reach) - 1 - middle
