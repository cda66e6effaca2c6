"""Draw at random how an image was taken: gains, exposure and noise level."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from dealias.lowlight.camera import CANON_5D4, Camera, LogLine

EXPOSURE_RATIO = (10.0, 100.0)

_BRIGHTNESS = (0.8, 0.1)  # mean and standard deviation of the inverse gain
_RED = (1.9, 2.4)
_BLUE = (1.5, 1.9)


class Capture(NamedTuple):
    """Parameters of B dark photographs, [B] each.

    Attributes:
        brightness: gain of all channels.
        red: further gain of red, for white balance.
        blue: further gain of blue.
        ratio: exposure ratio, the factor by which the exposure is too short.
        system_gain: K, in digital numbers per electron.
        read_shape: lambda of the distribution of read noise.
        read_scale: scale of read noise, in digital numbers.
        row_scale: standard deviation of row noise, in digital numbers.
    """

    brightness: Tensor
    red: Tensor
    blue: Tensor
    ratio: Tensor
    system_gain: Tensor
    read_shape: Tensor
    read_scale: Tensor
    row_scale: Tensor


def draw_capture(
    count: int,
    *,
    ratio: float | tuple[float, float] = EXPOSURE_RATIO,
    camera: Camera = CANON_5D4,
    generator: Generator | None = None,
    device: torch.device | str = "cpu",
) -> Capture:
    """Draw parameters of `count` photographs.

    Args:
        count: number of photographs B, which are drawn independently.
        ratio: exposure ratio, at least 1; or the range (lowest, highest) of a uniform distribution.
        camera: the camera whose noise is used.
        generator: random generator on `device`; by default the global one.
        device: device of the result.

    Returns:
        float32 [B] each: brightness 1 / N(0.8, 0.1); red uniform in [1.9, 2.4] and blue in
        [1.5, 1.9]; the logarithm of the system gain uniform over the camera's range; the scales
        log-normal around the camera's lines; the read shape one of the camera's.

    Raises:
        ValueError: an exposure ratio is below 1.

    >>> draw_capture(2, ratio=30).ratio.tolist()
    [30.0, 30.0]
    """
    low, high = check_ratio(ratio)

    def uniform(start: float, end: float) -> Tensor:
        return start + (end - start) * torch.rand(count, generator=generator, device=device)

    def normal() -> Tensor:
        return torch.randn(count, generator=generator, device=device)

    def scale(line: LogLine, log_gain: Tensor) -> Tensor:
        return (line.slope * log_gain + line.bias + line.deviation * normal()).exp()

    mean, deviation = _BRIGHTNESS
    brightness = 1 / (mean + deviation * normal())
    red, blue, exposure = uniform(*_RED), uniform(*_BLUE), uniform(low, high)
    log_gain = uniform(*map(math.log, camera.system_gain))
    shapes = torch.tensor(camera.read_shapes, device=device)
    which = torch.randint(len(shapes), (count,), generator=generator, device=device)
    return Capture(
        brightness,
        red,
        blue,
        exposure,
        log_gain.exp(),
        shapes[which],
        scale(camera.read_scale, log_gain),
        scale(camera.row_scale, log_gain),
    )


def check_ratio(ratio: float | tuple[float, float]) -> tuple[float, float]:
    """Return a ratio as (lowest, highest); raise ValueError unless 1 <= lowest <= highest."""
    ends = ratio if isinstance(ratio, (list, tuple)) else (ratio, ratio)
    numbers = len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends)
    if not numbers or not 1 <= ends[0] <= ends[1] < math.inf:
        raise ValueError(f"ratio: expected a number from 1 on, or (lowest, highest), got {ratio!r}")
    return float(ends[0]), float(ends[1])


def per_image(value: Tensor | float, image: Tensor, dimensions: int) -> Tensor:
    """Reshape one number per image to broadcast over the last `dimensions` dimensions."""
    numbers = torch.as_tensor(value, device=image.device, dtype=image.dtype)
    return numbers.reshape(*numbers.shape, *(1,) * dimensions)
