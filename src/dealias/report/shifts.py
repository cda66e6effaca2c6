"""The section of a page on what changes when the camera moves slightly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dealias.labels import ClassSet
from dealias.metrics.functional import AGREEMENT, ERROR_KINDS
from dealias.report.aliasing import error_detection
from dealias.report.drawing import Drawn, thumbnail_size

_WORST = 8  # images
AGREEMENT_WORDS = {
    "agreement": {
        "name": "Agreement of all pixels",
        "short": "All pixels",
        "note": "The share of pixels that keep their class when the camera moves slightly.",
    },
    "agreement_preds_band": {
        "name": "In the predicted bands",
        "short": "Predicted band",
        "note": "The same, in the boundary bands of the prediction.",
    },
    "agreement_target_band": {
        "name": "In the target's bands",
        "short": "Target band",
        "note": "The same, in the boundary bands of the target, by the class of the target.",
    },
}


def shift_section(
    result: Mapping[str, Any], classes: ClassSet, drawn: Mapping[str, Drawn]
) -> dict[str, Any]:
    """Return agreement and its complement, overall and by class; errors; least stable images.

    Args:
        result: result whose "shifts" come from :class:`dealias.engine.shifts.ShiftTest`.
        classes: the class set.
        drawn: rows of the images that were drawn, by name.
    """
    found = result["shifts"]
    seen = [row for row in found["per_image"] if row["agreement"] is not None]
    colors = classes.colors().tolist()
    return dict(found) | {
        "figures": [
            {"key": key, "value": found[key], "unstable": _rest(found[key]), **words}
            for key, words in AGREEMENT_WORDS.items()
        ],
        "finders": _finders(result),
        "classes": [
            row | {"color": color, "unstable": {key: _rest(row[key]) for key in AGREEMENT}}
            for row, color in zip(found["classes"], colors, strict=True)
            if any(row[key] is not None for key in AGREEMENT)
        ],
        "worst": [
            row
            | {"unstable": _rest(row["agreement"]), "picture": _picture(drawn.get(row["name"]))}
            | {"unstable_preds_band": _rest(row["agreement_preds_band"])}
            for row in sorted(seen, key=lambda row: row["agreement"])[:_WORST]
        ],
    }


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def _picture(drawn: Drawn | None) -> dict[str, Any] | None:
    """Return the thumbnail of an image's instability, if it has one."""
    if drawn is None or "unstable" not in drawn.has:
        return None
    width, height = thumbnail_size(drawn.height, drawn.width)
    return {"source": f"assets/unstable/{drawn.key}.webp", "width": width, "height": height}


def _finders(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how well instability, and the aliasing score if there is one, find errors."""
    finding = result["shifts"]["errors_against_instability"]
    rows = [{"name": "Instability", "boundary": finding["boundary"], "all": finding["all"]}]
    aliasing = result.get("errors_against_aliasing")
    if aliasing is not None:
        boundary = {
            "AUROC": aliasing.get("higher_share"),
            "rank_correlation": aliasing.get("rank_correlation"),
        }
        everywhere = _everywhere(aliasing["groups"])
        rows.append({"name": "Aliasing score", "boundary": boundary, "all": everywhere})
    return rows


def _everywhere(groups: Mapping[str, Any]) -> dict[str, float | None]:
    """Return how well the aliasing score finds errors among all pixels, from its histograms."""
    right, wrong = (
        np.array([groups[name]["histogram"] for name in names], np.int64).sum(0)
        for names in (("right_boundary", "right_interior"), [kind.key for kind in ERROR_KINDS])
    )
    return error_detection(right, wrong)
