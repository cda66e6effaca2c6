"""Low-pass filtering of maps, and its matrix."""

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
    r"""Return the n x n matrix that low-passes a signal of length n.

    With ``transfer="ideal"`` and ``border="wrap"`` it keeps the frequencies :math:`|k| / n \le`
    ``cutoff``, or :math:`|k| \le m`, and is the Dirichlet kernel

    .. math:: L_{ij} = \frac{\sin(\pi (2m + 1) (i - j) / n)}{n \sin(\pi (i - j) / n)}.

    Matrices with symmetric band edges are real and symmetric, and preserve the mean. Ideal ones are
    orthogonal projections. An ideal filter with a cutoff of 0.5 is the identity.

    Args:
        n: length of the signal.
        cutoff: in cycles per pixel, in (0, 0.5]. The ideal filter keeps this frequency itself.
        transfer: gain at frequency f.
            ``"ideal"``: 1 up to the cutoff, 0 above.
            ``"hamming"``: a Hamming window over the frequencies up to the cutoff, 1 at 0 and 0.08
            at the cutoff, and 0 above, which rings less (Grabinski, Keuper and Keuper, "Fix your
            downsampling ASAP", 2023).
            ``"raised_cosine"``: 1 up to ``(1 - rolloff) * cutoff``, then half a period of a cosine
            down to 0 at ``(1 + rolloff) * cutoff``; 0.5 at the cutoff.
            ``"butterworth"``: :math:`1 / \sqrt{1 + (f / \mathrm{cutoff})^{2 \cdot order}}`.
        border: ``"wrap"`` continues the signal periodically, like the discrete Fourier transform.
            ``"reflect"`` continues it with its mirror image, repeating the border sample, so that
            the two ends do not affect each other.
        band_edge: ``"symmetric"``, or ``"official"`` for the band of the published code, ``-m`` to
            ``m - 1`` for an even length. A frequency whose negative is not in the band makes the
            matrix complex; the real part is returned, in which this frequency has half the gain.
        rolloff: roll-off of the raised cosine, in (0, 1].
        order: order of the Butterworth filter, at least 1.
        dtype: dtype of the result; by default PyTorch's default.
        device: device of the result.

    Raises:
        ValueError: an argument is out of range.

    >>> lowpass_matrix(4, 0.25)
    tensor([[ 0.7500,  0.2500, -0.2500,  0.2500],
            [ 0.2500,  0.7500,  0.2500, -0.2500],
            [-0.2500,  0.2500,  0.7500,  0.2500],
            [ 0.2500, -0.2500,  0.2500,  0.7500]])
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n: expected a positive integer, got {n!r}")
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
    r"""Remove the frequencies above the cutoff along the rows and the columns of each map.

    .. math:: y = L_H \, x \, L_W^\top

    with the matrices of :func:`lowpass_matrix`. An ideal filter sets every component of the 2-D
    Fourier transform with a row or a column frequency above the cutoff to zero (the de-aliasing
    filter of Chen, Gu and Fu, ICLR 2024).

    Args:
        x: [..., H, W], float64, float32, bfloat16 or float16.
        cutoff: in cycles per pixel, in (0, 0.5]; one number, or (row, column).
        transfer: see :func:`lowpass_matrix`.
        border: see :func:`lowpass_matrix`.
        band_edge: see :func:`lowpass_matrix`. ``"official"`` returns the real part of the complex
            map, like the published code, which depends on both the real and the imaginary parts of
            the two matrices.
        rolloff: see :func:`lowpass_matrix`.
        order: see :func:`lowpass_matrix`.
        backend: ``"matmul"`` multiplies by the two matrices. ``"fft"`` uses a real FFT, in float32
            or float64. ``"slabs"`` subtracts the removed frequencies from a few planes at a time;
            it is for inference on a CPU with ideal filters and symmetric band edges. ``"auto"``
            uses the FFT if the numbers of rows and columns add up to more than 1536, slabs for
            other large maps if they can run and the filter removes little, and matrix products
            otherwise and in graphs that are compiled or exported. Exports by ``torch.onnx.export``
            use matrix products even with ``"fft"``, because ONNX Runtime fails on the inverse of a
            real FFT.

    Returns:
        Tensor with the shape, dtype and memory format of ``x``, also under autocast. An axis with
        an ideal filter and a cutoff of 0.5 costs nothing; if this holds for both axes, the result
        is ``x`` itself.

    Raises:
        ValueError: ``x`` is not a real floating-point tensor of at least two dimensions, another
            argument is out of range, or slabs can't run.

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
