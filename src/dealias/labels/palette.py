"""Whether the indices of a palette image are labels, or its colours."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.images import ImageError
from dealias.labels.class_set import ClassSet, Role
from dealias.text import list_pixels


def palette_means_colors(path: Path, image: Image.Image, classes: ClassSet, role: Role) -> bool:
    """Whether the colours of a palette image say what its pixels are, and not their indices.

    Images quantised after they were drawn in the colours of the classes have them at indices of no
    meaning. So have palettes made for what is in the image alone.

    Args:
        path: the file, for its name.
        image: of mode "P".
        classes: the class set.
        role: as in :func:`read_label_map`.

    Returns:
        True where each colour in use is that of a class or of void, some at another index than
        their own. False for palettes in the order of the classes or of stored labels, of colours
        that no class has, and for those that run through gray or through VOC's colour map
        whatever the classes.

    Raises:
        ImageError: some colours in use are those of classes at other indices, and some are of no
            class.
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
    if named:  # else black alone, with which palettes of any kind begin
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
    color = bytes(entries[index]).hex() if index < len(entries) else "no colour"
    return f"{index}: #{color}" if index < len(entries) else f"{index}: {color}"


def _holds_indices(entries: NDArray[np.uint8], classes: int) -> bool:
    """Whether a palette of all classes or more is one that labels of any kind are saved with."""
    index = np.arange(len(entries))
    gray = np.repeat(index[:, None], 3, axis=1)
    voc = np.zeros((len(entries), 3), np.int64)
    for bit in range(8):  # VOC deals the bits of an index out to the channels, highest first
        channel = index[:, None] >> 3 * bit + np.arange(3) & 1 if bit < 3 else 0
        voc |= channel << 7 - bit
    return len(entries) >= classes and any(np.array_equal(entries, map_) for map_ in (gray, voc))
