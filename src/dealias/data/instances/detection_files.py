"""Reading detections in COCO's results format."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from dealias.data.instances.categories import match_categories, same_class
from dealias.data.instances.entries import (
    BROKEN_POLYGONS,
    BadEntryError,
    as_id,
    has_segmentation,
    is_number,
    plain,
    read_content,
)
from dealias.data.instances.records import InstanceSet, Notes
from dealias.evaluation.instances import InstanceEvaluation
from dealias.metrics.instances import (
    AnnotatedImage,
    DetectionArea,
    Detections,
    MaskError,
    Rle,
    box_of_mask,
    mask_area,
    read_segmentation,
)
from dealias.text import FileError, shorten

_FARTHEST = 1e9  # pixels; keeps the sides and the area of a box finite
_Found = tuple[tuple[float, float, float, float], int, float, Rle | None]


class DetectionsError(FileError):
    """Detections can't be used."""


def read_detections(
    source: str | Path | Sequence[Mapping[str, Any]],
    instances: InstanceSet,
    *,
    categories: Mapping[int, str] | None = None,
    detection_area: DetectionArea = "mask",
) -> InstanceEvaluation:
    """Read detections in COCO's results format, and join them with the instances.

    Args:
        source: a JSON file, or its content: a list of mappings with "image_id"; "category_id";
            "score", any finite number; "segmentation", as for :func:`read_segmentation`; and
            "bbox", (left, top, width, height) in pixels, by default the box of the mask. Either
            all detections have a segmentation or none has. Without segmentations, or if the
            instances have no masks, only boxes are compared.
            ``dealias test`` writes such a file as test/detections.json.
        instances: the images and their instances. Images without an entry have no detections.
        categories: names of the categories by id, as in the annotation file that the results refer
            to. They are matched with the classes by :func:`match_categories`; detections of other
            categories are left out. By default those of `instances`, or 1 .. C in the order of the
            classes if these do not come from an annotation file.
        detection_area: see :func:`average_precision`.

    The optional "file_name" and "category" must agree with the ids, but a file name may differ in
    folder and suffix. A detection whose mask has no pixel, or whose box has no width or height, is
    a false positive, as in pycocotools.

    Returns:
        An evaluation, for average precision and errors. Its `skipped` and `notes` are those of the
        instances. The notes also count detections that are left out, have lost a broken polygon or
        have no pixel, and masks that are not compared because the instances have only boxes.

    Raises:
        DetectionsError: the file is of another kind, a class has no category, or an entry has an
            unknown image or category, a name that contradicts their ids, a score that is not
            finite, a broken or missing mask, or a box of negative width or height; the message
            names the entry.
    """
    path, entries = _load(source)
    classes = instances.classes
    named = instances.categories if categories is None else categories
    named = named or dict(enumerate(classes, start=1))
    labels = instances.labels if categories is None else {}
    if not labels:
        used = {as_id(entry.get("category_id")) for entry in entries if isinstance(entry, Mapping)}
        try:
            labels = match_categories(named, classes, used=used)
        except ValueError as error:
            raise DetectionsError(path, str(error)) from error
    images = {image.id: image for image in instances.images}
    found: dict[int, list[_Found]] = {id_: [] for id_ in images}
    notes = Notes()
    first = next((n for n, entry in enumerate(entries, 1) if has_segmentation(entry)), None)
    boxed = any(one.mask is None for image in instances.images for one in image.instances)

    def take(number: int, entry: Any) -> None:
        try:
            id_ = _known(entry, "image_id", images.keys() | instances.missing)
            category = _known(entry, "category_id", named)
            if id_ in instances.missing:
                kind = "detections on images that can't be used, left out"
                notes.add(kind, f"entry {number}")
                return
            _check_names(entry, images[id_], category, named[category])
            if category not in labels:
                kind = f"detections of category {category}, {shorten(named[category])}"
                notes.add(f"{kind}, which is no class, left out", f"entry {number}")
                return
            dropped: list[str] = []
            if first is not None and not has_segmentation(entry):
                got = shorten(entry.get("segmentation"))
                raise BadEntryError(
                    "segmentation: expected polygons or run lengths, "
                    f"as entry {first} has, got {got}"
                )
            masked = first is not None
            found[id_].append(_read(entry, images[id_], labels[category], dropped, masked=masked))
        except BadEntryError as error:
            raise DetectionsError(path, f"entry {number}: {error}") from error
        for _ in dropped:
            notes.add(BROKEN_POLYGONS, f"entry {number}")
        (left, top, right, bottom), *_, mask = found[id_][-1]
        if mask is None and (left == right or top == bottom):
            notes.add("detections whose box has no area, which are false", f"entry {number}")
        elif mask is not None and boxed:
            notes.add(
                "masks of detections, which are not compared, as annotations have boxes alone",
                f"entry {number}",
            )
        elif mask is not None and not mask_area(mask):
            notes.add("detections without a pixel, which are false", f"entry {number}")

    for number, entry in enumerate(entries, start=1):
        take(number, entry)
    evaluation = InstanceEvaluation(classes, detection_area=detection_area)
    boxes_alone = boxed or (bool(entries) and first is None)
    for id_, image in images.items():
        evaluation.absorb(image, _together(found[id_], boxes_alone=boxes_alone))
    evaluation.skipped = [str(problem) for problem in instances.skipped]
    evaluation.notes = [*instances.remarks, *notes.listed()]
    return evaluation


def _load(source: str | Path | Sequence[Mapping[str, Any]]) -> tuple[Path, list[Any]]:
    if not isinstance(source, (str, Path)):
        return Path("detections"), [*map(plain, source)]
    path = Path(source)
    content = read_content(path, DetectionsError)
    if not isinstance(content, list):
        raise DetectionsError(path, f"expected a list of detections, got {shorten(content)}")
    return path, content


def _known(entry: Any, key: str, known: Container[int]) -> int:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    id_ = as_id(value)
    if id_ is None or id_ not in known:
        raise BadEntryError(f"{key}: expected one that is known, got {shorten(value)}")
    return id_


def _check_names(entry: Mapping[str, Any], image: AnnotatedImage, id_: int, category: str) -> None:
    """Refuse names that contradict the ids, since the ids may be numbered differently."""
    given = entry.get("file_name")
    if isinstance(given, str) and PurePosixPath(given).stem != PurePosixPath(image.name).stem:
        raise BadEntryError(
            f"file_name: expected {shorten(image.name)}, as image {image.id} is called, "
            f"got {shorten(given)}"
        )
    given = entry.get("category")
    if isinstance(given, str) and not same_class(given, category):
        raise BadEntryError(
            f"category: expected {shorten(category)}, as category {id_} is called, "
            f"got {shorten(given)}"
        )


def _read(
    entry: Mapping[str, Any],
    image: AnnotatedImage,
    label: int,
    dropped: list[str],
    *,
    masked: bool,
) -> _Found:
    score = entry.get("score")
    if not is_number(score):
        raise BadEntryError(f"score: expected a finite number, got {shorten(score)}")
    mask = None
    if masked:
        try:
            mask = read_segmentation(entry["segmentation"], *image.size, dropped=dropped)
        except MaskError as error:
            raise BadEntryError(f"segmentation: {error}") from error
    given: Any = entry.get("bbox")
    if given is None and mask is not None:
        return box_of_mask(mask), label, float(score), mask
    numbers = isinstance(given, list) and [is_number(value) for value in given]
    if numbers != [True] * 4 or min(given[2:]) < 0 or max(map(abs, given)) > _FARTHEST:
        raise BadEntryError(
            f"bbox: expected [left, top, width, height] in pixels, the last two from 0 on, none "
            f"beyond {_FARTHEST:.0e}, got {shorten(given)}"
        )
    left, top, width, height = map(float, given)
    return (left, top, left + width, top + height), label, float(score), mask


def _together(found: list[_Found], *, boxes_alone: bool) -> Detections:
    if not found:
        return Detections.none(boxes_alone=boxes_alone)
    boxes, labels, scores, masks = zip(*found, strict=True)
    return Detections(
        torch.tensor(boxes, dtype=torch.float64),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float64),
        None if boxes_alone else list(masks),
    )
