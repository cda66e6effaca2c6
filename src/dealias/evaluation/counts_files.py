"""Files of counts: each is written by one process, and fully checked before it is added."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from dealias.arrays import open_member, open_npz, read_array
from dealias.evaluation.image_margins import EARLIER, margin_arrays, read_margins, why_left_out
from dealias.evaluation.objects import ImageObjects, no_objects, object_arrays, read_objects
from dealias.evaluation.records import CountsFileError, ImageRow, Settings
from dealias.evaluation.results import Evaluation
from dealias.evaluation.shards import Shard, missing_shards
from dealias.evaluation.sources import Sources
from dealias.evaluation.widths import check_widths, no_widths
from dealias.files import write_whole
from dealias.inputs import parse_json
from dealias.labels import MOST_CLASSES
from dealias.metrics.functional import (
    ERROR_KINDS,
    BandWidths,
    HardPixelCounts,
    ObjectRecall,
    check_object_recall,
    check_options,
    error_pixels,
)
from dealias.text import FileError, printable, reason, shorten

_FORMAT = 2  # format 1 had neither margins nor groups of images
_LARGEST_HEADER = 2**26  # bytes
_MOST_PIXELS = 2.0**53  # in one file; sums over any number of files fit in 64 bits
_DIGEST = 80  # characters
_LONGEST_REASON = 200  # characters
_SETTINGS = [field.name for field in fields(Settings)]


def write_counts(evaluation: Evaluation, path: Path) -> None:
    """Write counts and image rows as NPZ, for :func:`merge_counts`.

    The margins of the images are written if they are known for all images and are not too many.
    """
    more: dict[str, Any] = margin_arrays([row.margins for row in evaluation.images])
    unknown = [row.no_margins for row in evaluation.images if row.margins is None]
    header = {
        "format": _FORMAT,
        "shards": evaluation.shards,
        "settings": vars(evaluation.settings),
        "images": [row.name for row in evaluation.images],
        "groups": [row.group for row in evaluation.images],
        "margins": bool(more) or why_left_out(unknown, len(evaluation.images)),
        "skipped": evaluation.skipped,
        "sources": None if evaluation.sources is None else evaluation.sources.to_dict(),
        "several": [sources.to_dict() for sources in evaluation.several],
    }
    errors = [row.error_pixels for row in evaluation.images]
    if evaluation.settings.band_widths:
        more["widths"] = evaluation.widths.numpy()
    if evaluation.settings.object_recall is not None:
        more |= object_arrays(evaluation.objects, [row.objects for row in evaluation.images])
    with write_whole(path) as file:
        np.savez_compressed(
            file,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            confusion=evaluation.counts.confusion.numpy(),
            edges=evaluation.counts.edges.numpy(),
            boundary=evaluation.boundary.numpy(),
            void_pixels=np.array(evaluation.void_pixels, np.int64),
            resized_images=np.array(evaluation.resized_images, np.int64),
            image_miou=np.array([row.miou for row in evaluation.images], np.float64),
            image_error_pixels=np.array(errors, np.int64).reshape(-1, len(ERROR_KINDS)),
            image_digests=np.array([row.digests for row in evaluation.images], str).reshape(-1, 2),
            **more,
        )


def read_counts(path: Path) -> Evaluation:
    """Read what `write_counts` wrote.

    Everything is checked: limits before memory is allocated, and whether the images add up to the
    table.

    Raises:
        CountsFileError: the file holds no counts, has another format, or contradicts itself.
    """
    try:
        with open_npz(path) as archive:
            return _parse(archive)
    except FileError as error:
        raise CountsFileError(str(error)) from error
    except Exception as error:  # decoders raise many types of error for broken files
        other = isinstance(error, BadZipFile)
        why = ", got a file of another kind" if other else f": {reason(error)}"
        raise CountsFileError(
            f"{printable(path)}: expected counts written by --counts{why}"
        ) from error


def _parse(archive: ZipFile) -> Evaluation:
    with open_member(archive, "header.npy") as file:
        content = read_array(file, _check_header).tobytes()
    header = parse_json(content)
    if not isinstance(header, dict):
        raise ValueError(f"header: expected a mapping, got {shorten(header)}")
    if header.get("format") not in (1, _FORMAT):
        raise ValueError(f"expected format 1 or {_FORMAT}, got {shorten(header.get('format'))}")
    settings = _settings(header.get("settings"))
    names, skipped = (_texts(header, key) for key in ("images", "skipped"))
    if len({*names}) < len(names):
        raise ValueError("images: expected names that differ, got one twice")

    def read(name: str, *shape: int, kind: Any = np.int64) -> NDArray[Any]:
        return _array(archive, name, shape, np.dtype(kind))

    classes, images, kinds = len(settings.names), len(names), len(ERROR_KINDS)
    confusion = read("confusion", 4, classes, classes)
    edges, boundary = read("edges", 4), read("boundary", 6, classes)
    mious = read("image_miou", images, kind=np.float64)
    if not (np.isnan(mious) | ((mious >= 0) & (mious <= 1))).all():
        raise ValueError("image_miou: expected shares in [0, 1], got others")
    errors = read("image_error_pixels", images, kinds)
    of_table = [int(count) for count in error_pixels(torch.from_numpy(confusion)).values()]
    if errors.sum(0).tolist() != of_table:
        raise ValueError(
            f"image_error_pixels: expected {of_table} in all, as in the table of counts, "
            f"got {errors.sum(0).tolist()}"
        )
    stored = {entry.filename for entry in archive.infolist()}
    digests = [("", "")] * images  # earlier files have neither these nor what follows
    if "image_digests.npy" in stored:
        digests = [*map(tuple, read("image_digests", images, 2, kind=f"<U{_DIGEST}").tolist())]
    void = int(read("void_pixels")) if "void_pixels.npy" in stored else 0
    resized = int(read("resized_images")) if "resized_images.npy" in stored else 0
    if resized > images:
        raise ValueError(f"resized_images: expected at most {images:,}, got {resized:,}")
    packed: list[bytes | None] = [None] * images
    groups, no_margins = [""] * images, EARLIER
    if header["format"] == _FORMAT:
        groups = _texts(header, "groups")
        if len(groups) != images:
            raise ValueError(f"groups: expected {images:,}, one an image, got {len(groups):,}")
        if header.get("margins") is True:
            packed = [*read_margins(read, images, confusion, errors)]
        else:
            no_margins = _text(header, "margins")
    objects = no_objects(classes)
    of_images: list[ImageObjects] = [()] * images
    if settings.object_recall is not None:
        objects, of_images = read_objects(read, images, torch.from_numpy(confusion).sum(0))
    widths = no_widths(settings.band_widths, classes)
    if settings.band_widths:
        widths = torch.from_numpy(read("widths", *widths.shape))
        check_widths(widths, torch.from_numpy(confusion))
    rows = zip(
        names,
        mious.tolist(),
        map(tuple, errors.tolist()),
        digests,
        packed,
        groups,
        of_images,
        [no_margins] * images,
        strict=True,
    )
    sources, several = header.get("sources"), header.get("several", [])
    if not isinstance(several, list):
        raise ValueError(f"several: expected a list of sources, got {shorten(several)}")
    return Evaluation(
        settings,
        HardPixelCounts(torch.from_numpy(confusion), torch.from_numpy(edges)),
        torch.from_numpy(boundary),
        objects,
        widths,
        images=[ImageRow(*row) for row in rows],
        skipped=skipped,
        shards=_shards(header.get("shards")),
        sources=None if sources is None else _sources(sources, settings),
        several=[_sources(each, settings) for each in several],
        void_pixels=void,
        resized_images=resized,
    )


def _check_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype != np.uint8 or len(shape) != 1 or shape[0] > _LARGEST_HEADER:
        raise ValueError(
            f"header: expected at most {_LARGEST_HEADER:,} bytes, got {dtype} of {shorten(shape)}"
        )


def _array(
    archive: ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Read an array of this shape and dtype: non-negative numbers, or text of up to that length."""

    def check(found: tuple[int, ...], kind: np.dtype[Any]) -> None:
        fits = kind == dtype or (kind.kind == dtype.kind == "U" and kind.itemsize <= dtype.itemsize)
        if found != shape or not fits:
            raise ValueError(
                f"{name}: expected {dtype} of shape {list(shape)}, got {kind} of "
                f"{shorten(list(found))}"
            )

    with open_member(archive, f"{name}.npy") as file:
        array = read_array(file, check)
    if dtype == np.int64 and ((array < 0).any() or array.sum(dtype=np.float64) > _MOST_PIXELS):
        raise ValueError(f"{name}: expected counts from 0 on, at most {_MOST_PIXELS:.0f} in all")
    return np.ascontiguousarray(array).reshape(shape)


def _settings(content: Any) -> Settings:
    if not isinstance(content, dict) or not content.keys() <= {*_SETTINGS}:
        raise ValueError(f"settings: expected those of an evaluation, got {shorten(content)}")
    names = _texts(content, "names")
    if len(names) > MOST_CLASSES:
        raise ValueError(f"names: expected at most {MOST_CLASSES:,} classes, got {len(names):,}")
    settings = Settings(**content | {"names": tuple(names)} | _object_recall(content))
    check_options(len(names), settings.ignore_index, settings.band_width, settings.protocol)
    if not isinstance(settings.band_widths, str):
        raise ValueError(f"band_widths: expected text, got {shorten(settings.band_widths)}")
    if settings.band_widths:
        BandWidths.parse(settings.band_widths)
    if not isinstance(settings.class_set, str) or not isinstance(settings.boundary, bool):
        raise ValueError("settings: expected a name of a class set, and boundary true or false")
    if len({*names}) < len(names):
        raise ValueError("settings: expected names that differ")
    if abs(settings.ignore_index) >= 2**63:
        raise ValueError("ignore_index: expected an integer of 64 bits")
    return settings


def _object_recall(content: dict[str, Any]) -> dict[str, ObjectRecall]:
    stored = content.get("object_recall")
    if stored is None:
        return {}
    if not isinstance(stored, list) or len(stored) != 2:
        raise ValueError(f"object_recall: expected two shares, got {shorten(stored)}")
    recall = ObjectRecall(*stored)
    check_object_recall(recall)
    return {"object_recall": recall}


def _text(content: dict[str, Any], key: str) -> str:
    found = content.get(key)
    if not isinstance(found, str) or len(found) > _LONGEST_REASON:
        raise ValueError(f"{key}: expected true or why there are none, got {shorten(found)}")
    return found


def _texts(content: dict[str, Any], key: str) -> list[str]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise ValueError(f"{key}: expected a list of text, got {shorten(found)}")
    return found


def _shards(content: Any) -> list[Shard]:
    return [Shard.from_json(each) for each in (content if isinstance(content, list) else [content])]


def _sources(content: Any, settings: Settings) -> Sources:
    sources = Sources.from_dict(content, "header")
    classes = sources.classes
    if (classes.names, classes.ignore_index) != (settings.names, settings.ignore_index):
        raise ValueError("sources: expected the classes of the settings, got others")
    return sources


def merge_counts(paths: Sequence[Path], *, partial: bool = False) -> Evaluation:
    """Add the counts of several files.

    Args:
        paths: files that :func:`write_counts` wrote.
        partial: allow shards to be missing.

    Raises:
        CountsFileError: there are no files, one can't be read, the counts can't be added, or a
            shard of the image list is missing.
    """
    if not paths:
        raise CountsFileError("expected at least one file of counts, got none")
    total = read_counts(paths[0])
    for path in paths[1:]:
        part = read_counts(path)
        try:
            total = total.merge(part)
        except CountsFileError as error:
            raise CountsFileError(f"{printable(path)}: {error}") from error
    missing = missing_shards(total.shards)
    if missing and not partial:
        raise CountsFileError(f"shards are missing: {missing}; --partial allows that")
    return total
