"""What two results differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dealias._text import printable
from dealias.metrics.functional import ERROR_KINDS
from dealias.report._result_file import CLASS_METRICS, METRICS, ResultFileError

_SAME = ("protocol", "band_width")


def compare_results(
    a: Mapping[str, Any], b: Mapping[str, Any], *, names: Sequence[str] = ("A", "B")
) -> dict[str, Any]:
    """Compare two results, from :func:`read_result`; differences are B minus A.

    Args:
        a: the first.
        b: the second.
        names: two, for messages and headings.

    Returns:
        ``names``; ``metrics`` and ``classes`` with ``a``, ``b`` and ``difference`` of each figure,
        None where one of them is not defined; ``error_pixels`` by kind; ``per_image`` with the
        mIoU of the images in both, largest loss first; ``only_a`` and ``only_b``, images in one;
        ``notes`` on what the figures are not of, for people.

    Raises:
        ResultFileError: other classes, another protocol or band width.
    """
    for key in _SAME:
        if a[key] != b[key]:
            raise ResultFileError(
                f"expected one {key.replace('_', ' ')}, "
                f"got {a[key]!r} in {printable(names[0])} and {b[key]!r} in {printable(names[1])}"
            )
    listed = [[row["name"] for row in result["classes"]] for result in (a, b)]
    if listed[0] != listed[1]:
        raise ResultFileError(
            f"expected the same classes in both, got {len(listed[0])} in {printable(names[0])} "
            f"and {len(listed[1])} in {printable(names[1])}, not all alike"
        )
    classes = zip(a["classes"], b["classes"], strict=True)
    images = [{row["name"]: row for row in result["per_image"]} for result in (a, b)]
    both = [name for name in images[0] if name in images[1]]
    only = [[name for name in mine if name not in other] for mine, other in (images, images[::-1])]
    rows = [{"name": name} | _pair(*(side[name]["mIoU"] for side in images)) for name in both]
    return {
        "names": list(names),
        "protocol": a["protocol"],
        "band_width": a["band_width"],
        "ignore_index": a["ignore_index"],
        "metrics": {key: _pair(a["metrics"][key], b["metrics"][key]) for key in METRICS},
        "classes": [
            {"name": one["name"]} | {key: _pair(one[key], two[key]) for key in CLASS_METRICS}
            for one, two in classes
        ],
        "error_pixels": {
            kind.key: _pair(_wrong(a, kind.key), _wrong(b, kind.key)) for kind in ERROR_KINDS
        },
        "mIoU_gain": {
            kind.key: _pair(a["mIoU_gain"][kind.key], b["mIoU_gain"][kind.key])
            for kind in ERROR_KINDS
        },
        "per_image": sorted(rows, key=_loss),
        "only_a": only[0],
        "only_b": only[1],
        "notes": [
            f"{len(missing):,} images are in {printable(name)} alone: the figures are of them too, "
            "the gallery is not."
            for missing, name in zip(only, names, strict=True)
            if missing
        ],
    }


def _loss(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    difference = row["difference"]
    return difference is None, difference or 0.0, row["name"]


def _pair(a: float | None, b: float | None) -> dict[str, float | None]:
    return {"a": a, "b": b, "difference": None if a is None or b is None else b - a}


def _wrong(result: Mapping[str, Any], kind: str) -> int:
    return sum(int(row["error_pixels"][kind]) for row in result["per_image"])
