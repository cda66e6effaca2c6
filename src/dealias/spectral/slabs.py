"""The ideal filter for large maps on a CPU, where memory rather than arithmetic sets the pace."""

from functools import lru_cache

import torch
from torch import Tensor

from dealias.spectral.matmul import is_channels_last
from dealias.spectral.response import Response, matrix
from dealias.spectral.tracing import is_plain

# Elements of a slab: small enough for the processor's second-level cache.
_SLAB = 2**17
_SLAB_CHANNELS_LAST = 2**19


def suits_slabs(x: Tensor, rows: Response, columns: Response) -> bool:
    """Whether this way is the fastest: a large map, not watched, that loses little."""
    recorded = torch.is_grad_enabled() and x.requires_grad
    return (
        is_plain(x)
        and not recorded
        and x.device.type == "cpu"
        and x.numel() >= 8 * _SLAB
        and x.shape[-2] * x.shape[-1] >= 2**13
        and (x.is_contiguous() or is_channels_last(x))
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
