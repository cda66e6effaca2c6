"""Read the JSON files of results, without trusting them."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from dealias.evaluation import MARGINS_TEXT, OBJECT_FATES, WIDTH_METRICS
from dealias.inputs import lies_below, read_json
from dealias.labels import MOST_CLASSES
from dealias.metrics.functional import (
    AGREEMENT,
    ERROR_KINDS,
    FIGURES,
    MEAN_FIGURES,
    WIDEST_BAND,
    Protocol,
)
from dealias.report.aliasing import GROUPS
from dealias.report.shapes import Number, Or, Text, find_fault, maybe
from dealias.report.units import check_margins_of
from dealias.text import FileError, printable, shorten

FINE_GRAINED = ("mIoU_I", "mIoU_C", "mIoU_I_worst_tenth", "mIoU_C_worst_tenth")

_DARK_OUTPUT = frozenset(("raw", "srgb"))  # of dealias.data.Dark, which needs torchvision
_SLACK = 1e-6  # tolerance for rounded shares

_COUNT = Number(0, 2**53, whole=True)
_SHARE = Number(-_SLACK, 1 + _SLACK)
_GAIN = maybe(Number(-1 - _SLACK, 1 + _SLACK))
_METRIC = maybe(_SHARE)
_LABEL = Number(-(2**63), 2**63 - 1, whole=True)
_SIZE = Number(0, 1e6)
_SIZES = maybe(Or((_SIZE, [_SIZE])))  # one number, or one each for rows and columns
_DIGEST = Text("a digest", re.compile("[a-z]{1,10}:[0-9a-f]{1,64}|"))
_MARGINS = Text("margins, rows of 13 integers", MARGINS_TEXT)

_ALIASING = {
    "edges": [_SHARE],
    "rank_correlation?": _GAIN,
    "higher_share?": _METRIC,
    "site?": maybe(str),
    "groups": {
        name: {
            "pixels": _COUNT,
            "histogram": [_COUNT],
            "mean?": _METRIC,
            "quantiles": maybe(dict.fromkeys(("10", "25", "50", "75", "90"), _SHARE)),
            "rank_correlation?": _GAIN,
            "higher_share?": _METRIC,
        }
        for name in GROUPS
    },
}
_AGREEMENTS = dict.fromkeys(AGREEMENT, _METRIC)
_FINDING = {"AUROC": _METRIC, "rank_correlation": _GAIN}
_SHIFTS = {
    "shifts": _COUNT,
    "largest": _COUNT,
    "seed": _COUNT,
    "mASSC": _METRIC,
    **_AGREEMENTS,
    "classes": [{"name": str, **_AGREEMENTS}],
    "per_image": [{"name": str, **_AGREEMENTS}],
    "errors_against_instability": {"boundary": _FINDING, "all": _FINDING},
}
_WIDTH = Number(0, WIDEST_BAND)
_WIDTHS = {
    "unit": frozenset(("pixels", "diagonal")),
    "widths": [_WIDTH],
    "metrics": {name: [_METRIC] for name in WIDTH_METRICS},
    "classes": [
        {
            "name": str,
            "covered_from": maybe(_WIDTH),
            "in_bands": [_METRIC],
            **{name: [_METRIC] for name in WIDTH_METRICS.values()},
        }
    ],
}
_FATES = dict.fromkeys(("objects", *OBJECT_FATES, "predicted"), _COUNT)
_OBJECTS = {
    "vanished_below": _SHARE,
    "found_from": _SHARE,
    "total": _FATES,
    "sizes": [{"name": str, "below": _METRIC, "mIoU": _METRIC, "mAcc": _METRIC, **_FATES}],
    "classes": [
        {"name": str, "sizes": [{"name": str, "IoU": _METRIC, "Acc": _METRIC, **_FATES}], **_FATES}
    ],
}
_SHAPE = {
    "class_set": str,
    "ignore_index": _LABEL,
    "protocol": frozenset(get_args(Protocol)),
    "band_width": Number(1, WIDEST_BAND, whole=True),
    "images": _COUNT,
    "metrics": {
        **dict.fromkeys((*MEAN_FIGURES, "aAcc", "mAcc"), _METRIC),
        **dict.fromkeys(("edge_false_rate?", "edge_missing_rate?"), _METRIC),
    },
    "classes": [
        {
            "name": str,
            "pixels": _COUNT,
            "IoU_gain": {kind.key: _GAIN for kind in ERROR_KINDS},
            **dict.fromkeys(FIGURES, _METRIC),
        }
    ],
    "error_shares": {kind.key: _METRIC for kind in ERROR_KINDS},
    "mIoU_gain": {kind.key: _GAIN for kind in ERROR_KINDS},
    "boundary_gain?": _GAIN,
    "costly_pairs": {
        kind.key: [{"target": str, "prediction": str, "pixels": _COUNT, "mIoU_gain": _GAIN}]
        for kind in ERROR_KINDS
    },
    "per_image": [
        {
            "name": str,
            "mIoU": _METRIC,
            "error_pixels": {kind.key: _COUNT for kind in ERROR_KINDS},
            "digests?": {"prediction": _DIGEST, "target": _DIGEST},
            "margins?": _MARGINS,
            "no_margins?": str,
            "group?": str,
        }
    ],
    "intervals?": {
        "unit": str,
        "units": _COUNT,
        "missing": maybe(str),
        "metrics": dict.fromkeys(MEAN_FIGURES, maybe([_SHARE])),
        "classes": [{"name": str, **dict.fromkeys(FIGURES, maybe([_SHARE]))}],
    },
    "fine_grained?": maybe(dict.fromkeys(FINE_GRAINED, _METRIC)),
    "skipped": [str],
    "warnings?": [str],
    "void_pixels?": _COUNT,
    "resized_images?": _COUNT,
    "dark?": {"least": _SIZE, "most": _SIZE, "output": _DARK_OUTPUT},
    "noise?": _SIZE,
    "report?": maybe(str),
    "errors_against_aliasing?": maybe(_ALIASING),
    "shifts?": maybe(_SHIFTS),
    "objects?": maybe(_OBJECTS),
    "covered_by_bands?": {},
    "widths?": maybe(_WIDTHS),
}
_SITE = {
    "name": str,
    "cutoff": _SIZES,
    "aliasing_score": _METRIC,
    "aliasing_score_std": _METRIC,
    "orthogonality": _METRIC,
    "in_channels": _COUNT,
    "out_channels": _COUNT,
    "spectrum?": [_SHARE],
    **dict.fromkeys(("kernel?", "stride?", "esr?", "nyquist?"), _SIZES),
}
_PROBE_SHAPE = {
    "sites": [_SITE],
    "settings": {"images": _COUNT, "model?": maybe(str)},
    "maps?": maybe({"folder": str, "site": str}),
}


class ResultFileError(ValueError):
    """A file does not hold a usable result of an evaluation or of a probe."""


def read_result(path: Path) -> dict[str, Any]:
    """Read the result of an evaluation, as written by `dealias evaluate --output`.

    Unknown keys are kept. Keys that earlier versions did not write may be missing.

    Raises:
        ResultFileError: the file holds no such result; the message says where the fault is and what
            was expected.
    """
    expected = "a result for semantic segmentation, of dealias evaluate or test"
    result = _read(path, _SHAPE, expected)
    problem = _contradiction(result)
    if problem:
        raise ResultFileError(f"{printable(path)}: expected {expected}: {problem}")
    return result


def read_probe(path: Path, *, trust: bool = False) -> dict[str, Any]:
    """Read the result of `dealias probe --output`.

    Args:
        path: the file.
        trust: whether to follow the path of the aliasing maps wherever it leads. Otherwise the maps
            must be below the folder of the file.

    Raises:
        ResultFileError: the file holds no such result or only that of a video, or its maps are
            elsewhere.
    """
    probe = _read(path, _PROBE_SHAPE, "a result of dealias probe")
    if not probe["sites"]:  # a result of a video only
        raise ResultFileError(
            f"{printable(path)}: sites: expected those of dealias probe --images, got none"
        )
    maps = probe.get("maps")
    if maps is not None and not (trust or lies_below(Path(maps["folder"]), path.parent)):
        folder = shorten(maps["folder"], 300)
        raise ResultFileError(f"{printable(path)}: --trust reads the maps it names, {folder}")
    return probe


def _read(path: Path, shape: Any, expected: str) -> dict[str, Any]:
    source = printable(path)
    try:
        content = read_json(path)
    except FileError as error:
        what = f"expected {expected}: " if error.problem.startswith("expected JSON") else ""
        raise ResultFileError(f"{source}: {what}{error.problem}") from error
    fault = find_fault(content, shape)
    if fault is not None:
        place, problem = fault
        where = f"{place}: " if place else ""
        raise ResultFileError(f"{source}: expected {expected}: {where}{problem}")
    result: dict[str, Any] = content
    return result


def _contradiction(result: Mapping[str, Any]) -> str | None:
    """Return a contradiction in a result of the right shape, if there is one."""
    if result["band_width"] % 2 == 0:
        return f"band_width: expected an odd number, got {result['band_width']}"
    for key, most in (("classes", MOST_CLASSES), ("per_image", math.inf)):
        names = Counter(row["name"] for row in result[key])
        if len(names) < len(result[key]):
            twice = shorten(names.most_common(1)[0][0])
            return f"{key}: expected a row each, got several of {twice}"
        if len(names) > most:
            return f"{key}: expected at most {most:,}, got {len(names):,}"
    if not result["classes"]:
        return "classes: expected at least one, got none"
    if result["images"] != len(result["per_image"]):
        return f"per_image: expected {result['images']:,} rows, got {len(result['per_image']):,}"
    try:
        check_margins_of(result)
    except ValueError as error:
        return str(error)
    problem = _odd_widths(result.get("widths"))
    aliasing = result.get("errors_against_aliasing")
    if problem is not None or aliasing is None:
        return problem
    edges = aliasing["edges"]
    if len(edges) < 2 or any(low >= high for low, high in itertools.pairwise(edges)):
        return "errors_against_aliasing.edges: expected two or more that rise"
    for name, group in aliasing["groups"].items():
        columns, pixels = group["histogram"], group["pixels"]
        if len(columns) != len(edges) - 1 or sum(columns) != pixels:
            return (
                f"errors_against_aliasing.groups.{shorten(name)[1:-1]}: expected {len(edges) - 1} "
                f"columns with {pixels:,} pixels, got {len(columns)} with {sum(columns):,}"
            )
    return None


def _odd_widths(found: Mapping[str, Any] | None) -> str | None:
    """Return a contradiction in curves against the width, if there is one."""
    if found is None:
        return None
    widths = found["widths"]
    if not widths or any(one >= other for one, other in itertools.pairwise(widths)):
        return "widths.widths: expected one or more that rise"
    if widths[0] == 0:
        return "widths.widths: expected widths above 0, got 0"
    curves = [*found["metrics"].values()]
    curves += [row[name] for row in found["classes"] for name in WIDTH_METRICS.values()]
    if any(len(curve) != len(widths) for curve in curves):
        return f"widths: expected curves of {len(widths)} values, got another number"
    return None
