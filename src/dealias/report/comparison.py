"""Compare two results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dealias.evaluation import Groups, Unit
from dealias.metrics.functional import AGREEMENT, ERROR_KINDS, FIGURES, MEAN_FIGURES
from dealias.report.paired import (
    check_targets,
    other_targets,
    paired_differences,
    restrict,
)
from dealias.report.result_files import ResultFileError
from dealias.report.units import units_of
from dealias.text import printable, told_conditions

_SHIFTS = ("shifts", "largest", "seed")
_SAME = ("protocol", "band_width", "ignore_index")


def compare_results(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    *,
    names: Sequence[str] = ("A", "B"),
    groups: Groups | None = None,
) -> dict[str, Any]:
    """Compare two results, from :func:`read_result`; differences are B minus A.

    If the results share only some images, and both have the margins of each image, all figures are
    computed over the shared images.

    Args:
        a: the first result.
        b: the second result.
        names: their names, for messages and headings.
        groups: groups of images that are resampled as a whole; by default those of the results.

    Returns:
        ``names``; ``metrics`` and ``classes`` with ``a``, ``b`` and ``difference`` of each figure,
        None where undefined, and the results of :func:`paired_differences`; ``intervals``, how
        these were estimated; ``error_pixels`` and ``mIoU_gain`` by kind; ``per_image`` with the
        mIoU of each image, largest loss first; ``agreement``, the shift agreement of both, if both
        were tested under the same shifts; ``widths``, the curves ``a`` and ``b`` at the common band
        widths, if both results have the same images; ``notes``, messages about other differences.

    Raises:
        ResultFileError: see :func:`check_comparable`; different images are refused only if margins
            are unknown, or if the targets of shared images differ.
        GroupError: an image has no group.
    """
    _check_settings(a, b, names)
    units = [units_of(result) for result in (a, b)]
    shifts = _other_shifts(a, b, names)
    resized = _resized(a, b, names)
    left_out = _left_out(a, b, units, names)
    widths, other_widths = _widths(a, b, whole=not left_out)
    if left_out:
        first, second = units
        units = [{k: side[k] for k in side if k in first and k in second} for side in units]
        a, b = (restrict(result, side) for result, side in zip((a, b), units, strict=True))
    check_comparable(a, b, names=names)
    first, second = units
    check_targets(first, second, len(a["classes"]), names)
    listed = [row["name"] for row in a["classes"]]
    paired = paired_differences(first, second, listed, names, groups)
    classes = zip(a["classes"], b["classes"], paired["classes"], strict=True)
    of_b = {row["name"]: row["mIoU"] for row in b["per_image"]}
    rows = [{"name": row["name"]} | _pair(row["mIoU"], of_b[row["name"]]) for row in a["per_image"]]
    paired["metrics"]["mIoU"] |= _better_and_worse(rows)  # known even without margins
    return {
        "names": list(names),
        "protocol": a["protocol"],
        "band_width": a["band_width"],
        "ignore_index": a["ignore_index"],
        "metrics": {
            key: _pair(a["metrics"][key], b["metrics"][key]) | paired["metrics"][key]
            for key in MEAN_FIGURES
        },
        "classes": [
            {"name": one["name"]} | {key: _pair(one[key], two[key]) | more[key] for key in FIGURES}
            for one, two, more in classes
        ],
        "intervals": paired["about"],
        "error_pixels": {
            kind.key: _pair(_wrong(a, kind.key), _wrong(b, kind.key)) for kind in ERROR_KINDS
        },
        "mIoU_gain": {
            kind.key: _pair(a["mIoU_gain"][kind.key], b["mIoU_gain"][kind.key])
            for kind in ERROR_KINDS
        },
        "per_image": sorted(rows, key=_loss),
        "widths": widths,
        "agreement": None if shifts or left_out else _agreement(a, b),
        "notes": [
            *left_out,
            *_changed(a, b, names),
            *resized,
            *shifts,
            *other_widths,
            *_no_intervals(paired["about"]),
        ],
    }


def _left_out(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    units: Sequence[Mapping[str, Unit]],
    names: Sequence[str],
) -> list[str]:
    """Return a note on images that are in only one result, if the figures can do without them."""
    rows = [_rows(result, name) for result, name in zip((a, b), names, strict=True)]
    common = units[0].keys() & units[1].keys()
    alone = [len(side) - len(common) for side in units]
    known = all(side[k].margins is not None for side in units for k in common)
    if not any(alone) or not common or not known:
        return []
    for name in sorted(common):
        if _differ(*(side[name] for side in rows)):
            raise ResultFileError(other_targets(name, names))
    return [
        f"Figures are over the {len(common):,} images in both; {alone[0]:,} only in {names[0]} and "
        f"{alone[1]:,} only in {names[1]} are left out."
    ]


def _no_intervals(about: Mapping[str, Any]) -> list[str]:
    missing = about["missing"]
    return [] if missing is None else [f"Differences have no intervals: {missing}."]


def _widths(
    a: Mapping[str, Any], b: Mapping[str, Any], *, whole: bool
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the curves of both against the band width, or a message why they are not compared."""
    one, two = a.get("widths"), b.get("widths")
    if one is None or two is None:
        return None, []
    shared = {key: one[key] for key in ("unit", "widths")}
    if any(two[key] != value for key, value in shared.items()):
        return None, ["Figures at other band widths are not compared: the widths differ."]
    if not whole:
        return None, ["Figures at other band widths are not compared: they are of all images."]
    return shared | {"a": one["metrics"], "b": two["metrics"]}, []


def check_comparable(
    a: Mapping[str, Any], b: Mapping[str, Any], *, names: Sequence[str] = ("A", "B")
) -> None:
    """Raise ResultFileError unless two results can differ only in their predictions.

    Args:
        a: the first result, from :func:`read_result`.
        b: the second result.
        names: their names, for messages.

    Raises:
        ResultFileError: the protocol, band width, void label, classes, images or targets differ.
    """
    _check_settings(a, b, names)
    first, second = map(printable, names)
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
        raise ResultFileError(other_targets(other, names))
    for one, two in zip(a["classes"], b["classes"], strict=True):
        if one["pixels"] != two["pixels"]:
            raise ResultFileError(
                f"expected the same targets in both, got {one['pixels']:,} pixels of "
                f"{printable(one['name'])} in {first} and {two['pixels']:,} in {second}"
            )


def _check_settings(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> None:
    first, second = map(printable, names)
    listed = [[row["name"] for row in result["classes"]] for result in (a, b)]
    if listed[0] != listed[1]:  # then other settings may differ for the same reason
        raise ResultFileError(
            f"expected the same classes in both, got {len(listed[0])} in {first} "
            f"and {len(listed[1])} in {second}, not all alike"
        )
    for key in _SAME:
        if a[key] != b[key]:
            raise ResultFileError(
                f"expected one {key.replace('_', ' ')}, "
                f"got {a[key]!r} in {first} and {b[key]!r} in {second}"
            )


def _rows(result: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    rows = {row["name"]: row for row in result["per_image"]}
    if len(rows) < len(result["per_image"]):
        raise ResultFileError(f"{printable(name)}: expected a row an image, got several of a name")
    return rows


def _differ(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether two rows of an image are known to have different targets."""
    targets = {row["digests"]["target"] for row in (one, two) if "digests" in row}
    # Different bytes may hold the same labels.
    return len(targets) > 1 and all(target.startswith("labels:") for target in targets)


def _changed(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Say how images were made dark or noisy, if the results differ in this."""
    told = [told_conditions(result) or "as they are" for result in (a, b)]
    if told[0] == told[1]:
        return []
    return [f"The images were not alike: {told[0]} in {names[0]}, {told[1]} in {names[1]}."]


def _resized(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Say which predictions were resized, unless it was all or none of both."""
    resized = [result.get("resized_images", 0) for result in (a, b)]
    if resized[0] == resized[1]:
        return []
    told = [f"{count:,} in {name}" for count, name in zip(resized, names, strict=True)]
    return [f"Predictions were resized to their targets: {told[0]}, {told[1]}."]


def _other_shifts(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Say why shift agreement can't be compared, if one of the results has it."""
    both = [result.get("shifts") for result in (a, b)]
    if None in both:  # or neither has it
        has = [name for name, found in zip(names, both, strict=True) if found is not None]
        return [f"Only {name} was tested under shifts." for name in has]
    settings = [{key: found[key] for key in _SHIFTS} for found in both if found is not None]
    if settings[0] == settings[1]:
        return []
    told = [
        f"{found['shifts']} of up to {found['largest']} px, seed {found['seed']}, in {name}"
        for found, name in zip(settings, names, strict=True)
    ]
    return [f"The images were shifted differently: {told[0]}, {told[1]}."]


def _agreement(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any] | None:
    if a.get("shifts") is None:
        return None
    return {key: _pair(a["shifts"][key], b["shifts"][key]) for key in AGREEMENT}


def _better_and_worse(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    changes = [row["difference"] or 0 for row in rows]
    return {"better": sum(c > 0 for c in changes), "worse": sum(c < 0 for c in changes)}


def _loss(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    difference = row["difference"]
    return difference is None, difference or 0.0, row["name"]


def _pair(a: float | None, b: float | None) -> dict[str, float | None]:
    return {"a": a, "b": b, "difference": None if a is None or b is None else b - a}


def _wrong(result: Mapping[str, Any], kind: str) -> int:
    return sum(int(row["error_pixels"][kind]) for row in result["per_image"])
