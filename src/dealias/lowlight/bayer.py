"""Bayer mosaics: from three colours per pixel to one, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

# Weights of the neighbours that have the missing colour: red or blue, and green.
_CROSS_AND_CORNERS = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))
_CROSS = ((0.0, 0.25, 0.0), (0.25, 1.0, 0.25), (0.0, 0.25, 0.0))


def mosaic(image: Tensor) -> Tensor:
    """Keep the colour of each pixel that a Bayer sensor sees: RGGB from the top left.

    Args:
        image: RGB [..., 3, H, W], of any dtype.

    Returns:
        [..., H, W].

    >>> mosaic(torch.tensor([1, 2, 3])[:, None, None].expand(3, 2, 3)).tolist()
    [[1, 2, 1], [2, 3, 2]]
    """
    raw = image[..., 1, :, :].clone()
    raw[..., ::2, ::2] = image[..., 0, ::2, ::2]
    raw[..., 1::2, 1::2] = image[..., 2, 1::2, 1::2]
    return raw


def demosaic(raw: Tensor) -> Tensor:
    """Undo :func:`mosaic`: fill in missing colours with the mean of the nearest pixels.

    Args:
        raw: floating point [..., H, W], RGGB from the top left, at least 2x2 pixels. It is
            mirrored at its border.

    Returns:
        RGB [..., 3, H, W].
    """
    height, width = raw.shape[-2:]
    row = torch.arange(height, device=raw.device)[:, None] % 2
    column = torch.arange(width, device=raw.device) % 2
    color = torch.stack([row + column == 0, row != column, row + column == 2])  # [3, H, W]
    planes = (raw.unsqueeze(-3) * color).reshape(-1, 3, height, width)
    kernels = torch.tensor(
        (_CROSS_AND_CORNERS, _CROSS, _CROSS_AND_CORNERS), dtype=raw.dtype, device=raw.device
    )
    # Mirrored without repeating the border pixel, so that the pattern goes on.
    image = conv2d(pad(planes, (1, 1, 1, 1), mode="reflect"), kernels[:, None], groups=3)
    return image.reshape(*raw.shape[:-2], 3, height, width)
