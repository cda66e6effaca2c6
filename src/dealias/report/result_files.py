"""Read the JSON files of results, without trusting them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dealias.inputs import lies_below, read_json
from dealias.metrics.functional import ERROR_KINDS
from dealias.report.aliasing import GROUPS
from dealias.text import FileError, printable

METRICS = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")
CLASS_METRICS = ("IoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")

_NUMBER = (int, float)
_MAYBE = (int, float, type(None))
_KINDS = {kind.key: _MAYBE for kind in ERROR_KINDS}
_SHAPE = {
    "class_set": str,
    "ignore_index": int,
    "protocol": str,
    "band_width": int,
    "images": int,
    "metrics": {**dict.fromkeys(METRICS, _MAYBE), "aAcc": _MAYBE, "mAcc": _MAYBE},
    "classes": [
        {
            "name": str,
            "pixels": int,
            "IoU_gain": _KINDS,
            **dict.fromkeys(CLASS_METRICS, _MAYBE),
        }
    ],
    "error_shares": _KINDS,
    "mIoU_gain": _KINDS,
    "costly_pairs": {
        kind.key: [{"target": str, "prediction": str, "pixels": int, "mIoU_gain": _MAYBE}]
        for kind in ERROR_KINDS
    },
    "per_image": [
        {"name": str, "mIoU": _MAYBE, "error_pixels": {kind.key: int for kind in ERROR_KINDS}}
    ],
    "skipped": [str],
}
_DIGESTS = {"prediction": str, "target": str}
_ALIASING = {
    "edges": [_NUMBER],
    "groups": {name: {"pixels": int, "histogram": [int]} for name in GROUPS},
}
_SITE = {
    "name": str,
    "cutoff": object,
    "aliasing_score": _MAYBE,
    "aliasing_score_std": _MAYBE,
    "orthogonality": _MAYBE,
    "in_channels": int,
    "out_channels": int,
}
_MAPS = {"folder": str, "site": str}
_PROBE_SHAPE = {"sites": [_SITE], "settings": {"images": int}}


class ResultFileError(ValueError):
    """A file does not hold a usable result of an evaluation or a probe."""


def read_result(path: Path) -> dict[str, Any]:
    """Read the result of an evaluation, as `dealias evaluate --output` writes it.

    Unknown keys are kept; keys that earlier versions did not write may be missing.

    Raises:
        ResultFileError: the file holds no such result; the message says where and what was
            expected.
    """
    result = _read(path, _SHAPE, "a result for semantic segmentation, of dealias evaluate or test")
    for index, row in enumerate(result["per_image"]):
        if "digests" in row:
            _check(row["digests"], _DIGESTS, printable(path), f"per_image[{index}].digests")
    if result.get("errors_against_aliasing") is not None:
        aliasing = result["errors_against_aliasing"]
        _check(aliasing, _ALIASING, printable(path), "errors_against_aliasing")
    return result


def read_probe(path: Path, *, trust: bool = False) -> dict[str, Any]:
    """Read the result of `dealias probe --output`.

    Args:
        path: the file.
        trust: follow the path of the aliasing maps wherever it leads; otherwise they must lie below
            the folder of the file.

    Raises:
        ResultFileError: the file holds no such result, or its maps lie elsewhere.
    """
    probe = _read(path, _PROBE_SHAPE, "a result of dealias probe")
    if probe.get("maps") is not None:
        _check(probe["maps"], _MAPS, printable(path), "maps")
        if not (trust or lies_below(Path(probe["maps"]["folder"]), path.parent)):
            folder = printable(probe["maps"]["folder"])
            raise ResultFileError(f"{printable(path)}: --trust reads the maps it names, {folder}")
    return probe


def _read(path: Path, shape: Any, expected: str) -> dict[str, Any]:
    source = printable(path)
    try:
        content = read_json(path)
    except FileError as error:
        what = f"expected {expected}: " if error.problem.startswith("expected JSON") else ""
        raise ResultFileError(f"{source}: {what}{error.problem}") from error
    _check(content, shape, f"{source}: expected {expected}", "")
    result: dict[str, Any] = content
    return result


def _check(value: Any, shape: Any, source: str, place: str) -> None:
    where = f"{source}: {place}" if place else source
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ResultFileError(f"{where}: expected a mapping, got {_short(value)}")
        for key, inner in shape.items():
            if key not in value:
                raise ResultFileError(f"{where}: lacks {key!r}")
            _check(value[key], inner, source, f"{place}.{key}" if place else key)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ResultFileError(f"{where}: expected a list, got {_short(value)}")
        for index, entry in enumerate(value):
            _check(entry, shape[0], source, f"{place}[{index}]")
    elif shape is not object and (not isinstance(value, shape) or isinstance(value, bool)):
        name = "text" if shape is str else "a number"
        raise ResultFileError(f"{where}: expected {name}, got {_short(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ResultFileError(f"{where}: expected a finite number, got {value}")


def _short(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
