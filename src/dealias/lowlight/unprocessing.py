"""Convert sRGB to the raw values of a sensor, and back.

The steps are those of Brooks et al., "Unprocessing images for learned raw denoising" (CVPR 2019).
All except the mosaic take floating-point images with values in [0, 1], and all accept any leading
batch dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from dealias.lowlight.camera import CANON_5D4, Camera
from dealias.lowlight.capture import per_image

GAMMA = 2.2
INFLECTION = 0.9
# Weights of the neighbours that have the missing colour, for red or blue and for green.
_CROSS_AND_CORNERS = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))
_CROSS = ((0.0, 0.25, 0.0), (0.25, 1.0, 0.25), (0.0, 0.25, 0.0))


def smoothstep(image: Tensor) -> Tensor:
    """Apply the tone curve of a camera, 3 x^2 - 2 x^3; values are clipped to [0, 1].

    >>> smoothstep(torch.tensor([0.0, 0.25, 0.5, 1.0])).tolist()
    [0.0, 0.15625, 0.5, 1.0]
    """
    x = image.clamp(0, 1)
    return x * x * (3 - 2 * x)


def inverse_smoothstep(image: Tensor) -> Tensor:
    """Undo :func:`smoothstep`: 1/2 - sin(asin(1 - 2 y) / 3); values are clipped to [0, 1]."""
    return 0.5 - torch.sin(torch.asin(1 - 2 * image.clamp(0, 1)) / 3)


def gamma_expansion(image: Tensor) -> Tensor:
    """Make gamma-encoded values linear: x^2.2; negative ones become 0."""
    return image.clamp_min(0).pow(GAMMA)


def gamma_compression(image: Tensor) -> Tensor:
    """Undo :func:`gamma_expansion`: x^(1/2.2); negative values become 0."""
    return image.clamp_min(0).pow(1 / GAMMA)


def camera_to_srgb(image: Tensor, camera: Camera = CANON_5D4) -> Tensor:
    """Apply the colour matrix of a camera to white-balanced linear RGB [..., 3, H, W]."""
    matrix = torch.tensor(camera.color_matrix, dtype=torch.float64)
    return _mix(image, matrix)


def srgb_to_camera(image: Tensor, camera: Camera = CANON_5D4) -> Tensor:
    """Undo :func:`camera_to_srgb`; gray stays gray."""
    matrix = torch.tensor(camera.color_matrix, dtype=torch.float64)
    return _mix(image, torch.linalg.inv(matrix))


def white_balance(
    image: Tensor, brightness: Tensor | float, red: Tensor | float, blue: Tensor | float
) -> Tensor:
    """Brighten linear camera RGB and balance its channels.

    Args:
        image: [..., 3, H, W].
        brightness: gain of all channels; a number, or one per image [...].
        red: further gain of red.
        blue: further gain of blue.
    """
    return image * _gains(image, brightness, red, blue)


def inverse_white_balance(
    image: Tensor, brightness: Tensor | float, red: Tensor | float, blue: Tensor | float
) -> Tensor:
    r"""Undo :func:`white_balance`, but keep saturated pixels saturated.

    A white pixel was clipped by the camera, so dividing it by the gains would turn a lamp into a
    coloured spot. Above a mean of 0.9, the gains g = 1 / (brightness, red, blue) fade to 1:

    .. math:: \max(m^2 + (1 - m^2) g, g), \quad m = \max(\bar x - 0.9, 0) / 0.1

    Args:
        image: [..., 3, H, W].
        brightness: see :func:`white_balance`.
        red: see there.
        blue: see there.

    >>> image = torch.tensor([0.5, 1.0]).expand(3, 1, 2)
    >>> inverse_white_balance(image, 1.25, 2, 1.6)[:, 0].mul(100).round().tolist()
    [[20.0, 100.0], [40.0, 100.0], [25.0, 100.0]]
    """
    gains = 1 / _gains(image, brightness, red, blue)
    gray = image.mean(-3, keepdim=True)
    fade = ((gray - INFLECTION) / (1 - INFLECTION)).clamp(0, 1).square()
    return image * torch.maximum(fade + (1 - fade) * gains, gains)


def mosaic(image: Tensor) -> Tensor:
    """Keep the colour that a Bayer sensor sees at each pixel: RGGB from the top left.

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
    # Mirrored without repeating the border pixel, so that the pattern continues.
    image = conv2d(pad(planes, (1, 1, 1, 1), mode="reflect"), kernels[:, None], groups=3)
    return image.reshape(*raw.shape[:-2], 3, height, width)


def _mix(image: Tensor, matrix: Tensor) -> Tensor:
    weights = matrix.to(image.device, image.dtype)
    return torch.einsum("oi,...ihw->...ohw", weights, image)


def _gains(
    image: Tensor, brightness: Tensor | float, red: Tensor | float, blue: Tensor | float
) -> Tensor:
    """Gains [..., 3, 1, 1], or [3, 1, 1]."""
    gains = (per_image(value, image, 3) for value in (brightness, red, blue))
    gain, of_red, of_blue = torch.broadcast_tensors(*gains)  # type: ignore[no-untyped-call]
    return torch.cat([gain * of_red, gain, gain * of_blue], -3)
