"""Write label maps."""

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.labels.class_set import ClassSet


def write_label_map(file: Path | IO[bytes], labels: NDArray[Any], classes: ClassSet) -> None:
    """Write a label map as PNG that :func:`read_label_map` reads back as a prediction.

    Up to 256 classes are stored as indices into a palette with the class set's colours, more
    classes as 16-bit gray.

    Args:
        file: a path, or a file open for writing.
        labels: integers `[H, W]`, classes or void.
        classes: the class set.

    Raises:
        ValueError: labels are not integers `[H, W]`, or are outside 0 .. 65535; or there is void,
            which the class set's files do not store, as those of `binary`.
    """
    if labels.dtype.kind not in "iu" or labels.ndim != 2:
        raise ValueError(
            f"labels: expected integers [H, W], got {labels.dtype} {list(labels.shape)}"
        )
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if lowest < 0 or highest > 65535:
        raise ValueError(f"labels: expected 0..65535, got {lowest}..{highest}")
    void = classes.ignore_index
    meaning = classes.stored_labels(Path(), "prediction")  # of files of any name
    if meaning is not None and meaning.get(void) != void and (labels == void).any():
        raise ValueError(f"labels: expected classes of {classes.name!r}, got void, {void}")
    if highest > 255 or len(classes) > 256:
        Image.fromarray(labels.astype(np.uint16)).save(file, "png")
        return
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors()
    if classes.void_color is not None and 0 <= classes.ignore_index < 256:
        palette[classes.ignore_index] = classes.void_color
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette.tobytes())
    picture.save(file, "png")
