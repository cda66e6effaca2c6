"""Classes and the categories of annotation files, matched by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

from dealias.text import plain_name, printable

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


def match_categories(
    categories: Mapping[int, str],
    classes: Sequence[str],
    *,
    used: Container[int | None] | None = None,
) -> dict[int, int]:
    """Find the classes among the categories of a file, by name and never by position.

    A category of exactly the name comes first. Where there is none, names may differ in case,
    blanks, "-" and "_", and as those of COCO and PASCAL VOC do (motorcycle and motorbike, tv and
    tvmonitor), as long as one category alone does.

    Args:
        categories: names of the categories, by id.
        classes: names of classes 1 .. C, in this order.
        used: ids of the categories that something is of. Of several categories that fit a class
            the only one among them is meant; if none is, all are.

    Returns:
        Label 1 .. C by category id. Categories that are no classes are left out.

    Raises:
        ValueError: a class given twice, a class without a category, or with several.

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
        raise ValueError(f"classes: expected names that differ, got {list(classes)}")
    labels: dict[int, int] = {}
    for label, name in enumerate(classes, start=1):
        ids = exactly.get(name) or alike.get(_key(name), [])
        in_use = ids if used is None else [id_ for id_ in ids if id_ in used]
        if len(ids) != 1 and len(in_use) != 1 and (in_use or not ids):
            count = "no category" if not ids else f"{len(in_use)} categories"
            known = ", ".join(map(printable, categories.values()))
            raise ValueError(f"class {name!r}: {count} of this name; there are {known}")
        labels |= dict.fromkeys(ids if len(ids) == 1 else in_use or ids, label)
    return {id_: labels[id_] for id_ in categories if id_ in labels}


def same_class(name: str, other: str) -> bool:
    """Whether two names are the same to :func:`match_categories` where none is exactly."""
    return _key(name) == _key(other)


def _key(name: str) -> str:
    plain = plain_name(name)
    return _SYNONYMS.get(plain, plain)
