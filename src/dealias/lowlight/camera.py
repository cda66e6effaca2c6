"""Camera models: levels, colours and calibrated noise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogLine:
    r"""A scale that depends on the system gain K: log(scale) = slope log K + bias +- deviation."""

    slope: float
    bias: float
    deviation: float


@dataclass(frozen=True)
class Camera:
    """Levels, colours and calibrated noise of a camera.

    Attributes:
        white_level: value of a saturated pixel, in digital numbers.
        black_level: value of a pixel without light, in digital numbers.
        color_matrix: rows of the matrix from camera RGB to linear sRGB, after white balance.
        system_gain: (lowest, highest) gain K, in digital numbers per electron.
        read_shapes: shapes of the Tukey-lambda distribution of read noise, one per measured ISO
            setting.
        read_scale: scale of read noise, in digital numbers.
        row_scale: standard deviation of row noise, in digital numbers.
    """

    white_level: int
    black_level: int
    color_matrix: tuple[tuple[float, float, float], ...]
    system_gain: tuple[float, float]
    read_shapes: tuple[float, ...]
    read_scale: LogLine
    row_scale: LogLine

    @property
    def range(self) -> int:
        """The range from black to white, in digital numbers."""
        return self.white_level - self.black_level


# Wei et al., "A physics-based noise formation model for extreme low-light raw denoising" (CVPR
# 2020) measured the noise; the shapes are those of their calibration, in steps of 1/70.
CANON_5D4 = Camera(
    white_level=16383,
    black_level=512,
    color_matrix=(
        (2.04840695, -1.27161572, 0.22320878),
        (-0.22163155, 1.77694640, -0.55531485),
        (-0.00770995, -0.59257895, 1.60028890),
    ),
    system_gain=(0.218, 13.96),
    read_shapes=tuple(n / 70 for n in (11, 10, 6, 6, 14, 14, 7, 6, 4, 5, 2, 2, 1, 2, 6, 5, 8, 8)),
    read_scale=LogLine(slope=0.656, bias=1.093, deviation=0.286),
    row_scale=LogLine(slope=0.471, bias=-0.808, deviation=0.244),
)
