"""Reading JSON files and single entries of an annotation file."""

from __future__ import annotations

import math
import os.path
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard
from urllib.parse import unquote

import numpy as np
from torch import Tensor

from dealias.images import too_many
from dealias.inputs import LARGEST_COCO, MOST_COCO_VALUES, leads_out, read_json
from dealias.metrics.instances import (
    AnnotatedImage,
    Instance,
    MaskError,
    Rle,
    box_of_mask,
    mask_area,
    read_segmentation,
)
from dealias.text import FileError, printable, shorten

_LONGEST_NAME = 400  # characters of a name in a message
_LONGEST_SIDE = 65_535  # pixels of an image, as in JPEG
_LARGEST = 1e10  # area; COCO's AP ignores larger ones
_THIN = 1.5  # pixels; the polygons of a wider and higher box cover some pixel
BROKEN_POLYGONS = "broken polygons that are left out of a segmentation with others"
NO_PIXEL = "instances whose polygons cover no pixel, which no mask can match"


class BadEntryError(ValueError):
    """An entry can't be used, but can be left out."""


class ForbiddenPathError(ValueError):
    """A file name leads out of its folder."""


def read_image(entry: Any, folder: Path) -> AnnotatedImage:
    r"""Read an entry of "images".

    Raises:
        BadEntryError: a key is missing or of another type, or there is no such file.
        ForbiddenPathError: the file name leads out of the folder.

    Without "file_name", as in LVIS, the name is the end of "coco_url", with or without its folder.
    Names may be quoted as in URLs, or have "\" between folders.
    """
    id_ = _integer(entry, "id")
    names = _names(entry)
    height, width = (_integer(entry, key) for key in ("height", "width"))
    if height < 1 or width < 1:
        raise BadEntryError(f"expected a size in pixels, got {width}x{height}")
    problem = too_many(height * width)
    if problem:
        raise BadEntryError(problem)
    if max(height, width) > _LONGEST_SIDE:
        raise BadEntryError(f"expected sides up to {_LONGEST_SIDE:,}, got {width}x{height}")
    for name in names:
        for spelled in dict.fromkeys((name, unquote(name), name.replace("\\", "/"))):
            path = path_inside(folder, spelled)
            if os.path.isfile(path):  # noqa: PTH113 - also for names that are too long
                return AnnotatedImage(id_, name, path, (height, width))
    name = shorten(names[0], _LONGEST_NAME)[1:-1] if len(names[0]) > _LONGEST_NAME else names[0]
    raise BadEntryError(f"no such file: {printable(path_inside(folder, name))}")


def has_segmentation(entry: Any) -> bool:
    """Whether an entry has a "segmentation" that is neither None nor an empty list."""
    value = entry.get("segmentation") if isinstance(entry, Mapping) else None
    return value is not None and not (isinstance(value, (list, tuple)) and not value)


def read_instance(
    entry: Mapping[str, Any], size: tuple[int, int], label: int, *, boxes_alone: bool = False
) -> tuple[Instance, list[str]]:
    """Read an entry of "annotations".

    Args:
        entry: entry as in the file.
        size: (height, width) of its image.
        label: label of its category.
        boxes_alone: whether the entry has a box and no segmentation.

    Returns:
        The instance, and a description of each value that is not used as stored. Polygons that
        cover no pixel, of which COCO has some, give an instance with an empty mask if the box is
        less than a pixel and a half wide or high, or has no width or height. As in pycocotools,
        this instance counts, but no mask can match it.

    Raises:
        BadEntryError: a box is without area or outside the image, a segmentation is broken or
            empty, or a key is missing or of another type.
    """
    mask, kinds = (None, []) if boxes_alone else _mask(entry, size)
    hidden = NO_PIXEL in kinds
    box = None if entry.get("bbox") is None else _box(entry["bbox"], size, flat=hidden)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise BadEntryError(f"iscrowd: expected 0 or 1, got {shorten(crowd)}")
    if box is None and hidden:
        raise BadEntryError("bbox: expected one, as the mask has no pixel, got none")
    if box is not None and hidden and min(box[2] - box[0], box[3] - box[1]) >= _THIN:
        raise BadEntryError("segmentation: expected at least one pixel, got none")
    if box is None and mask is not None:
        box = box_of_mask(mask)
        kinds.append("instances without a box that have the box of their mask")
    if box is None:
        raise BadEntryError("bbox: expected one, as there is no segmentation, got none")
    area = entry.get("area")
    if area is None or (is_number(area) and area == 0 and not hidden):
        area = math.prod(entry["bbox"][2:]) if mask is None else mask_area(mask)
        what = "box" if mask is None else "mask"
        kinds.append(f"instances without an area, or with 0, that have the area of their {what}")
    if not is_number(area) or not (0 < area <= _LARGEST or (hidden and area == 0)):
        raise BadEntryError(
            f"area: expected a number from 0 on, at most {_LARGEST:.0e}, got {shorten(area)}"
        )
    return Instance(label, box, mask, float(area), bool(crowd)), kinds


def read_content(path: Path, error: type[FileError]) -> Any:
    """Read a JSON file, and raise `error` if it can't be read; single entries are checked later."""
    try:
        return read_json(path, LARGEST_COCO, exact=False, finite=False, values=MOST_COCO_VALUES)
    except FileError as failure:
        raise error(path, failure.problem) from failure


def plain(entry: Any) -> Any:
    """Convert arrays, tensors and their scalars in an entry, except masks, to types of JSON."""
    if not isinstance(entry, Mapping):
        return entry
    return {
        key: value.tolist()
        if key != "segmentation" and isinstance(value, (np.generic, np.ndarray, Tensor))
        else value
        for key, value in entry.items()
    }


def as_id(value: Any) -> int | None:
    """An id from a file as an integer, also if written as 7.0; None for anything else."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < 2**63 else None


def path_inside(folder: Path, name: str) -> Path:
    """The file of this name in a folder.

    Raises:
        ForbiddenPathError: the name is absolute, or contains ".." or an impossible character.
    """
    if leads_out(name):
        raise ForbiddenPathError(
            "file_name: expected a name inside the folder of images, "
            f"got {shorten(name, _LONGEST_NAME)}"
        )
    return folder / name


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from a file is a finite number; an integer must fit into 64 bits."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def _mask(entry: Mapping[str, Any], size: tuple[int, int]) -> tuple[Rle, list[str]]:
    """The mask of an instance, and descriptions of what is left out or missing."""
    segmentation = _value(entry, "segmentation")
    dropped: list[str] = []
    try:
        mask = read_segmentation(segmentation, *size, dropped=dropped)
    except MaskError as error:
        raise BadEntryError(f"segmentation: {error}") from error
    kinds = [BROKEN_POLYGONS] * len(dropped)
    if not mask_area(mask):
        if not isinstance(segmentation, (list, tuple)):
            raise BadEntryError("segmentation: expected at least one pixel, got none")
        kinds.append(NO_PIXEL)
    return mask, kinds


def _value(entry: Any, key: str) -> Any:
    if not isinstance(entry, Mapping):
        raise BadEntryError(f"expected a mapping, got {shorten(entry)}")
    if key not in entry:
        raise BadEntryError(f"{key}: missing")
    return entry[key]


def _integer(entry: Any, key: str) -> int:
    value = _value(entry, key)
    number = as_id(value)
    if number is None:
        raise BadEntryError(f"{key}: expected an integer, got {shorten(value)}")
    return number


def _names(entry: Mapping[str, Any]) -> list[str]:
    """Possible names of an image's file, below the folder of images."""
    url = entry.get("coco_url")
    if "file_name" not in entry and isinstance(url, str) and PurePosixPath(url).name:
        return ["/".join(PurePosixPath(url).parts[-2:]), PurePosixPath(url).name]
    name = _value(entry, "file_name")
    if not isinstance(name, str) or not name:
        raise BadEntryError(f"file_name: expected a name, got {shorten(name)}")
    return [name]


def _box(
    value: Any, size: tuple[int, int], *, flat: bool = False
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a box, whose width or height may be 0 if it is `flat`."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        raise BadEntryError(f"bbox: expected [x, y, width, height], got {shorten(value)}")
    x, y, width, height = map(float, value)
    if not (width > 0 and height > 0) and not (flat and width >= 0 and height >= 0):
        raise BadEntryError(f"bbox: expected a positive width and height, got {shorten(value)}")
    right, bottom = x + width, y + height
    outside = x >= size[1] or y >= size[0] or right <= 0 or bottom <= 0
    # Boxes slightly outside are common; by more than the size of the image is a mistake.
    far = x < -size[1] or y < -size[0] or right > 2 * size[1] or bottom > 2 * size[0]
    if outside or far:
        raise BadEntryError(
            f"bbox: expected a box in the image of {size[1]}x{size[0]}, got {shorten(value)}"
        )
    return x, y, right, bottom
