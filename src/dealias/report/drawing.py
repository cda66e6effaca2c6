"""Draw the images of a page: the photograph, a thumbnail of the errors, and the label maps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation import Options
from dealias.labels import ClassSet
from dealias.metrics.functional import (
    ObjectRecall,
    dilate,
    error_map,
    label_edges,
    mark_objects,
)
from dealias.report.examples import Example
from dealias.report.folder import PageFolder, file_key
from dealias.report.heat import heat_plane
from dealias.report.packing import Plane, pack, to_script

RIGHT, VOID_MARK = 0, 5
_VOID = 255  # in error_map
THUMBNAIL_WIDTH = 360
_TALLEST_THUMBNAIL = 4 * THUMBNAIL_WIDTH
_LONGEST_PICTURE = 16383  # in pixels, for WebP
_PHOTOGRAPH_QUALITY = 88
_THUMBNAIL_QUALITY = 75


class Drawn(NamedTuple):
    """What a page knows about an image before its files are loaded.

    Attributes:
        name: name of the image.
        key: name of the image's files.
        height: in pixels.
        width: in pixels.
        has: optional layers of the image, such as "image" and "aliasing".
        counts: pixels by column.
        by_class: for each class that occurs, its number followed by its pixels by column.
        problem: a message about what was left out, or None.
        by_pair: int32 [pairs, 2 + columns], a target class and the class that it is mistaken for,
            followed by the wrong pixels by column; None on pages without pairs.
    """

    name: str
    key: str
    height: int
    width: int
    has: tuple[str, ...]
    counts: tuple[int, ...]
    by_class: tuple[int, ...]
    problem: str | None
    by_pair: NDArray[np.int32] | None = None


def counting_of(result: Mapping[str, Any], classes: ClassSet) -> dict[str, Any]:
    """Return the arguments of :func:`dealias.metrics.functional.error_map` for a result."""
    return Options(classes, result["protocol"], result["band_width"]).counting


def mark_errors(
    preds: NDArray[np.integer], target: NDArray[np.integer], counting: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Return the error map of an image; see :func:`dealias.metrics.functional.error_map`."""
    maps = (torch.from_numpy(np.ascontiguousarray(part)) for part in (preds, target))
    errors: NDArray[np.uint8] = error_map(*maps, **counting).numpy()
    return errors


def boundary_bands(
    preds: NDArray[np.integer], target: NDArray[np.integer], counting: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Mark the pixels in the predicted or the target band: bool [H, W]."""
    protocol, width = counting["protocol"], counting["band_width"]
    predicted, given = (torch.from_numpy(np.ascontiguousarray(m)) for m in (preds, target))
    edges = label_edges(predicted, protocol=protocol)
    edges |= label_edges(given, protocol=protocol, ignore_index=counting["ignore_index"])
    bands: NDArray[np.bool_] = dilate(edges, width).numpy()
    return bands


def draw_files(
    folder: PageFolder,
    example: Example,
    planes: Mapping[str, Plane],
    picture: NDArray[np.uint8],
    columns: NDArray[np.integer],
    maps: Sequence[NDArray[np.integer]],
    classes: int,
    number: int,
    heats: Mapping[str, NDArray[np.floating] | None] | None = None,
) -> Drawn:
    """Write the files of an image and count its pixels.

    Args:
        folder: folder of the page.
        example: the image.
        planes: maps of the image, named as in the page's scripts; "objects" is an optional layer.
        picture: uint8 [H, W, 3], the picture for the thumbnail in the gallery.
        columns: see :func:`count_by_class`, also for `maps`, `classes` and `number`.
        maps: label maps.
        classes: number of classes.
        number: number of columns.
        heats: scores [H, W] in [0, 1] by layer; by default those of the example.

    Raises:
        OutputError: a file can't be written.
    """
    key = file_key(example.name)
    planes = dict(planes)
    has = []
    if example.image is not None:
        write_photograph(folder, f"images/{key}.webp", example.image)
        has.append("image")
    if "objects" in planes:
        has.append("objects")
    heats = {"aliasing": example.aliasing, "unstable": example.unstable} if heats is None else heats
    for name, scores in heats.items():
        if scores is not None:
            planes[name] = heat_plane(scores)
            has.append(name)
    write_thumbnail(folder, f"thumbs/{key}.webp", picture)
    script = to_script("dealias.maps.receive", key, pack(planes))
    folder.write(f"maps/{key}.js", script.encode("ascii"))
    totals, by_class = count_by_class(columns, maps, classes, number)
    height, width = columns.shape
    return Drawn(example.name, key, height, width, tuple(has), totals, by_class, example.problem)


def background(
    image: NDArray[np.uint8] | None, target: NDArray[np.integer], classes: ClassSet
) -> NDArray[np.uint8]:
    """Return the photograph, or the colours of the target if there is none: uint8 [H, W, 3]."""
    return classes.paint(target) if image is None else image


def write_photograph(folder: PageFolder, path: str, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 [H, W, 3], for the viewer; it is shrunk if it is too large for WebP.

    Raises:
        OutputError: the file can't be written.
    """
    fitted = _shrink(pixels, _LONGEST_PICTURE, _LONGEST_PICTURE)
    folder.write(path, _webp(fitted, _PHOTOGRAPH_QUALITY))


def write_thumbnail(folder: PageFolder, path: str, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 [H, W, 3], as a thumbnail for the gallery.

    Raises:
        OutputError: the file can't be written.
    """
    small = _shrink(pixels, THUMBNAIL_WIDTH, _TALLEST_THUMBNAIL)
    folder.write(path, _webp(small, _THUMBNAIL_QUALITY))


def thumbnail_size(height: int, width: int) -> tuple[int, int]:
    """Return the width and height of the thumbnail of a picture."""
    return _fitted(height, width, THUMBNAIL_WIDTH, _TALLEST_THUMBNAIL)


def label_plane(labels: NDArray[np.integer], classes: ClassSet) -> Plane:
    """Return classes as they are and void as the number of classes, in the smallest dtype."""
    kind: type[np.unsignedinteger[Any]] = np.uint8 if len(classes) < 256 else np.uint16
    void = labels == classes.ignore_index
    plane: Plane = np.where(void, np.uint16(len(classes)), labels).astype(kind)
    return plane


def mark_plane(errors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return error marks, with void as the next number after them."""
    return np.where(errors == _VOID, VOID_MARK, errors).astype(np.uint8)


def object_plane(
    preds: NDArray[np.integer],
    target: NDArray[np.integer],
    classes: ClassSet,
    recall: ObjectRecall,
) -> NDArray[np.uint8]:
    """Return the marks of objects; see :func:`dealias.metrics.functional.mark_objects`."""
    marks: NDArray[np.uint8] = mark_objects(
        *(torch.from_numpy(np.ascontiguousarray(part)) for part in (preds, target)),
        num_classes=len(classes),
        ignore_index=classes.ignore_index,
        recall=recall,
    ).numpy()
    return marks


def count_by_class(
    columns: NDArray[np.integer], maps: Sequence[NDArray[np.integer]], classes: int, number: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count pixels by column, and by column and class.

    Args:
        columns: [H, W], the column of each pixel, from 1; 0 for no column.
        maps: label maps; a pixel counts once for each class that it has in any of them.
        classes: number of classes.
        number: number of columns.

    Returns:
        The counts of all columns; and, flattened, each class that occurs followed by its counts.
    """
    counted = columns > 0
    column = columns[counted].astype(np.int64) - 1
    cells = []
    seen: list[NDArray[np.int64]] = []
    for labels in maps:
        own = labels[counted].astype(np.int64)
        fresh = np.ones(own.shape, bool)
        for earlier in seen:
            fresh &= own != earlier
        seen.append(own)
        cells.append((own * number + column)[fresh])
    table = np.bincount(np.concatenate(cells), minlength=classes * number).reshape(classes, number)
    rows = np.flatnonzero(table.any(1))
    flat = np.column_stack([rows, table[rows]]).ravel()
    totals = np.bincount(column, minlength=number)
    return tuple(totals.tolist()), tuple(flat.tolist())


def count_by_pair(
    columns: NDArray[np.integer],
    target: NDArray[np.integer],
    preds: NDArray[np.integer],
    number: int,
) -> NDArray[np.int32]:
    """Count pixels by column for each target class and the class that it is mistaken for.

    Args:
        columns: [H, W], the column of each pixel, from 1; 0 for no column.
        target: target classes, integers [H, W].
        preds: predicted classes, integers [H, W].
        number: number of columns.

    Returns:
        int32 [pairs, 2 + number]: the target class, the predicted class, and the counts.
    """
    counted = columns > 0
    cells = np.stack([target[counted], preds[counted]]).astype(np.int64)
    pairs, place = np.unique(cells, axis=1, return_inverse=True)
    place = place.reshape(-1) * number + columns[counted].astype(np.int64) - 1
    counts = np.bincount(place, minlength=pairs.shape[1] * number).reshape(-1, number)
    return np.concatenate([pairs.T, counts], axis=1).astype(np.int32)


def _shrink(picture: NDArray[np.uint8], widest: int, tallest: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    size = _fitted(height, width, widest, tallest)
    if size == (width, height):
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _fitted(height: int, width: int, widest: int, tallest: int) -> tuple[int, int]:
    """Return width and height, reduced to fit with the same aspect ratio."""
    scale = min(1.0, widest / width, tallest / height)
    return max(1, round(scale * width)), max(1, round(scale * height))


def _webp(pixels: NDArray[np.uint8], quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", quality=quality, method=2)
    return file.getvalue()
