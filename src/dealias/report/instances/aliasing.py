"""Relate missed instances to aliasing: are instances missed where the network aliases?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealias.metrics.instances import NOBODY, AnnotatedImage, Detections, Matches


class ScoredInstance(NamedTuple):
    """The aliasing score of an instance, and the score of its detection; -1 if it was missed."""

    image: str
    aliasing: float
    found: float


def score_instances(
    image: AnnotatedImage,
    detections: Detections,
    matches: Matches,
    aliasing: NDArray[np.floating],
) -> list[ScoredInstance]:
    """Return the mean aliasing score in the box of each instance, including its surroundings."""
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
    """Compare the aliasing scores of missed and found instances.

    Args:
        scored: the instances.
        threshold: lowest score of the detections that count.

    Returns:
        ``found`` and ``missed``, each with the mean aliasing score and the number of instances;
        ``higher_share``, the share of pairs of a missed and a found instance in which the missed
        one has the higher score, where ties count half; and ``within_images``, the same for pairs
        in one image, which are equally dark and noisy. Values are None where undefined.
    """
    aliasing = np.array([one.aliasing for one in scored])
    found = np.array([one.found >= threshold for one in scored], bool)
    right, wrong = np.sort(aliasing[found]), np.sort(aliasing[~found])
    higher, pairs = _higher(right, wrong)
    own_higher = own_pairs = 0.0
    places: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(scored):
        places[one.image].append(place)
    for own in places.values():
        score, hit = aliasing[own], found[own]
        more = _higher(np.sort(score[hit]), score[~hit])
        own_higher, own_pairs = own_higher + more[0], own_pairs + more[1]
    return {
        "higher_share": higher / pairs if pairs else None,
        "within_images": own_higher / own_pairs if own_pairs else None,
        "found": {"mean": float(right.mean()) if right.size else None, "instances": right.size},
        "missed": {"mean": float(wrong.mean()) if wrong.size else None, "instances": wrong.size},
    }


def _higher(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> tuple[float, int]:
    """Count the pairs in which `wrong` is higher, and all pairs; `right` is sorted."""
    below = np.searchsorted(right, wrong) + np.searchsorted(right, wrong, side="right")
    return float(below.sum()) / 2, right.size * wrong.size
