"""Convert label maps in COCO's JSON files, panoptic or run lengths, to a folder of PNG files."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.images import open_image, too_many
from dealias.inputs import LARGEST_COCO, MOST_COCO_VALUES, leads_out, read_json
from dealias.labels.folders import PairingError
from dealias.labels.run_lengths import RunLengthError, read_run_lengths
from dealias.text import FileError, printable, shorten, without_image_suffix

NO_CATEGORY = 65535  # pixels that no segment covers

_LONGEST_SIDE = 65_535

_Named = Iterator[tuple[str, NDArray[np.uint16]]]


def lay_out_coco(path: Path, folder: Path) -> None:
    """Write the label maps that a COCO JSON file describes as 16-bit PNG files.

    Labels are category ids, which the `label_map` of a class set turns into classes, and 65535
    where there is no segment. Files are named after the images. A list of results has only image
    ids; these are written with twelve digits, as in COCO's file names.

    Args:
        path: panoptic annotations or results ({"annotations": [{"file_name", "segments_info"}]}),
            with their PNG files in the folder of the same name without .json; or annotations
            ({"images", "annotations"}) or a list of results with one run-length mask each, as in
            COCO-Stuff.
        folder: an empty folder.

    Raises:
        PairingError: the file holds none of these, names files outside its folder, has an image
            size above the pixel limit, or has masks that overlap.
    """
    try:
        content = read_json(path, LARGEST_COCO, exact=False, values=MOST_COCO_VALUES)
        for name, labels in _label_maps(path, content):
            target = folder / f"{name}.png"
            if leads_out(name) or target.exists():
                raise PairingError(f"{printable(path)}: {shorten(name)}: no name, or given twice")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(target)
    except FileError as error:
        raise PairingError(str(error)) from error
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PairingError(
            f"{printable(path)}: expected panoptic annotations, or masks in run lengths, of COCO: "
            f"{type(error).__name__} {shorten(str(error))}"
        ) from error
    except RunLengthError as error:
        raise PairingError(f"{printable(path)}: {error}") from error


def _label_maps(path: Path, content: Any) -> _Named:
    if isinstance(content, list):
        return _of_masks(path, content, {})
    entries = content["annotations"]
    if entries and "segments_info" in entries[0]:
        return _of_segments(path.with_suffix(""), entries)
    names = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
    return _of_masks(path, entries, {key: _without_suffix(name) for key, name in names.items()})


def _of_segments(folder: Path, entries: list[Any]) -> _Named:
    """Read the label maps of panoptic PNG files, whose colours are segment ids."""
    for entry in entries:
        name = entry["file_name"]
        if leads_out(name):
            raise PairingError(f"{printable(folder)}: expected names inside, got {shorten(name)}")
        path = folder / name
        with open_image(path) as (image, _):
            if image.format != "PNG" or image.mode != "RGB":
                raise FileError(path, f"expected PNG of RGB, got {image.format} of {image.mode}")
            pixels = np.array(image).astype(np.int64)
        segments = pixels @ np.array([1, 256, 65536])
        categories = {0: NO_CATEGORY}
        categories |= {part["id"]: _category(part) for part in entry["segments_info"]}
        if len(categories) != len(entry["segments_info"]) + 1:
            raise FileError(path, "expected an id for each segment, got one twice or 0")
        found, place = np.unique(segments, return_inverse=True)
        unknown = [int(segment) for segment in found if int(segment) not in categories]
        if unknown:
            raise FileError(path, f"expected the segments of its annotation, got {unknown[:8]}")
        labels = np.array([categories[int(segment)] for segment in found], np.uint16)
        yield _without_suffix(name), labels[place.reshape(segments.shape)]


def _of_masks(path: Path, entries: list[Any], names: Mapping[Any, str]) -> _Named:
    """Read the label maps of run-length masks, named by the id of the image if `names` is empty."""
    by_image = defaultdict(list)
    for entry in entries:
        by_image[entry["image_id"]].append(entry)
    for image, masks in by_image.items():
        name = names[image] if names else _name_of(image)
        height, width = _size(path, masks[0]["segmentation"])
        labels = np.full(height * width, NO_CATEGORY, np.uint16)
        for mask in masks:
            runs = read_run_lengths(mask["segmentation"], height, width)
            inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            if (labels[inside] != NO_CATEGORY).any():
                raise PairingError(f"{printable(path)}: {shorten(name)}: masks that overlap")
            labels[inside] = _category(mask)
        yield name, np.ascontiguousarray(labels.reshape(width, height).T)


def _size(path: Path, rle: Any) -> tuple[int, int]:
    """Return the size given in run lengths, if it is within the pixel limit."""
    size = rle["size"] if isinstance(rle, dict) else None
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and 1 <= side <= _LONGEST_SIDE for side in size)
    ):
        raise PairingError(f"{printable(path)}: expected run lengths, got {shorten(rle)}")
    problem = too_many(math.prod(size))
    if problem:
        raise PairingError(f"{printable(path)}: a mask of {problem}")
    return size[0], size[1]


def _category(entry: Mapping[str, Any]) -> int:
    category = entry["category_id"]
    if type(category) is not int or not 0 <= category < NO_CATEGORY:
        raise TypeError(f"category_id {shorten(category)}")
    return category


def _name_of(image: Any) -> str:
    if type(image) is int and image >= 0:
        return f"{image:012d}"
    if isinstance(image, str):
        return _without_suffix(image)
    raise TypeError(f"image_id {shorten(image)}")


def _without_suffix(name: str) -> str:
    return without_image_suffix(PurePosixPath(name).as_posix())
