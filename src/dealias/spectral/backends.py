"""Three ways to run a low-pass: matrix products, the same in slabs, and Fourier transforms."""

from functools import lru_cache

import torch
from torch import Tensor

from dealias.spectral.arguments import is_plain
from dealias.spectral.response import Response, gains, matrix, passes_all, unmatched

# Elements of a slab: small enough for the processor's second-level cache.
_SLAB = 2**17
_SLAB_CHANNELS_LAST = 2**19


def lowpass_by_matmul(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """Two matrix products; two more where both bands are unmatched."""
    height, width = x.shape[-2:]
    left = None if passes_all(rows) else response_matrix(rows, height, x)
    right = None if passes_all(columns) else response_matrix(columns, width, x)
    y = _between(left, x, right)
    if unmatched(rows, height) and unmatched(columns, width):
        # Re[(A + iB) x (C + iD)'] = A x C' - B x D'
        left = response_matrix(rows, height, x, imaginary=True)
        right = response_matrix(columns, width, x, imaginary=True)
        y = y - _between(left, x, right)
    return y


def response_matrix(response: Response, n: int, like: Tensor, *, imaginary: bool = False) -> Tensor:
    """The matrix of a response, in the dtype and on the device of a tensor."""
    if not is_plain(like):
        # A fake or wrapped tensor must not outlive its trace in the cache.
        return matrix(response, n, like.device, imaginary=imaginary).to(like.dtype)
    return _cached_matrix(response, n, like.dtype, like.device, imaginary)


@lru_cache(maxsize=64)
def _cached_matrix(
    response: Response, n: int, dtype: torch.dtype, device: torch.device, imaginary: bool
) -> Tensor:
    # A tensor made in inference mode could not be saved for a later backward pass.
    with torch.inference_mode(False), torch.no_grad():
        return matrix(response, n, torch.device("cpu"), imaginary=imaginary).to(dtype).to(device)


def _between(left: Tensor | None, x: Tensor, right: Tensor | None) -> Tensor:
    """The product ``left @ x @ right.T`` over the last two dimensions."""
    maps = x.unsqueeze(0) if x.ndim == 3 else x
    if not x.is_contiguous() and _is_channels_last(maps):
        return _between_channels_last(left, maps, right).view(x.shape)
    height, width = x.shape[-2:]
    y = x.contiguous().view(-1, height, width)
    if right is not None:
        y = torch.mm(y.view(-1, width), right.t()).view(-1, height, width)
    if left is not None:
        y = torch.bmm(left.expand(y.shape[0], height, height), y)
    return y.view(x.shape)


def _between_channels_last(left: Tensor | None, x: Tensor, right: Tensor | None) -> Tensor:
    n, channels, height, width = x.shape
    y = x.permute(0, 2, 3, 1)  # (N, H, W, C), contiguous
    if right is not None:
        y = y.view(n * height, width, channels)
        y = torch.bmm(right.expand(n * height, width, width), y)
    if left is not None:
        y = y.view(n, height, width * channels)
        y = torch.bmm(left.expand(n, height, height), y)
    return y.view(n, height, width, channels).permute(0, 3, 1, 2)


def _is_channels_last(x: Tensor) -> bool:
    """Whether x is [N, C, H, W], stored as (N, H, W, C)."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def suits_slabs(x: Tensor, rows: Response, columns: Response) -> bool:
    """Whether this way is the fastest: a large map, not watched, that loses little."""
    recorded = torch.is_grad_enabled() and x.requires_grad
    return (
        is_plain(x)
        and not recorded
        and x.device.type == "cpu"
        and x.numel() >= 8 * _SLAB
        and x.shape[-2] * x.shape[-1] >= 2**13
        and (x.is_contiguous() or _is_channels_last(x))
        and all(
            r.transfer == "ideal" and r.band_edge == "symmetric" and 0.25 <= r.cutoff < 0.5
            for r in (rows, columns)
        )
    )


def lowpass_by_slabs(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """Subtract what the filter removes, a few planes at a time and in place.

    With an orthonormal basis B of the r frequencies removed, ``y - B (B' y)`` takes 2 r / n of the
    arithmetic of a matrix product.
    """
    height, width = x.shape[-2:]
    left = _removed(rows, height, x.dtype)
    right = _removed(columns, width, x.dtype)
    y = torch.empty_like(x)
    if not x.is_contiguous():
        _subtract_channels_last(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1), left, right)
        return y
    planes = max(1, _SLAB // (height * width))
    sources, targets = x.view(-1, height, width), y.view(-1, height, width)
    for first in range(0, len(sources), planes):
        target = targets[first : first + planes]
        target.copy_(sources[first : first + planes])
        flat = target.view(-1, width)
        flat.addmm_(flat @ right, right.t(), alpha=-1)
        basis = left.expand(len(target), *left.shape)
        target.baddbmm_(basis, torch.bmm(basis.mT, target), alpha=-1)
    return y


def _subtract_channels_last(x: Tensor, y: Tensor, left: Tensor, right: Tensor) -> None:
    """Write to y what is left of x, both (N, H, W, C): along the columns, then the rows."""
    n, height, width, channels = x.shape
    sources, targets = (t.view(n * height, width, channels) for t in (x, y))
    lines = max(1, _SLAB_CHANNELS_LAST // (width * channels))
    for first in range(0, len(sources), lines):
        target = targets[first : first + lines]
        target.copy_(sources[first : first + lines])
        basis = right.expand(len(target), *right.shape)
        target.baddbmm_(basis, torch.bmm(basis.mT, target), alpha=-1)
    span = max(64, _SLAB_CHANNELS_LAST // height)
    for image in y.view(n, height, width * channels):
        for target in image.split(span, 1):
            target.addmm_(left, left.t() @ target, alpha=-1)


@lru_cache(maxsize=32)
def _removed(response: Response, n: int, dtype: torch.dtype) -> Tensor:
    """Orthonormal columns [n, r] that span what an ideal filter removes."""
    with torch.inference_mode(False), torch.no_grad():
        gain, vectors = torch.linalg.eigh(matrix(response, n, torch.device("cpu")))
        basis: Tensor = vectors[:, gain < 0.5].to(dtype)
        return basis


def lowpass_by_fft(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """A real FFT, a product, and back, in float32 for the dtypes that the FFT lacks."""
    height, width = x.shape[-2:]
    y = x if x.dtype == torch.float64 else x.float()
    if rows.border == "reflect":
        y = torch.cat((y, y.flip(-2)), -2)
        y = torch.cat((y, y.flip(-1)), -1)
    row = gains(rows, height, x.device)
    column = gains(columns, width, x.device)
    # The real part of the inverse keeps the Hermitian part of a spectrum.
    gain = (row[:, None] * column + _negated(row)[:, None] * _negated(column)) / 2
    size = y.shape[-2:]
    spectrum = torch.fft.rfft2(y) * gain[:, : size[1] // 2 + 1].to(y.dtype)
    y = torch.fft.irfft2(spectrum, s=size)[..., :height, :width]
    return torch.empty_like(x).copy_(y)


def _negated(gain: Tensor) -> Tensor:
    """Gain at the negative of each frequency."""
    return gain.flip(0).roll(1, 0)
