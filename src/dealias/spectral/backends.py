"""Three backends for the low-pass: matrix products, slabs, and Fourier transforms."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal, get_args

import torch
from torch import Tensor

from dealias.spectral.arguments import check_choice, is_plain, is_traced
from dealias.spectral.response import Response, gains, matrix, passes_all, unmatched

Backend = Literal["auto", "fft", "matmul", "slabs"]

# Rows plus columns above which the FFT is faster than two matrix products.
_LARGE = 1536
# Elements of a slab, which must fit into the processor's second-level cache.
_SLAB = 2**17
_SLAB_CHANNELS_LAST = 2**19


def check_backend(backend: Backend, *responses: Response) -> None:
    """Raise ValueError if the backend is unknown, or can't run these responses."""
    check_choice("backend", backend, get_args(Backend))
    if backend == "slabs" and not all(map(_is_projection, responses)):
        raise ValueError("backend='slabs' needs transfer='ideal' and band_edge='symmetric'")


def choose_backend(
    x: Tensor, rows: Response, columns: Response, backend: Backend = "auto"
) -> Literal["fft", "matmul", "slabs"]:
    """Return the backend to use for a map: the given one, or the fastest with "auto".

    Exports by ``torch.onnx.export`` use matrix products instead of the FFT, because ONNX Runtime
    fails on the inverse of a real FFT.

    Args:
        x: [..., H, W].
        rows: a checked response.
        columns: a checked response.
        backend: a backend checked by :func:`check_backend`.

    Raises:
        ValueError: the backend is "slabs", but ``x`` is traced, needs a gradient, is not on a CPU,
            or is neither contiguous nor channels-last.
    """
    if backend == "slabs":
        if not _fits_slabs(x):
            raise ValueError(
                "backend='slabs' needs maps on a CPU, contiguous or channels-last, which are not "
                "traced and need no gradient; backend='auto' takes what runs"
            )
        return "slabs"
    if torch.onnx.is_in_onnx_export():
        return "matmul"
    if backend != "auto":
        return backend
    if not is_traced() and x.shape[-2] + x.shape[-1] > _LARGE:
        return "fft"
    return "slabs" if _suits_slabs(x, rows, columns) else "matmul"


def apply_lowpass(
    x: Tensor,
    rows: Response,
    columns: Response,
    backend: Backend = "auto",
    keep: tuple[slice, slice] | None = None,
) -> Tensor:
    """Run :func:`lowpass` without checks, for filters that store checked responses.

    Args:
        x: [..., H, W], checked by :func:`check_maps`.
        rows: response along the rows, from :func:`check_responses`.
        columns: response along the columns.
        backend: a backend checked by :func:`check_backend`.
        keep: samples along the rows and the columns to return, by default all. Matrix products
            compute only these samples.

    Returns:
        See :func:`lowpass`.

    Raises:
        ValueError: see :func:`choose_backend`.
    """
    if keep is None and passes_all(rows) and passes_all(columns):
        return x
    chosen = choose_backend(x, rows, columns, backend)
    run: Callable[..., Tensor] = _RUN[chosen]
    if keep is not None:
        if chosen == "fft" or "official" in (rows.band_edge, columns.band_edge):
            return apply_lowpass(x, rows, columns, backend)[..., keep[0], keep[1]]
        run = partial(_sampled, keep=keep)
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            return run(x, rows, columns)
    return run(x, rows, columns)


def _by_matmul(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """Filter by two matrix products, and two more if both bands are unmatched."""
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


def _sampled(x: Tensor, rows: Response, columns: Response, *, keep: tuple[slice, slice]) -> Tensor:
    """Compute only the rows and columns to keep of the filtered map; bands must be symmetric."""
    left = right = None
    height, width = x.shape[-2:]
    if passes_all(rows):
        x = x[..., keep[0], :]
    else:
        left = response_matrix(rows, height, x)[keep[0]]
    if passes_all(columns):
        x = x[..., keep[1]]
    else:
        right = response_matrix(columns, width, x)[keep[1]]
    return x if left is None and right is None else _between(left, x, right)


def response_matrix(response: Response, n: int, like: Tensor, *, imaginary: bool = False) -> Tensor:
    """Return the matrix of a response, with the dtype and device of a tensor."""
    if not is_plain(like):
        # The cache must not keep a fake or wrapped tensor beyond its trace.
        return matrix(response, n, like.device, imaginary=imaginary).to(like.dtype)
    return _cached_matrix(response, n, like.dtype, like.device, imaginary)


@lru_cache(maxsize=64)
def _cached_matrix(
    response: Response, n: int, dtype: torch.dtype, device: torch.device, imaginary: bool
) -> Tensor:
    # A tensor created in inference mode can't be saved for a backward pass.
    with torch.inference_mode(False), torch.no_grad():
        return matrix(response, n, torch.device("cpu"), imaginary=imaginary).to(dtype).to(device)


def _between(left: Tensor | None, x: Tensor, right: Tensor | None) -> Tensor:
    """Return the product ``left @ x @ right.T`` over the last two dimensions."""
    maps = x.unsqueeze(0) if x.ndim == 3 else x
    if not x.is_contiguous() and _is_channels_last(maps):
        y = _between_channels_last(left, maps, right)
        return y if x.ndim == 4 else y.squeeze(0)
    height, width = x.shape[-2:]
    y = x.contiguous().view(-1, height, width)
    if right is not None:
        y = torch.mm(y.view(-1, width), right.t()).view(-1, height, right.shape[0])
    if left is not None:
        y = torch.bmm(left.expand(y.shape[0], *left.shape), y)
    return y.view(*x.shape[:-2], *y.shape[-2:])


def _between_channels_last(left: Tensor | None, x: Tensor, right: Tensor | None) -> Tensor:
    n, channels, height, width = x.shape
    y = x.permute(0, 2, 3, 1)  # [B, H, W, C], contiguous
    if right is not None:
        y = torch.bmm(right.expand(n * height, *right.shape), y.view(n * height, width, channels))
        width = right.shape[0]
    if left is not None:
        y = torch.bmm(left.expand(n, *left.shape), y.view(n, height, width * channels))
        height = left.shape[0]
    return y.view(n, height, width, channels).permute(0, 3, 1, 2)


def _is_channels_last(x: Tensor) -> bool:
    """Whether x is [B, C, H, W] in channels-last memory format."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _is_projection(response: Response) -> bool:
    return response.transfer == "ideal" and response.band_edge == "symmetric"


def _fits_slabs(x: Tensor) -> bool:
    """Whether a map can be filtered in place: on a CPU, without gradient or tracing."""
    return (
        is_plain(x)
        and not (torch.is_grad_enabled() and x.requires_grad)
        and x.device.type == "cpu"
        and (x.is_contiguous() or _is_channels_last(x))
    )


def _suits_slabs(x: Tensor, rows: Response, columns: Response) -> bool:
    """Whether slabs are fastest, as they are for large maps if the filter removes little."""
    return (
        _fits_slabs(x)
        and x.numel() >= 8 * _SLAB
        and x.shape[-2] * x.shape[-1] >= 2**13
        and all(_is_projection(r) and 0.25 <= r.cutoff < 0.5 for r in (rows, columns))
    )


def _by_slabs(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """Subtract the removed frequencies in place, a few planes at a time.

    With an orthonormal basis B of the r removed frequencies, ``y - B (B' y)`` needs 2 r / n of the
    operations of a matrix product.
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
    """Write the filtered x to y, both [B, H, W, C]: first along the columns, then the rows."""
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
    """Return an orthonormal basis [n, r] of the frequencies that an ideal filter removes."""
    with torch.inference_mode(False), torch.no_grad():
        gain, vectors = torch.linalg.eigh(matrix(response, n, torch.device("cpu")))
        basis: Tensor = vectors[:, gain < 0.5].to(dtype)
        return basis


def _by_fft(x: Tensor, rows: Response, columns: Response) -> Tensor:
    """Filter by a real FFT, a product and the inverse FFT, in float32 for dtypes without an FFT."""
    height, width = x.shape[-2:]
    y = x if x.dtype == torch.float64 else x.float()
    if rows.border == "reflect":
        y = torch.cat((y, y.flip(-2)), -2)
        y = torch.cat((y, y.flip(-1)), -1)
    row = gains(rows, height, x.device)
    column = gains(columns, width, x.device)
    # The real part of the inverse is that of the Hermitian part of the spectrum.
    gain = (row[:, None] * column + _negated(row)[:, None] * _negated(column)) / 2
    size = y.shape[-2:]
    spectrum = torch.fft.rfft2(y) * gain[:, : size[1] // 2 + 1].to(y.dtype)
    y = torch.fft.irfft2(spectrum, s=size)[..., :height, :width]
    return torch.empty_like(x).copy_(y)


def _negated(gain: Tensor) -> Tensor:
    """Return the gain at the negative of each frequency."""
    return gain.flip(0).roll(1, 0)


_RUN = {"matmul": _by_matmul, "slabs": _by_slabs, "fft": _by_fft}
