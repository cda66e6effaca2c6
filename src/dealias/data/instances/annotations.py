"""Reading annotation files in COCO's format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dealias.data.instances.categories import match_categories
from dealias.data.instances.entries import (
    BadEntryError,
    ForbiddenPathError,
    as_id,
    has_segmentation,
    plain,
    read_content,
    read_image,
    read_instance,
)
from dealias.data.instances.records import InstanceSet, Notes, Problem
from dealias.metrics.instances import AnnotatedImage, Instance, mask_area
from dealias.text import FileError, plain_name, printable, shorten

T = TypeVar("T")

_LISTS = ("images", "annotations", "categories")
_LISTED = 8
_MOST_CATEGORIES = 65_535


class AnnotationError(FileError):
    """Annotations can't be used; messages call content without a file "annotations"."""


def read_annotations(
    source: str | Path | Mapping[str, Any],
    *,
    images: str | Path,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    ignore_other_categories: bool = False,
    boxes_alone: bool = False,
) -> InstanceSet:
    """Read instances in COCO's format.

    Problems of the file itself are raised here, before any image is read.

    Args:
        source: a JSON file, or its content, which may also have arrays and run lengths as bytes.
        images: the folder that file names are relative to.
        classes: names of classes 1 .. C, matched as in :func:`match_categories`; by default all
            categories in the order of their ids.
        skip_bad: leave out what can't be used, and list it: missing images, boxes without area,
            broken polygons and run lengths, unknown categories, annotations with a duplicate id.
        ignore_other_categories: leave out annotations of a category that is not a class, and count
            them.
        boxes_alone: accept annotations without any "segmentation", or with empty ones only; their
            instances have boxes and no masks. If one annotation has a segmentation, all must.

    Broken polygons beside valid ones are left out. A missing box or area, or an area of 0, is
    computed from the mask; without masks, the area is computed from the box. The `notes` of the
    set count both, and anything else that is not used as stored.

    Raises:
        AnnotationError: the content is something else, a class has no category, an id of an image
            or a category occurs twice, a file name leads out of the folder of images, an entry
            can't be used (unless `skip_bad`), or nothing is left.
    """
    path, content = _load(source)
    folder = Path(images)
    if not folder.is_dir():
        raise AnnotationError(path, f"expected images in {printable(folder)}, which is no folder")
    problems: list[Problem] = []
    try:
        categories = _categories(content)
        by_id = dict.fromkeys(categories[i] for i in sorted(categories))
        wanted = tuple(by_id) if classes is None else tuple(classes)
        used = {_id_of(entry, "category_id") for entry in content["annotations"]}
        labels = match_categories(categories, wanted, used=used)
        found = _images(content, folder, problems)
    except ValueError as error:
        raise AnnotationError(path, str(error)) from error
    names = {id_: name for id_, name in categories.items() if id_ not in labels}
    notes = Notes()
    alone = boxes_alone and not any(map(has_segmentation, content["annotations"]))
    instances, others = _instances(content, found, labels, names, problems, notes, alone)
    if not ignore_other_categories:
        stray = {id_: f"category {shorten(names[id_])}: no class" for _, id_ in others}
        problems += [Problem(title, stray[id_]) for title, id_ in others]
    if problems and not skip_bad:
        raise AnnotationError(path, f"{_listed(problems)}; skip_bad goes on without")
    kept = tuple(
        replace(image, instances=tuple(instances[id_]))
        for id_, image in found.items()
        if image is not None
    )
    alike = _look_alikes(categories, labels, wanted)
    if not any(image.instances for image in kept):
        listed_names = ", ".join(wanted[:_LISTED]) + (", ..." if len(wanted) > _LISTED else "")
        reason = f"no instance of {listed_names} that can be used"
        listed = [_listed(problems)] if problems else []
        raise AnnotationError(path, "; ".join([reason, *alike, *listed]))
    masks = [
        i.mask for image in kept for i in image.instances if i.mask is not None and not i.crowd
    ]
    if masks and not any(map(mask_area, masks)):
        reason = "expected an instance that covers a pixel; are coordinates shares of the image?"
        raise AnnotationError(path, f"segmentation: {reason}")
    ignored = Counter(names[id_] for _, id_ in others) if ignore_other_categories else {}
    more = (*alike, *_of_lvis(content), *notes.listed())
    missing = frozenset(id_ for id_, image in found.items() if image is None)
    return InstanceSet(
        wanted, kept, tuple(problems), dict(ignored), categories, labels, more, missing
    )


def _load(source: str | Path | Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]]:
    content: Any = source
    path = Path("annotations")
    if isinstance(source, (str, Path)):
        path = Path(source)
        content = read_content(path, AnnotationError)
    for key in _LISTS:
        if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
            raise AnnotationError(path, f"expected a mapping with a list {key!r}")
        if not content[key]:
            raise AnnotationError(path, f"expected at least one entry of {key!r}, got none")
    if not isinstance(source, (str, Path)):
        content = dict(source) | {key: [*map(plain, source[key])] for key in _LISTS}
    return path, content


def _categories(content: Mapping[str, Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    if len(content["categories"]) > _MOST_CATEGORIES:
        raise ValueError(f"categories: expected at most {_MOST_CATEGORIES:,}")
    for entry in content["categories"]:
        id_ = _id_of(entry, "id")
        if id_ is None or not isinstance(entry.get("name"), str):
            raise ValueError(f"categories: expected an id and a name, got {shorten(entry)}")
        if id_ in categories:
            raise ValueError(f"categories: two have the id {id_}")
        categories[id_] = entry["name"]
    return categories


def _images(
    content: Mapping[str, Any], folder: Path, problems: list[Problem]
) -> dict[int, AnnotatedImage | None]:
    """Images by id; None for images that can't be used."""
    found: dict[int, AnnotatedImage | None] = {}
    paths: set[Path] = set()
    for index, entry in enumerate(content["images"]):
        id_ = _id_of(entry, "id")
        if id_ in found:
            raise ValueError(f"images: two have the id {id_}")
        title = _title("image", entry, index)
        try:
            image = _or_note(problems, title, partial(read_image, entry, folder))
        except ForbiddenPathError as error:
            raise ValueError(f"{title}: {error}") from error
        if image is not None and image.path in paths:
            problems.append(Problem(title, f"another has the file name {shorten(image.name)}"))
            image = None
        elif image is not None:
            paths.add(image.path)
        if id_ is not None:
            found[id_] = image
    return found


def _instances(
    content: Mapping[str, Any],
    images: Mapping[int, AnnotatedImage | None],
    labels: Mapping[int, int],
    other_categories: Mapping[int, str],
    problems: list[Problem],
    notes: Notes,
    boxes_alone: bool,
) -> tuple[dict[int, list[Instance]], list[tuple[str, int]]]:
    """Instances by image, and annotations of other categories with their category."""
    found: dict[int, list[Instance]] = {id_: [] for id_ in images}
    others = []
    numbers: set[int] = set()
    known = labels.keys() | other_categories.keys()
    for index, entry in enumerate(content["annotations"]):
        title = _title("annotation", entry, index)
        ids = _or_note(problems, title, partial(_ids_of, entry, images, known))
        if ids is None:
            continue
        number = _id_of(entry, "id")
        if number in numbers:
            problems.append(Problem(title, "another has this id"))
            continue
        if number is not None:
            numbers.add(number)
        image = images[ids[0]]
        if ids[1] in other_categories:
            others.append((title, ids[1]))
        elif image is not None:
            label = labels[ids[1]]
            read = partial(read_instance, entry, image.size, label, boxes_alone=boxes_alone)
            instance, kinds = _or_note(problems, title, read) or (None, [])
            found[image.id] += [] if instance is None else [instance]
            for kind in kinds:
                notes.add(kind, title)
    return found, others


def _ids_of(entry: Any, images: Container[int], categories: Container[int]) -> tuple[int, int]:
    """Ids of the image and the category of an annotation."""
    if not isinstance(entry, Mapping):
        raise BadEntryError(f"expected a mapping, got {shorten(entry)}")
    image, category = _id_of(entry, "image_id"), _id_of(entry, "category_id")
    if image is None or image not in images:
        got = shorten(entry.get("image_id"))
        raise BadEntryError(f"image_id: expected the id of an image, got {got}")
    if category is None or category not in categories:
        got = shorten(entry.get("category_id"))
        raise BadEntryError(f"category_id: expected the id of a category, got {got}")
    return image, category


def _id_of(entry: Any, key: str) -> int | None:
    return as_id(entry.get(key)) if isinstance(entry, Mapping) else None


def _look_alikes(
    categories: Mapping[int, str], labels: Mapping[int, int], classes: Sequence[str]
) -> list[str]:
    """Messages about categories that are not classes, but differ from one only in case."""
    taken = {plain_name(classes[label - 1]): id_ for id_, label in labels.items()}
    others = {id_: plain_name(name) for id_, name in categories.items() if id_ not in labels}
    alike = [id_ for id_, name in others.items() if name in taken]
    twins = [(id_, taken[others[id_]]) for id_ in alike[:_LISTED]]
    listed = [
        f"category {id_}, {shorten(categories[id_])}, is no class; category {twin}, "
        f"{shorten(categories[twin])}, is"
        for id_, twin in twins
    ]
    more = len(alike) - _LISTED
    return [*listed, *([f"and {more:,} more categories that are no classes"] if more > 0 else [])]


def _of_lvis(content: Mapping[str, Any]) -> list[str]:
    """A message if images list the categories that annotators looked for, as in LVIS."""
    keys = {"neg_category_ids", "not_exhaustive_category_ids"}
    if not any(isinstance(image, Mapping) and keys & image.keys() for image in content["images"]):
        return []
    return [
        "not every category was looked for in every image, as in LVIS; average precision is "
        "COCO's, which counts a detection of what was not looked for as false, and not LVIS's"
    ]


def _or_note(problems: list[Problem], title: str, read: Callable[[], T]) -> T | None:
    """The result of `read`, or None with the problem recorded."""
    try:
        return read()
    except BadEntryError as error:
        problems.append(Problem(title, str(error)))
        return None


def _title(kind: str, entry: Any, index: int) -> str:
    """Name an entry by its id, or by its position without one."""
    id_ = _id_of(entry, "id")
    return f"{kind} {id_}" if id_ is not None else f"{kind} number {index + 1}"


def _listed(problems: Sequence[Problem]) -> str:
    listed = "; ".join(map(str, problems[:_LISTED]))
    more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    count = "an entry" if len(problems) == 1 else f"{len(problems):,} entries"
    return f"{count} can't be used: {listed}{more}"
