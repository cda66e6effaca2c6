"""Classes and the categories of annotation files, matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dealias._text import plain_name, printable

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

# PASCAL VOC's names, and COCO's for the same things; blanks do not count.
_SYNONYMS = {"motorcycle": "motorbike", "tv": "tvmonitor"}


def match_categories(categories: Mapping[int, str], classes: Sequence[str]) -> dict[int, int]:
    """Find the classes among the categories of a file, by name and never by position.

    Names may differ in case, blanks, "-" and "_", and as those of COCO and PASCAL VOC do
    (motorcycle and motorbike, tv and tvmonitor).

    Args:
        categories: names of the categories, by id.
        classes: names of classes 1 .. C, in this order.

    Returns:
        Label 1 .. C by category id. Categories that are no classes are left out.

    Raises:
        ValueError: a class given twice, a class without a category, or with several.

    >>> match_categories({4: "motorcycle", 3: "car", 1: "person"}, ["car", "motorbike"])
    {4: 2, 3: 1}
    """
    labels = {_key(name): label for label, name in enumerate(classes, start=1)}
    if len(labels) != len(classes):
        raise ValueError(f"classes: expected names that differ, got {list(classes)}")
    found = {id_: labels[_key(name)] for id_, name in categories.items() if _key(name) in labels}
    known = ", ".join(printable(name) for name in categories.values())
    for label, name in enumerate(classes, start=1):
        ids = [id_ for id_, matched in found.items() if matched == label]
        if len(ids) != 1:
            count = "no category" if not ids else f"{len(ids)} categories"
            raise ValueError(f"class {name!r}: {count} of this name; there are {known}")
    return found


def same_class(name: str, other: str) -> bool:
    """Whether two names are matched by :func:`match_categories`."""
    return _key(name) == _key(other)


def _key(name: str) -> str:
    plain = plain_name(name)
    return _SYNONYMS.get(plain, plain)
