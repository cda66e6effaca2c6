"""Decide whether the labels of a palette image are its indices or its colours."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.images import ImageError
from dealias.labels.class_set import ClassSet, Role
from dealias.text import list_pixels


def palette_means_colors(path: Path, image: Image.Image, classes: ClassSet, role: Role) -> bool:
    """Whether the colours of a palette image give its labels, and not its indices.

    Indices have no meaning in an image that was drawn in the colours of the classes and then
    quantised, or whose palette has only the colours that are used.

    Args:
        path: the file, for messages.
        image: image of mode "P".
        classes: the class set.
        role: as for :func:`read_label_map`.

    Returns:
        True if every colour in use is that of a class or of void, and some have other indices than
        their labels. False for palettes in the order of the classes or of the stored labels, also
        with colours repeated after them as padding; for palettes with colours of no class; and,
        whatever the classes are, for gray palettes and VOC's colour map.

    Raises:
        ImageError: some of the colours in use are those of classes with other indices, and some
            belong to no class.
    """
    entries = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    labels_of = classes.labels_of_colors()
    meaning = classes.stored_labels(path, role) or {}
    found = [labels_of.get((int(r), int(g), int(b)), frozenset()) for r, g, b in entries]
    in_place: set[bytes] = set()
    elsewhere: set[int] = set()
    for i, (labels, color) in enumerate(zip(found, map(bytes, entries), strict=True)):
        if labels & {i, meaning.get(i, i)}:
            in_place.add(color)
        elif labels and color not in in_place:  # what repeats a colour in its place is padding
            elsewhere.add(i)
    if not elsewhere or _holds_indices(entries, len(classes)):
        return False
    pixels = {i: n for i, n in enumerate(image.histogram()) if n}
    elsewhere &= pixels.keys()
    unknown = [i for i in pixels if i >= len(found) or not found[i]]
    if not unknown:
        return bool(elsewhere)
    named = [i for i in sorted(elsewhere) if found[i] != {classes.ignore_index}]
    if named:  # void alone does not count: like the start of most palettes, it is often black
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
    """Whether a palette covers all classes and is gray or VOC's, which tools use for any labels."""
    index = np.arange(len(entries))
    gray = np.repeat(index[:, None], 3, axis=1)
    voc = np.zeros((len(entries), 3), np.int64)
    for bit in range(8):  # VOC spreads the bits of an index over the channels
        channel = index[:, None] >> 3 * bit + np.arange(3) & 1 if bit < 3 else 0
        voc |= channel << 7 - bit
    return len(entries) >= classes and any(np.array_equal(entries, map_) for map_ in (gray, voc))
