"""Store pixel scores as planes for the scripts of a page, and paint them on pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Colours from low to high, as in the viewer: see static/layers.js.
_COLORS = np.array([[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]])
_NONE = 255  # no score


def heat_plane(scores: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return 254 times the square root of each score, and 255 where there is none."""
    known = np.isfinite(scores)
    root = np.sqrt(np.clip(np.where(known, scores, 0), 0, 1))
    return np.where(known, np.rint(254 * root), _NONE).astype(np.uint8)


def paint_heat(scores: NDArray[np.floating], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint scores over a dimmed picture.

    Args:
        scores: floating-point [H, W] in [0, 1], NaN where there is no score.
        background: uint8 [H, W, 3], the photograph or the colours of the target.

    Returns:
        uint8 [H, W, 3]: gray where the score is 0, and violet to pale yellow for higher scores.
        Pixels without a score are nearly black.
    """
    plane = heat_plane(scores)
    gray = background @ np.array([0.299, 0.587, 0.114])
    canvas = np.repeat((gray * np.where(plane == _NONE, 0.1, 0.35))[..., None], 3, axis=2)
    painted = (plane > 0) & (plane != _NONE)
    place = np.linspace(0, 254, len(_COLORS))
    levels = np.arange(256)
    table = np.stack([np.interp(levels, place, channel) for channel in _COLORS.T], axis=1)
    canvas[painted] = table[plane[painted]]
    return canvas.astype(np.uint8)
