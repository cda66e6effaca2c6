"""The low-pass by matrix products."""

from functools import lru_cache

import torch
from torch import Tensor

from dealias.spectral.response import Response, matrix, passes_all, unmatched
from dealias.spectral.tracing import is_plain


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
    if not x.is_contiguous() and is_channels_last(maps):
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


def is_channels_last(x: Tensor) -> bool:
    """Whether x is [N, C, H, W], stored as (N, H, W, C)."""
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
