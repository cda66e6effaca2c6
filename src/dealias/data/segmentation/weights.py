"""Weights of classes in a loss, from their frequencies in the training split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from dealias.inputs import read_json
from dealias.labels import ClassSet
from dealias.text import FileError, shorten

PIXELS, IMAGE_PIXELS = "class_pixels", "class_image_pixels"  # keys of `dealias data check --output`


def class_weights(pixels: Sequence[int], image_pixels: Sequence[int]) -> list[float]:
    """Weigh classes by median-frequency balancing.

    The frequency of a class is its share of the pixels of the images in which it occurs. Its weight
    is the median of all frequencies divided by its own (Eigen and Fergus, "Predicting Depth,
    Surface Normals and Semantic Labels with a Common Multi-Scale Convolutional Architecture", ICCV
    2015), so rare classes weigh more, without a limit. Void is not a class. A class without a pixel
    has no frequency: it is left out of the median, and its weight is 0, which applies to no pixel
    of these images.

    Args:
        pixels: number of pixels of each of C classes.
        image_pixels: number of pixels, including void, of the images with each of C classes.

    Returns:
        C weights, each 0 or more.

    Raises:
        ValueError: no class has a pixel, or the counts are impossible.

    >>> class_weights([60, 30, 10, 0], [100, 100, 100, 0])
    [0.5, 1.0, 3.0, 0.0]
    """
    if len(pixels) != len(image_pixels):
        raise ValueError(
            f"image_pixels: expected {len(pixels)} counts, one a class, got {len(image_pixels)}"
        )
    counts = list(zip(pixels, image_pixels, strict=True))
    for own, around in counts:
        if not (0 < own <= around or own == around == 0):
            raise ValueError(
                f"pixels: expected counts from 0 to those of the images that the class is in, got "
                f"{shorten(own)} of {shorten(around)}"
            )
    shares = [own / around for own, around in counts if own]
    if not shares:
        raise ValueError("pixels: expected a pixel of any class, got none")
    return [median(shares) * around / own if own else 0.0 for own, around in counts]


def read_class_weights(path: Path, classes: ClassSet) -> list[float]:
    """Weigh classes by the counts of ``dealias data check --output`` in the training split.

    Args:
        path: the JSON file of the check.
        classes: the class set; the file must have the same classes, in any order.

    Returns:
        The weights of :func:`class_weights`, in the order of `classes`.

    Raises:
        FileError: the file can't be read, is not such a file, has no training split, has other
            classes, or has no class with a pixel.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "splits" not in content:
        raise FileError(path, "expected what `dealias data check --output` writes")
    counts = [_counts(path, content.get(key), key, classes) for key in (PIXELS, IMAGE_PIXELS)]
    try:
        return class_weights(*counts)
    except ValueError as error:
        raise FileError(path, f"{PIXELS}: {error}; the data are to be checked again") from error


def _counts(path: Path, found: Any, key: str, classes: ClassSet) -> list[int]:
    if not isinstance(found, dict):
        raise FileError(
            path,
            f"{key}: expected pixels by class: `dealias data check` writes them if it reads the "
            f"training split, got {shorten(found)}",
        )
    if set(found) != set(classes.names):
        missing = [name for name in classes.names if name not in found]
        strange = [name for name in found if name not in classes.names]
        raise FileError(
            path,
            f"{key}: expected the {len(classes)} classes of {shorten(classes.name)}, got "
            f"{len(found)}, without {shorten(missing[:4])} and with {shorten(strange[:4])}: the "
            f"data are to be checked with this class set",
        )
    counts = [found[name] for name in classes.names]
    wrong = [count for count in counts if type(count) is not int or count < 0]
    if wrong:
        raise FileError(path, f"{key}: expected counts of pixels, got {shorten(wrong[0])}")
    return counts
