"""Pictures of the errors of one image."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation._files import write_whole
from dealias.labels import ClassSet, LabelFileError
from dealias.metrics.functional import ERROR_KINDS

# Told apart by colour-blind people, and from most scenes (Okabe and Ito, 2008).
ERROR_COLORS: dict[str, tuple[int, int, int]] = {
    "false_response": (230, 159, 0),
    "merging_mistake": (204, 121, 167),
    "displacement": (86, 180, 233),
    "interior": (240, 228, 66),
}


def draw_errors(
    errors: NDArray[np.uint8],
    target: NDArray[Any],
    classes: ClassSet,
    image: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Draw an error map over the dimmed image, or over the target where there is none.

    Args:
        errors: (H, W), from :func:`dealias.metrics.functional.error_map`.
        target: (H, W), classes.
        classes: their set, for the colours.
        image: (H, W, 3), or None.

    Returns:
        uint8 (H, W, 3), with one colour of `ERROR_COLORS` an error kind and void black.
    """
    if image is None:
        known = np.minimum(target, len(classes) - 1)
        image = classes.colors()[known]
    gray = image @ np.array([0.299, 0.587, 0.114])
    canvas = np.repeat((gray * 0.35)[..., None], 3, axis=2).astype(np.uint8)
    canvas[errors == 255] = 0
    for mark, kind in enumerate(ERROR_KINDS, start=1):
        canvas[errors == mark] = ERROR_COLORS[kind.key]
    return canvas


def read_image(path: Path, target: NDArray[Any]) -> NDArray[np.uint8]:
    """Read a photograph as (H, W, 3), resized to the size of `target` if need be.

    Raises:
        LabelFileError: a file that can't be read.
    """
    try:
        with Image.open(path) as image:
            pixels = image.convert("RGB").resize(target.shape[::-1])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LabelFileError(path, f"can't be read as an image: {error}") from error
    return np.asarray(pixels)


def write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write (H, W) or (H, W, 3) as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as file:
        Image.fromarray(pixels).save(file, "png")
