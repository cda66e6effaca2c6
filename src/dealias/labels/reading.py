"""Read label maps from files."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.arrays import open_member, open_npz, read_array
from dealias.images import ImageError, open_image, too_many
from dealias.inputs import open_regular
from dealias.labels.class_set import ClassSet, Role
from dealias.labels.lossless import JPEG_REASON, JPEG_SUFFIXES, check_lossless
from dealias.labels.palette import palette_means_colors
from dealias.labels.scores import ScoresError, labels_of_channels, whole_numbers
from dealias.text import FileError, list_pixels, reason, shorten

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".webp")
LABEL_SUFFIXES = (*IMAGE_SUFFIXES, ".npy", ".npz")

_INDEX_MODES = ("1", "L", "P", "I;16", "I;16B", "I;16L", "I")
_BAND = 2**22  # pixels
# Pillow scales labels of 2 and 4 bits to 0 .. 255.
_SPREAD = {"L;2": 85, "L;2R": 85, "L;4": 17, "L;4R": 17}
# Formats that Pillow changes when it reads them: inverted gray, and colours cut to 8 bits.
_CHANGED = frozenset(
    [f"{gray};{bits}I{order}" for gray in "1L" for bits in ("", "2", "4") for order in ("", "R")]
    + [f"{colors};16{order}" for colors in ("RGB", "RGBA") for order in "BLN"]
)


class LabelFileError(FileError):
    """A file is not a label map of its class set."""


def read_label_map(path: Path, classes: ClassSet, role: Role) -> NDArray[np.integer]:
    """Read a label map as classes.

    Args:
        path: PNG, TIFF, BMP or lossless WebP (1 to 16 bits of gray, 32-bit integers or floating
            point, a palette, or RGB in the colours of `classes`); NPY, or NPZ with a single array:
            labels `[H, W]` or `[1, H, W]`, a one-hot map `[C, H, W]`, or scores of a prediction
            `[C, H, W]`, see :func:`labels_of_channels`. Except for scores, floating-point values
            must be whole numbers. Pixels are read as stored: a rotation in the metadata is ignored.
            A palette image is read by index, or by colour if all its colours are those of `classes`
            at other indices. WebP has no gray, so pixels with equal channels are labels if
            `classes` has no palette.
        classes: the class set. Its `label_map`, `reduce_zero_label`, `palette` and `color_map` are
            applied.
        role: "prediction"; "target", which may store other labels than class numbers; or "stored"
            for predictions that store the same labels as targets.

    Returns:
        Integers `[H, W]`, uint8 if the labels fit. Labels that no rule of `classes` covers are
        kept; they are refused when they are counted.

    Raises:
        LabelFileError: the file does not exist; it is not a label map, is truncated, or has more
            pixels or values than :func:`dealias.images.max_pixels`; its compression changes labels,
            as that of JPEG does; a colour is not in the palette; a palette has some colours of
            classes at other indices and some of no class; scores decide nothing; stored labels are
            not in the label map; or two stored labels mean one class, of which only one can be
            meant.
    """
    suffix = path.suffix.lower()
    if suffix not in LABEL_SUFFIXES:
        why = f"; {JPEG_REASON}" if suffix in JPEG_SUFFIXES else ""
        raise LabelFileError(path, f"expected one of {', '.join(LABEL_SUFFIXES)}{why}")
    try:
        if suffix in IMAGE_SUFFIXES:
            stored = _read_image(path, classes, role)
        else:
            array = _read_array(path, len(classes))
            if array.ndim == 3 and len(array) > 1 and array.size:
                return _narrow(labels_of_channels(path, array, role))
            stored = _plain(path, array)
    except (ImageError, ScoresError) as error:
        raise LabelFileError(path, error.problem) from error
    if stored.size == 0:
        raise LabelFileError(path, f"expected at least one pixel, got shape {list(stored.shape)}")
    if stored.ndim == 3:
        return _from_colors(path, stored, classes)
    stored = _narrow(stored)
    meaning = classes.stored_labels(path, role)
    if meaning is None:
        return stored
    return _translate(path, stored, meaning, single=classes.single_labels)


def _read_image(path: Path, classes: ClassSet, role: Role) -> NDArray[np.integer]:
    """Read labels `[H, W]` or colours `[H, W, 3]`."""
    with open_image(path) as (image, stored_as):
        check_lossless(path, image)
        if image.mode == "P" and palette_means_colors(path, image, classes, role):
            return np.array(image.convert("RGB"))
        if stored_as in _SPREAD:
            return np.array(image) // _SPREAD[stored_as]
        if image.mode == "F":
            return whole_numbers(path, np.array(image))
        if image.mode in (*_INDEX_MODES, "RGB") and stored_as not in _CHANGED:
            pixels = np.array(image)
        elif image.mode == "RGBA" and stored_as not in _CHANGED:
            pixels = _opaque(path, np.array(image))
        else:
            pixels = None
        if pixels is not None and image.format == "WEBP" and classes.palette is None:
            return _gray(pixels)
    if pixels is not None:
        return pixels
    raise LabelFileError(path, f"expected gray, palette or 8-bit RGB, got {stored_as!r}")


def _opaque(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (pixels[..., 3] != 255).any():
        raise LabelFileError(path, "expected opaque colours, got transparent pixels")
    return pixels[..., :3]


def _gray(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert colours with equal channels back to gray; return others as they are."""
    gray = pixels[..., 0]
    return gray if (pixels == gray[..., None]).all() else pixels


def _read_array(path: Path, channels: int) -> NDArray[Any]:
    """Read an NPY file, or the only array in an NPZ file: [H, W], [1, H, W] or [channels, H, W]."""

    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        _check_array(path, shape, dtype, channels)

    try:
        if path.suffix.lower() == ".npy":
            with open_regular(path) as file:
                array = read_array(file, check)
        else:
            with open_npz(path) as archive:
                names = archive.namelist()
                if len(names) != 1:
                    listed = shorten(sorted(names)[:8], 200)
                    raise LabelFileError(path, f"expected a single array, got {listed}")
                with open_member(archive, names[0]) as member:
                    array = read_array(member, check)
    except LabelFileError:
        raise
    except FileError as error:
        raise LabelFileError(path, error.problem) from error
    except Exception as error:  # decoders raise many types of error for broken files
        raise LabelFileError(path, f"can't be read: {reason(error)}") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _plain(path: Path, array: NDArray[Any]) -> NDArray[np.integer]:
    """Convert an array [H, W] or [1, H, W] to labels [H, W] of a dtype that torch has."""
    if array.ndim == 3:
        array = array[0]
    if array.dtype.kind == "f":
        return whole_numbers(path, array)
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        array = array.view(array.dtype.str.replace("u", "i"))
    return array


def _check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], channels: int) -> None:
    """Check an array before memory is allocated; the size limit is that of images."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise LabelFileError(path, f"expected integer labels, got {shorten(str(dtype))[1:-1]}")
    if len(shape) != 2 and not (len(shape) == 3 and shape[0] in (1, channels)):
        raise LabelFileError(
            path,
            f"expected shape [H, W], or [{channels}, H, W] with a channel for each class, "
            f"got {shorten(list(shape))}",
        )
    problem = too_many(math.prod(shape), "values")
    if problem:
        what = f"{dtype} of shape {shorten(list(shape))}"
        raise LabelFileError(path, f"refused as a decompression bomb: {what} has {problem}")


def _from_colors(path: Path, pixels: NDArray[np.integer], classes: ClassSet) -> NDArray[np.integer]:
    """Look up colours `[H, W, 3]` in the palette."""
    if classes.palette is None:
        raise LabelFileError(
            path, f"expected labels, got RGB, and class set {classes.name!r} has no palette"
        )
    labels_of = {
        red << 16 | green << 8 | blue: labels
        for (red, green, blue), labels in classes.labels_of_colors().items()
    }
    label_of = {code: min(labels) for code, labels in labels_of.items()}
    ambiguous = {code for code, labels in labels_of.items() if len(labels) > 1}
    codes = [
        band[..., 0].astype(np.int32) << 16 | band[..., 1].astype(np.int32) << 8 | band[..., 2]
        for band in _bands(pixels)
    ]
    found = _count_labels(codes)
    wrong = [(c, n) for c, n in found if c not in label_of or c in ambiguous]
    if wrong:
        listed = list_pixels([(f"#{code:06x}", pixels) for code, pixels in wrong])
        gray = all(c >> 16 == c >> 8 & 255 == c & 255 for c, _ in found)
        hint = "; its channels are all equal, so it may hold labels saved as RGB" if gray else ""
        why = "in the palette of one class" if wrong[0][0] in ambiguous else "in the palette"
        raise LabelFileError(path, f"colours not {why} of {classes.name!r}: {listed}{hint}")
    return _lookup(codes, label_of)


def _translate(
    path: Path, stored: NDArray[np.integer], meaning: Mapping[int, int], *, single: bool = False
) -> NDArray[np.integer]:
    """Replace stored labels by classes; `single` is `single_labels` of the class set."""
    bands = _bands(stored)
    found = _count_labels(bands)
    wrong = [(label, n) for label, n in found if label not in meaning]
    if wrong:
        listed = list_pixels(wrong)
        hint = "; a label_map names every label that there is" if not single else ""
        if len(wrong) > len(meaning) and found[0] not in wrong and found[-1] not in wrong:
            hint += "; was the mask resized with interpolation, or saved as JPEG?"
        raise LabelFileError(path, f"stored labels not in the label map: {listed}{hint}")
    classes = Counter(meaning[label] for label, _ in found)
    if single and any(labels > 1 for labels in classes.values()):
        both = [(label, n) for label, n in found if classes[meaning[label]] > 1]
        raise LabelFileError(
            path,
            f"expected one label for a class, got {list_pixels(both)}: if one of them is void, a "
            "class set of your own says so",
        )
    return _lookup(bands, meaning)


def _bands(pixels: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """Split pixels into views of a few rows, so that intermediate results take little memory."""
    rows = max(1, _BAND // pixels.shape[1])
    return [pixels[first : first + rows] for first in range(0, len(pixels), rows)]


def _count_labels(bands: Sequence[NDArray[np.integer]]) -> list[tuple[int, int]]:
    """Count the pixels of each label, in ascending order of labels."""
    total: Counter[int] = Counter()
    for values in bands:
        if values.dtype == np.uint8:
            pixels = np.bincount(values.reshape(-1), minlength=256)
            found = np.flatnonzero(pixels)
            pixels = pixels[found]
        else:
            found, pixels = np.unique(values, return_counts=True)
        total.update(dict(zip(found.tolist(), pixels.tolist(), strict=True)))
    return sorted(total.items())


def _lookup(
    bands: Sequence[NDArray[np.integer]], meaning: Mapping[int, int]
) -> NDArray[np.integer]:
    keys = np.array(sorted(meaning), np.int64)
    labels = _narrow(np.array([meaning[key] for key in keys.tolist()], np.int64))
    if bands[0].dtype == np.uint8:
        table = np.zeros(256, labels.dtype)
        small = (keys >= 0) & (keys < 256)
        table[keys[small]] = labels[small]
        found = [table.take(values) for values in bands]
    else:
        found = [labels[np.searchsorted(keys, values)] for values in bands]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _narrow(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Convert labels to uint8 if they fit, else to int32 or int64: dtypes that torch has."""
    if labels.dtype == np.uint8:
        return labels
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low >= 0 and high < 256:
        return labels.astype(np.uint8)
    fits = low >= -(2**31) and high < 2**31
    return labels.astype(np.int32 if fits else np.int64)
