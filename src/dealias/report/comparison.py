"""Compare two results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dealias.metrics.functional import ERROR_KINDS
from dealias.report.result_files import AGREEMENT, CLASS_METRICS, METRICS, ResultFileError
from dealias.text import printable

_SHIFTS = ("shifts", "largest", "seed")
_SAME = ("protocol", "band_width", "ignore_index")


def compare_results(
    a: Mapping[str, Any], b: Mapping[str, Any], *, names: Sequence[str] = ("A", "B")
) -> dict[str, Any]:
    """Compare two results, from :func:`read_result`; differences are B minus A.

    Args:
        a: the first.
        b: the second.
        names: their names, for messages and headings.

    Returns:
        ``names``; ``metrics`` and ``classes`` with ``a``, ``b`` and ``difference`` of each figure,
        None where undefined; ``error_pixels`` and ``mIoU_gain`` by kind; ``per_image`` with the
        mIoU of each image, largest loss first; ``agreement``, the shift agreement of both, if both
        were tested under the same shifts; ``notes``, messages on what else differs.

    Raises:
        ResultFileError: as :func:`check_comparable`.
    """
    check_comparable(a, b, names=names)
    classes = zip(a["classes"], b["classes"], strict=True)
    second = {row["name"]: row["mIoU"] for row in b["per_image"]}
    rows = [
        {"name": row["name"]} | _pair(row["mIoU"], second[row["name"]]) for row in a["per_image"]
    ]
    shifts = _other_shifts(a, b, names)
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
        "agreement": None if shifts else _agreement(a, b),
        "notes": [*_noise(a, b, names), *shifts],
    }


def check_comparable(
    a: Mapping[str, Any], b: Mapping[str, Any], *, names: Sequence[str] = ("A", "B")
) -> None:
    """Raise unless two results can differ by their predictions only.

    Args:
        a: the first, from :func:`read_result`.
        b: the second.
        names: their names, for messages.

    Raises:
        ResultFileError: the protocol, band width, void label, classes, images or targets differ.
    """
    first, second = map(printable, names)
    for key in _SAME:
        if a[key] != b[key]:
            raise ResultFileError(
                f"expected one {key.replace('_', ' ')}, "
                f"got {a[key]!r} in {first} and {b[key]!r} in {second}"
            )
    listed = [[row["name"] for row in result["classes"]] for result in (a, b)]
    if listed[0] != listed[1]:
        raise ResultFileError(
            f"expected the same classes in both, got {len(listed[0])} in {first} "
            f"and {len(listed[1])} in {second}, not all alike"
        )
    rows = [_rows(result, name) for result, name in zip((a, b), names, strict=True)]
    alone = [mine.keys() - theirs.keys() for mine, theirs in (rows, rows[::-1])]
    if any(alone):
        told = [
            f"{len(images):,} in {name} alone, such as {printable(min(images))!r}"
            for images, name in zip(alone, (first, second), strict=True)
            if images
        ]
        raise ResultFileError(
            f"expected the same images in both, got {'; '.join(told)}; "
            f"{len(rows[0].keys() & rows[1].keys()):,} are in both. Figures are over all images of "
            "a result: evaluate both on the same ones"
        )
    other = next((name for name, row in rows[0].items() if _differ(row, rows[1][name])), None)
    if other is not None:
        raise ResultFileError(
            f"expected the same targets in both, got others of {printable(other)!r} in {second} "
            f"than in {first}"
        )
    for one, two in zip(a["classes"], b["classes"], strict=True):
        if one["pixels"] != two["pixels"]:
            raise ResultFileError(
                f"expected the same targets in both, got {one['pixels']:,} pixels of "
                f"{printable(one['name'])} in {first} and {two['pixels']:,} in {second}"
            )


def _rows(result: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    rows = {row["name"]: row for row in result["per_image"]}
    if len(rows) < len(result["per_image"]):
        raise ResultFileError(f"{printable(name)}: expected a row an image, got several of a name")
    return rows


def _differ(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether two rows of an image are known to have different targets."""
    targets = {row["digests"]["target"] for row in (one, two) if "digests" in row}
    # Files may hold the same labels in other bytes.
    return len(targets) > 1 and all(target.startswith("labels:") for target in targets)


def _noise(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    sigmas = [result.get("noise", 0) for result in (a, b)]
    if sigmas[0] == sigmas[1]:
        return []
    told = [f"{sigma:g} in {name}" for sigma, name in zip(sigmas, names, strict=True)]
    return [f"The images had noise of another sigma, of 255: {told[0]}, {told[1]}."]


def _other_shifts(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Why shift agreement can't be compared, where one of the results has it."""
    both = [result.get("shifts") for result in (a, b)]
    if None in both:  # or in neither
        has = [name for name, found in zip(names, both, strict=True) if found is not None]
        return [f"Only {name} was tested under shifts." for name in has]
    settings = [{key: found[key] for key in _SHIFTS} for found in both if found is not None]
    if settings[0] == settings[1]:
        return []
    told = [
        f"{found['shifts']} of up to {found['largest']} px, seed {found['seed']}, in {name}"
        for found, name in zip(settings, names, strict=True)
    ]
    return [f"The images were shifted otherwise: {told[0]}, {told[1]}."]


def _agreement(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any] | None:
    if a.get("shifts") is None:
        return None
    return {key: _pair(a["shifts"][key], b["shifts"][key]) for key in AGREEMENT}


def _loss(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    difference = row["difference"]
    return difference is None, difference or 0.0, row["name"]


def _pair(a: float | None, b: float | None) -> dict[str, float | None]:
    return {"a": a, "b": b, "difference": None if a is None or b is None else b - a}


def _wrong(result: Mapping[str, Any], kind: str) -> int:
    return sum(int(row["error_pixels"][kind]) for row in result["per_image"])
