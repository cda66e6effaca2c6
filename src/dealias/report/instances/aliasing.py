"""Instances against aliasing: are they missed more often where the network aliases?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealias.metrics.instances import NOBODY, AnnotatedImage, Detections, Matches


class ScoredInstance(NamedTuple):
    """The aliasing score of an instance, and how surely it was found; -1 if it was not."""

    image: str
    aliasing: float
    found: float


def score_instances(
    image: AnnotatedImage,
    detections: Detections,
    matches: Matches,
    aliasing: NDArray[np.floating],
) -> list[ScoredInstance]:
    """The mean aliasing score in the box of each instance: what is around it counts as well."""
    scores = detections.scores.tolist()
    scored = []
    for instance, finder in zip(image.instances, matches.finders.tolist(), strict=True):
        left, top, right, bottom = (max(0, value) for value in instance.box)
        part = aliasing[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
        known = part[np.isfinite(part)]
        if known.size and not instance.crowd:
            found = scores[finder] if finder != NOBODY else -1.0
            scored.append(ScoredInstance(image.name, float(known.mean()), found))
    return scored


def missed_against_aliasing(scored: Sequence[ScoredInstance], threshold: float) -> dict[str, Any]:
    """Whether instances are missed where the network aliases.

    Args:
        scored: the instances.
        threshold: lowest score of the detections that count.

    Returns:
        ``found`` and ``missed``, the mean aliasing score of each and its number;
        ``higher_share``, how often a missed instance has a higher score than a found one, ties
        counted half; and ``within_images``, the same of pairs in one image, which are equally dark
        and noisy. None where undefined.
    """
    aliasing = np.array([one.aliasing for one in scored])
    found = np.array([one.found >= threshold for one in scored], bool)
    right, wrong = np.sort(aliasing[found]), np.sort(aliasing[~found])
    higher, pairs = _higher(right, wrong)
    own_higher = own_pairs = 0.0
    images = np.array([one.image for one in scored])
    for image in dict.fromkeys(images.tolist()):
        own = images == image
        more = _higher(np.sort(aliasing[own & found]), aliasing[own & ~found])
        own_higher, own_pairs = own_higher + more[0], own_pairs + more[1]
    return {
        "higher_share": higher / pairs if pairs else None,
        "within_images": own_higher / own_pairs if own_pairs else None,
        "found": {"mean": float(right.mean()) if right.size else None, "instances": right.size},
        "missed": {"mean": float(wrong.mean()) if wrong.size else None, "instances": wrong.size},
    }


def _higher(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> tuple[float, int]:
    """Pairs of a right and a wrong one in which the wrong one is higher, and all; `right` rises."""
    below = np.searchsorted(right, wrong) + np.searchsorted(right, wrong, side="right")
    return float(below.sum()) / 2, right.size * wrong.size
