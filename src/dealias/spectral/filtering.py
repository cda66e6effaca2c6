"""The low-pass of maps, and its matrix."""

import torch
from torch import Tensor

from dealias.spectral.arguments import check_maps
from dealias.spectral.backends import Backend, apply_lowpass, check_backend
from dealias.spectral.response import (
    BandEdge,
    Border,
    Response,
    Transfer,
    check_response,
    check_responses,
    matrix,
)


def lowpass_matrix(
    n: int,
    cutoff: float,
    *,
    transfer: Transfer = "ideal",
    border: Border = "wrap",
    band_edge: BandEdge = "symmetric",
    rolloff: float = 0.5,
    order: int = 4,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""The n x n matrix that low-passes a signal of length n.

    With ``transfer="ideal"`` and the border wrapped, it keeps the frequencies :math:`|k| / n \le`
    ``cutoff``, say :math:`|k| \le m`, and is the Dirichlet kernel

    .. math:: L_{ij} = \frac{\sin(\pi (2m + 1) (i - j) / n)}{n \sin(\pi (i - j) / n)}.

    Every matrix with symmetric band edges is real, symmetric and keeps the mean; an ideal one is
    an orthogonal projection. A cutoff of 0.5 gives the identity.

    Args:
        n: length of the signal.
        cutoff: in cycles per pixel, in (0, 0.5]. The ideal filter keeps the cutoff itself.
        transfer: gain at frequency f.
            ``"ideal"``: 1 up to the cutoff, 0 above.
            ``"raised_cosine"``: 1 up to ``(1 - rolloff) * cutoff``, then half a period of a cosine
            down to 0 at ``(1 + rolloff) * cutoff``; 0.5 at the cutoff.
            ``"butterworth"``: :math:`1 / \sqrt{1 + (f / \mathrm{cutoff})^{2 \cdot order}}`.
        border: ``"wrap"`` continues the signal with itself, as the discrete Fourier transform does;
            ``"reflect"`` with its mirror image, the border sample repeated, so that the two ends
            do not leak into one another.
        band_edge: ``"symmetric"``, or ``"official"`` for the band of the published code, ``-m`` to
            ``m - 1`` on an even length. A frequency in the band without its negative makes the
            matrix complex; the real part is returned, in which it counts half.
        rolloff: of the raised cosine, in (0, 1].
        order: of the Butterworth filter, at least 1.
        dtype: of the result; by default PyTorch's default.
        device: of the result.

    Raises:
        ValueError: an argument is out of range.

    >>> lowpass_matrix(4, 0.25)
    tensor([[ 0.7500,  0.2500, -0.2500,  0.2500],
            [ 0.2500,  0.7500,  0.2500, -0.2500],
            [-0.2500,  0.2500,  0.7500,  0.2500],
            [ 0.2500, -0.2500,  0.2500,  0.7500]])
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a positive integer, got {n!r}")
    response = check_response(Response(cutoff, transfer, border, band_edge, rolloff, order))
    result = matrix(response, n, torch.device("cpu"))
    return result.to(device=device, dtype=dtype or torch.get_default_dtype())


def lowpass(
    x: Tensor,
    cutoff: float | tuple[float, float],
    *,
    transfer: Transfer = "ideal",
    border: Border = "wrap",
    band_edge: BandEdge = "symmetric",
    rolloff: float = 0.5,
    order: int = 4,
    backend: Backend = "auto",
) -> Tensor:
    r"""Remove what varies faster than the cutoff along the rows or the columns of each map.

    .. math:: y = L_H \, x \, L_W^\top

    with the matrices of :func:`lowpass_matrix`: an ideal filter sets to zero each component of the
    2-D Fourier transform with a row or a column frequency above the cutoff (the de-aliasing
    filter of Chen, Gu and Fu, ICLR 2024).

    Args:
        x: [..., H, W], float64, float32, bfloat16 or float16.
        cutoff: in cycles per pixel, in (0, 0.5]; one number, or (row, column).
        transfer: see :func:`lowpass_matrix`.
        border: see :func:`lowpass_matrix`.
        band_edge: see :func:`lowpass_matrix`. ``"official"`` gives what the published code gives,
            the real part of the complex map: both parts of the two matrices enter it.
        rolloff: see :func:`lowpass_matrix`.
        order: see :func:`lowpass_matrix`.
        backend: what runs. ``"matmul"``: products with the two matrices. ``"fft"``: a real FFT, in
            float32 or float64. ``"slabs"``: a few planes at a time, what the filter removes is
            subtracted; for ideal filters with symmetric band edges, on a CPU, for inference.
            ``"auto"``: the FFT for maps of more than 1536 rows and columns together, slabs for
            other large maps where they can run and the filter removes little, else the matrix
            products; these alone in a graph that is being compiled or exported. An export to ONNX
            by ``torch.onnx.export`` takes them even with ``"fft"``, since ONNX Runtime fails on
            the inverse of a real FFT.

    Returns:
        Tensor of the shape, dtype and memory format of ``x``, also under autocast. An axis
        with an ideal cutoff of 0.5 costs nothing; if both have it, the result is ``x`` itself.

    Raises:
        ValueError: ``x`` is not a real floating-point tensor of two dimensions or more, or another
            argument is out of range; slabs can't run.

    >>> stripes = torch.tensor([1.0, -1.0]).repeat(4, 2)
    >>> lowpass(3 + stripes, 0.25)
    tensor([[3., 3., 3., 3.],
            [3., 3., 3., 3.],
            [3., 3., 3., 3.],
            [3., 3., 3., 3.]])
    """
    check_maps(x)
    rows, columns = check_responses(
        cutoff, transfer=transfer, border=border, band_edge=band_edge, rolloff=rolloff, order=order
    )
    check_backend(backend, rows, columns)
    return apply_lowpass(x, rows, columns, backend)
