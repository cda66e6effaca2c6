"""Whether the labels of a palette image are its indices or its colours."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.images import ImageError
from dealias.labels.class_set import ClassSet, Role
from dealias.text import list_pixels


def palette_means_colors(path: Path, image: Image.Image, classes: ClassSet, role: Role) -> bool:
    """Whether the labels of a palette image are given by its colours instead of its indices.

    In an image that was drawn in the colours of the classes and then quantised, or that has a
    palette of only the colours it uses, indices have no meaning.

    Args:
        path: the file, for messages.
        image: image of mode "P".
        classes: the class set.
        role: as for :func:`read_label_map`.

    Returns:
        True if every colour in use is that of a class or of void, and some are at other indices
        than their labels. False for palettes in the order of the classes or of stored labels, for
        palettes of colours that no class has, and, whatever the classes, for those that are gray or
        VOC's colour map.

    Raises:
        ImageError: of the colours in use, some are those of classes at other indices, and some are
            of no class.
    """
    entries = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    labels_of = classes.labels_of_colors()
    meaning = classes.stored_labels(path, role) or {}
    found = [labels_of.get((int(r), int(g), int(b)), frozenset()) for r, g, b in entries]
    elsewhere = {i for i, labels in enumerate(found) if labels - {i, meaning.get(i, i)} == labels}
    elsewhere -= {i for i, labels in enumerate(found) if not labels}
    if not elsewhere or _holds_indices(entries, len(classes)):
        return False
    pixels = {i: n for i, n in enumerate(image.histogram()) if n}
    elsewhere &= pixels.keys()
    unknown = [i for i in pixels if i >= len(found) or not found[i]]
    if not unknown:
        return bool(elsewhere)
    named = [i for i in sorted(elsewhere) if found[i] != {classes.ignore_index}]
    if named:  # void alone does not count: it is often black, as is the start of most palettes
        apart = {
            what: list_pixels([(_name(entries, i), pixels[i]) for i in chosen])
            for what, chosen in (("known", named), ("unknown", unknown))
        }
        raise ImageError(
            path,
            f"a palette of which some colours are those of classes of {classes.name!r} at other "
            f"indices ({apart['known']}) and some are of no class ({apart['unknown']}): "
            "indices or colours may be meant",
        )
    return False


def _name(entries: NDArray[np.uint8], index: int) -> str:
    color = f"#{bytes(entries[index]).hex()}" if index < len(entries) else "no colour"
    return f"{index}: {color}"


def _holds_indices(entries: NDArray[np.uint8], classes: int) -> bool:
    """Whether a palette has all classes and is gray or VOC's, which any labels are saved with."""
    index = np.arange(len(entries))
    gray = np.repeat(index[:, None], 3, axis=1)
    voc = np.zeros((len(entries), 3), np.int64)
    for bit in range(8):  # VOC distributes the bits of an index over the channels
        channel = index[:, None] >> 3 * bit + np.arange(3) & 1 if bit < 3 else 0
        voc |= channel << 7 - bit
    return len(entries) >= classes and any(np.array_equal(entries, map_) for map_ in (gray, voc))
