"""Relate errors to aliasing: is a network wrong more often where it aliases?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.files import defined
from dealias.metrics.functional import ERROR_KINDS

_BINS = 1000
# Most scores are small, so bins have equal widths in the square root of the score.
_EDGES = np.linspace(0, 1, _BINS + 1) ** 2
GROUPS = ("right_boundary", *(kind.key for kind in ERROR_KINDS), "right_interior")
_RIGHT_BOUNDARY, _RIGHT_INTERIOR = 0, len(GROUPS) - 1
GROUP_TITLES = {kind.key: kind.title for kind in ERROR_KINDS} | {
    "right_boundary": "Right at boundaries",
    "right_interior": "Right elsewhere",
}


@dataclass(frozen=True)
class AliasingErrors:
    """Histograms of the aliasing score by kind of pixel, over any number of images.

    Counts are added with ``+``; their size does not depend on the number of images.

    Attributes:
        counts: int64 [6, 1000], pixels by group and bin of the score. The groups are right pixels
            in a boundary band, wrong pixels of each of `ERROR_KINDS`, and right pixels elsewhere.
            Bin i holds scores from (i / 1000)**2 to ((i + 1) / 1000)**2.
    """

    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> AliasingErrors:
        """Return the counts of no images."""
        return cls(np.zeros((len(GROUPS), _BINS), np.int64))

    @classmethod
    def of(
        cls, aliasing: NDArray[np.floating], errors: NDArray[np.uint8], boundary: NDArray[np.bool_]
    ) -> AliasingErrors:
        """Count one image.

        Args:
            aliasing: floating-point [H, W], the score of each pixel in [0, 1]; NaN where there is
                no score.
            errors: uint8 [H, W], from :func:`dealias.metrics.functional.error_map`.
            boundary: bool [H, W], whether a pixel is in the predicted or the target band.

        Raises:
            ValueError: the shapes differ, or scores are outside [0, 1].

        Void pixels and pixels without a score are left out.

        >>> scores = np.array([[0.0, 0.04, 0.04, 1.0]])
        >>> errors = np.array([[0, 0, 3, 255]], np.uint8)
        >>> found = AliasingErrors.of(scores, errors, np.array([[False, True, True, True]]))
        >>> found.counts.sum(1).tolist()
        [1, 0, 0, 1, 0, 1]
        """
        if not aliasing.shape == errors.shape == boundary.shape:
            raise ValueError(
                f"aliasing, errors and boundary: expected one shape, "
                f"got {aliasing.shape}, {errors.shape} and {boundary.shape}"
            )
        known = np.isfinite(aliasing) & (errors != 255)
        score = aliasing[known]
        if score.size and not (score.min() >= 0 and score.max() <= 1):
            raise ValueError(
                f"aliasing: expected scores in [0, 1], got {score.min()} to {score.max()}"
            )
        group = np.where(boundary, _RIGHT_BOUNDARY, _RIGHT_INTERIOR)
        group = np.where(errors > 0, errors, group)[known]
        index = np.searchsorted(_EDGES, score.astype(np.float64), side="right") - 1
        cells = group.astype(np.int64) * _BINS + np.minimum(index, _BINS - 1)
        counts = np.bincount(cells, minlength=len(GROUPS) * _BINS).astype(np.int64)
        return cls(counts.reshape(len(GROUPS), _BINS))

    def __add__(self, other: AliasingErrors) -> AliasingErrors:
        return AliasingErrors(self.counts + other.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns:
            ``rank_correlation`` and ``higher_share`` over the pixels of the boundary bands, the
            ``edges`` of the histograms, and ``groups``, each with its ``pixels``, the ``mean`` and
            ``quantiles`` of the score, and its ``histogram``. Groups of errors also have both
            figures in comparison with right pixels in the boundary bands, or, for interior errors,
            with right pixels elsewhere. Values are None where there are no pixels. See
            :func:`rank_correlation`.
        """
        wrong = self.counts[1:-1]
        at_boundary = wrong[:-1].sum(0)
        right = self.counts[_RIGHT_BOUNDARY]
        last = int(np.flatnonzero(self.counts.any(0)).max(initial=0)) + 1
        groups = {}
        for index, name in enumerate(GROUPS):
            against = self.counts[_RIGHT_INTERIOR] if name == "interior" else right
            own = self.counts[index]
            groups[name] = _describe(own) | {"histogram": own[:last].tolist()}
            if 0 < index < _RIGHT_INTERIOR:
                groups[name] |= _compare(against, own)
        edges = [float(edge) for edge in _EDGES[: last + 1]]
        return _compare(right, at_boundary) | {"edges": edges, "groups": groups}


def histogram(found: Mapping[str, Any], group: str, columns: NDArray[Any]) -> NDArray[np.float64]:
    """Return a group's histogram over square roots of the score, scaled to a largest column of 1.

    Args:
        found: from :meth:`AliasingErrors.to_dict`.
        group: one of `GROUPS`.
        columns: edges of the columns, ascending.
    """
    pixels = np.cumsum([0, *found["groups"][group]["histogram"]])
    height = np.diff(np.interp(columns, np.sqrt(found["edges"]), pixels))
    scaled: NDArray[np.float64] = height / (height.max() or 1)
    return scaled


def rank_correlation(right: NDArray[np.int64], wrong: NDArray[np.int64]) -> float:
    """Compute Spearman's rank correlation between a score and being wrong, from two histograms.

    Args:
        right: integers [bins], right pixels by bin of the score.
        wrong: integers [bins], wrong pixels by bin.

    Returns:
        A value in [-1, 1]; NaN unless there are pixels of both kinds and the scores differ. Scores
        in the same bin are ties.

    >>> rank_correlation(np.array([5, 0]), np.array([0, 5]))
    1.0
    """
    both = right + wrong
    total, bad = int(both.sum()), int(wrong.sum())
    middle = (total + 1) / 2
    rank = np.cumsum(both) - (both - 1) / 2 - middle  # of a bin's pixels, minus the mean rank
    spread = float((both * rank**2).sum())
    # Being right or wrong has two ranks: minus the mean they are -bad / 2 and (total - bad) / 2.
    split = bad * (total - bad) * total / 4
    if not (spread > 0 and split > 0):
        return math.nan
    shared = float((wrong * rank).sum()) * total / 2
    return shared / math.sqrt(spread * split)


def higher_share(right: NDArray[np.int64], wrong: NDArray[np.int64]) -> float:
    """Compute in which share of pairs of a right and a wrong pixel the wrong one scores higher.

    Args:
        right: see :func:`rank_correlation`.
        wrong: see there.

    Returns:
        A value in [0, 1], where ties count half; 0.5 if score and errors are unrelated; NaN unless
        there are pixels of both kinds.
    """
    below = np.cumsum(right) - right / 2
    pairs = float(right.sum()) * float(wrong.sum())
    return float((wrong * below).sum()) / pairs if pairs else math.nan


def error_detection(right: NDArray[np.int64], wrong: NDArray[np.int64]) -> dict[str, float | None]:
    """Return how well a score finds errors, None where that is undefined.

    Args:
        right: see :func:`rank_correlation`.
        wrong: see there.
    """
    found: dict[str, float | None] = defined(
        {"AUROC": higher_share(right, wrong), "rank_correlation": rank_correlation(right, wrong)}
    )
    return found


def _compare(right: NDArray[np.int64], wrong: NDArray[np.int64]) -> dict[str, float | None]:
    found = error_detection(right, wrong)
    return {"rank_correlation": found["rank_correlation"], "higher_share": found["AUROC"]}


def _describe(own: NDArray[np.int64]) -> dict[str, Any]:
    pixels = int(own.sum())
    if pixels == 0:
        return {"pixels": 0, "mean": None, "quantiles": None}
    centres = (_EDGES[:-1] + _EDGES[1:]) / 2
    below = np.cumsum(own)
    quantiles = {
        name: float(centres[np.searchsorted(below, share * pixels)])
        for name, share in (("10", 0.1), ("25", 0.25), ("50", 0.5), ("75", 0.75), ("90", 0.9))
    }
    return {
        "pixels": pixels,
        "mean": float((own * centres).sum() / pixels),
        "quantiles": quantiles,
    }
