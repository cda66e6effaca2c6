"""Draw the errors of one image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dealias.files import make_parents, write_whole
from dealias.images import read_photograph
from dealias.labels import ClassSet
from dealias.metrics.functional import ERROR_KINDS, error_map

# Distinguishable for colour-blind people, and from most scenes (Okabe and Ito, 2008).
ERROR_COLORS: dict[str, tuple[int, int, int]] = {
    "false_response": (230, 159, 0),
    "merging_mistake": (204, 121, 167),
    "displacement": (86, 180, 233),
    "interior": (0, 158, 115),
}


def draw_errors(
    errors: NDArray[np.uint8],
    background: NDArray[np.uint8],
    *,
    brightness: float = 0.35,
    opacity: float = 1.0,
) -> NDArray[np.uint8]:
    """Draw an error map over a dimmed background.

    Args:
        errors: uint8 [H, W], from :func:`dealias.metrics.functional.error_map`.
        background: uint8 [H, W, 3], the photograph or the colours of the target.
        brightness: brightness of the background, in [0, 1].
        opacity: opacity of the errors over it, in [0, 1].

    Returns:
        uint8 [H, W, 3]: gray, with each error in the colour of its kind in `ERROR_COLORS`; void
        is black.
    """
    looks = [(ERROR_COLORS[kind.key], opacity) for kind in ERROR_KINDS]
    return draw_marks(errors, background, looks, void=255, brightness=brightness)


def draw_marks(
    marks: NDArray[np.uint8],
    background: NDArray[np.uint8],
    looks: Sequence[tuple[Sequence[int], float]],
    *,
    void: int,
    brightness: float,
) -> NDArray[np.uint8]:
    """Draw marked pixels over a dimmed background.

    Args:
        marks: uint8 [H, W], the mark of each pixel; 0 for none.
        background: uint8 [H, W, 3].
        looks: colour in RGB and opacity in [0, 1] of each mark, from 1.
        void: mark of the pixels that are black.
        brightness: brightness of the background, in [0, 1].

    Returns:
        uint8 [H, W, 3]: the background in gray, with the marks over it.
    """
    gray = background @ np.array([0.299, 0.587, 0.114])
    canvas: NDArray[np.uint8]
    canvas = np.repeat((gray * brightness)[..., None], 3, axis=2).astype(np.uint8)
    canvas[marks == void] = 0
    for mark, (color, opacity) in enumerate(looks, start=1):
        found = marks == mark
        mixed = opacity * np.array(color) + (1 - opacity) * canvas[found]
        canvas[found] = np.rint(mixed).astype(np.uint8)
    return canvas


def write_error_map(
    path: Path,
    preds: Tensor,
    target: Tensor,
    classes: ClassSet,
    counting: Mapping[str, Any],
    image: Path | None,
) -> None:
    """Write the errors of one image as PNG, over its photograph, or its target if it has none.

    Args:
        path: the file.
        preds: predicted classes, integers [H, W].
        target: target classes or void, integers [H, W].
        classes: the class set, for the colours.
        counting: keyword arguments of :func:`dealias.metrics.functional.error_map`.
        image: the photograph, resized to the size of the labels if necessary; or None.

    Raises:
        ImageError: the photograph can't be read.
        OutputError: the file can't be written.
    """
    errors = error_map(preds, target, **counting).numpy()
    if image is None:
        background = classes.paint(target.numpy())
    else:
        background = read_photograph(image, (errors.shape[1], errors.shape[0]))
    make_parents(path)
    with write_whole(path) as file:
        Image.fromarray(draw_errors(errors, background)).save(file, "png")
