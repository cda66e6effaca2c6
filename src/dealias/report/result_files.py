"""Read the JSON files of results, without trusting them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from dealias.metrics.functional import ERROR_KINDS
from dealias.report.aliasing import GROUPS
from dealias.text import printable

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


def read_probe(path: Path) -> dict[str, Any]:
    """Read the result of `dealias probe --output`.

    Raises:
        ResultFileError: the file holds no such result.
    """
    return _read(path, _PROBE_SHAPE, "a result of dealias probe")


def _read(path: Path, shape: Any, expected: str) -> dict[str, Any]:
    source = printable(path)
    try:
        content = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise ResultFileError(f"{source}: no such file") from error
    except (ValueError, RecursionError) as error:
        raise ResultFileError(f"{source}: expected {expected}, in JSON: {error}") from error
    _check(content, shape, f"{source}: expected {expected}", "")
    result: dict[str, Any] = content
    return result


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


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
