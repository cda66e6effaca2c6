"""Matching classes and the categories of annotation files by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

from dealias.text import plain_name, shorten

LIS_CLASSES = (
    "bicycle",
    "car",
    "motorbike",
    "bus",
    "bottle",
    "chair",
    "diningtable",
    "tvmonitor",
)

# In the order of their ids, which are 1 to 90 with gaps.
COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack"),
    *("umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball"),
    *("kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair"),
    *("couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator"),
    *("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)

_LISTED = 100

# COCO's names to PASCAL VOC's for the same classes, without blanks.
_SYNONYMS = {"motorcycle": "motorbike", "tv": "tvmonitor"}


def match_categories(
    categories: Mapping[int, str],
    classes: Sequence[str],
    *,
    used: Container[int | None] | None = None,
) -> dict[int, int]:
    """Match classes with the categories of a file by name, never by position.

    A category with exactly the same name is preferred. If there is none, names may differ in case,
    blanks, "-" and "_", or in the way that those of COCO and PASCAL VOC differ (motorcycle and
    motorbike, tv and tvmonitor), as long as only one category matches.

    Args:
        categories: names of the categories, by id.
        classes: names of classes 1 .. C, in this order.
        used: ids of the categories that occur in annotations. If several categories match a
            class and only one of them is in use, that one is taken; if none is in use, all are.

    Returns:
        The label 1 .. C of each category id, without categories that are not classes.

    Raises:
        ValueError: a class is given twice, or has no category or several.

    >>> match_categories({4: "motorcycle", 3: "car", 1: "person"}, ["car", "motorbike"])
    {4: 2, 3: 1}
    >>> match_categories({1: "car", 2: "Car"}, ["car"])
    {1: 1}
    """
    exactly: dict[str, list[int]] = {}
    alike: dict[str, list[int]] = {}
    for id_, name in categories.items():
        exactly.setdefault(name, []).append(id_)
        alike.setdefault(_key(name), []).append(id_)
    times = Counter(map(_key, classes))
    doubtful = any(times[_key(name)] > 1 and name not in exactly for name in classes)
    if doubtful or len({*classes}) != len(classes):
        raise ValueError(f"classes: expected names that differ, got {shorten(list(classes), 200)}")
    labels: dict[int, int] = {}
    for label, name in enumerate(classes, start=1):
        ids = exactly.get(name) or alike.get(_key(name), [])
        in_use = ids if used is None else [id_ for id_ in ids if id_ in used]
        if len(ids) != 1 and len(in_use) != 1 and (in_use or not ids):
            count = "no category" if not ids else f"{len(in_use)} categories"
            names = list(categories.values())
            known = ", ".join(shorten(other)[1:-1] for other in names[:_LISTED])
            known += f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
            raise ValueError(f"class {shorten(name)}: {count} of this name; there are {known}")
        labels |= dict.fromkeys(ids if len(ids) == 1 else in_use or ids, label)
    return {id_: labels[id_] for id_ in categories if id_ in labels}


def same_class(name: str, other: str) -> bool:
    """Whether :func:`match_categories` treats two names as the same class."""
    return _key(name) == _key(other)


def _key(name: str) -> str:
    plain = plain_name(name)
    return _SYNONYMS.get(plain, plain)
