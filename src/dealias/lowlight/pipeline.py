"""Turn bright images into dark ones, step by step."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from dealias.lowlight.camera import CANON_5D4, Camera
from dealias.lowlight.capture import Capture, per_image
from dealias.lowlight.noise import quantization_noise, read_noise, row_noise, shot_noise
from dealias.lowlight.unprocessing import (
    camera_to_srgb,
    demosaic,
    gamma_compression,
    gamma_expansion,
    inverse_smoothstep,
    inverse_white_balance,
    mosaic,
    smoothstep,
    srgb_to_camera,
    white_balance,
)

Output = Literal["raw", "srgb"]


def low_light(
    images: Tensor,
    capture: Capture,
    *,
    output: Output = "raw",
    camera: Camera = CANON_5D4,
    generator: Generator | None = None,
) -> Tensor:
    """Make bright photographs noisy, as if taken in the dark and brightened afterwards.

    Each image is converted back to the raw values of the sensor (:func:`to_raw`), darkened and made
    noisy (:func:`expose`), rounded to 8 bits and demosaiced.

    Args:
        images: sRGB [B, 3, H, W], uint8 in [0, 255] or floating point in [0, 1], at least 2x2.
        capture: parameters from :func:`draw_capture`, on the device of the images.
        output: "raw" gives the camera's linear RGB, as the RAW images of the LIS data set are;
            "srgb" develops it with the same white balance, colours, gamma and tone curve.
        camera: the camera whose levels and colours are used.
        generator: random generator on the device of the images; by default the global one.

    Returns:
        Images of the same shape, dtype and range. Floating-point "raw" values that were not
        interpolated are multiples of 1/255.

    Raises:
        ValueError: an unsupported shape, dtype or output.
    """
    check_images(images)
    check_output(output)
    if images.ndim != 4 or len(capture.ratio) != len(images):
        raise ValueError(
            f"images: expected shape [B, 3, H, W] with as many as capture has "
            f"({len(capture.ratio)}), got {tuple(images.shape)}"
        )
    raw = to_raw(to_unit(images), capture, camera=camera)
    dark = expose(raw, capture, camera=camera, generator=generator)
    image = demosaic((dark * 255).round() / 255)
    if output == "srgb":
        image = develop(image, capture, camera=camera)
    return from_unit(image, images.dtype)


def to_raw(images: Tensor, capture: Capture, *, camera: Camera = CANON_5D4) -> Tensor:
    """Convert sRGB [B, 3, H, W] in [0, 1] to the mosaic [B, H, W] in [0, 1] that a sensor saw."""
    linear = gamma_expansion(inverse_smoothstep(images))
    seen = srgb_to_camera(linear, camera)
    seen = inverse_white_balance(seen, capture.brightness, capture.red, capture.blue)
    return mosaic(seen.clamp(0, 1))


def expose(
    raw: Tensor,
    capture: Capture,
    *,
    camera: Camera = CANON_5D4,
    generator: Generator | None = None,
) -> Tensor:
    """Expose a mosaic [B, H, W] in [0, 1] with too little light, and brighten the result."""
    ratio = per_image(capture.ratio, raw, 2)
    signal = raw * camera.range / ratio
    noisy = shot_noise(signal, capture.system_gain, generator=generator)
    noisy = read_noise(noisy, capture.read_scale, capture.read_shape, generator=generator)
    noisy = row_noise(noisy, capture.row_scale, generator=generator)
    noisy = quantization_noise(noisy, generator=generator)
    return (noisy * ratio / camera.range).clamp(0, 1)


def develop(image: Tensor, capture: Capture, *, camera: Camera = CANON_5D4) -> Tensor:
    """Develop linear camera RGB [B, 3, H, W] to sRGB, both in [0, 1]."""
    balanced = white_balance(image, capture.brightness, capture.red, capture.blue).clamp(0, 1)
    linear = camera_to_srgb(balanced, camera)
    return smoothstep(gamma_compression(linear))


def to_unit(images: Tensor) -> Tensor:
    """Convert images to floating point in [0, 1], at least float32."""
    if images.dtype == torch.uint8:
        return images.float() / 255
    return images if images.dtype == torch.float64 else images.float()


def from_unit(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Undo :func:`to_unit`; values for uint8 are rounded and clipped."""
    if dtype == torch.uint8:
        return (images * 255).round().clamp(0, 255).to(dtype)
    return images.to(dtype)


def check_images(images: Tensor) -> None:
    """Raise ValueError unless `images` are RGB [..., 3, H, W], uint8 or finite floating point."""
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images: expected uint8 or floating point, got {images.dtype}")
    if images.ndim < 3 or images.shape[-3] != 3 or min(images.shape[-2:]) < 2:
        raise ValueError(
            f"images: expected shape [..., 3, H, W] of at least 2x2 pixels, "
            f"got {tuple(images.shape)}"
        )
    if images.is_floating_point() and not images.isfinite().all():
        raise ValueError("images: expected finite values in [0, 1], got others")


def check_output(output: str) -> None:
    """Raise ValueError unless `output` is an output of :func:`low_light`."""
    if output not in get_args(Output):
        names = " or ".join(map(repr, get_args(Output)))
        raise ValueError(f"output: expected {names}, got {output!r}")
