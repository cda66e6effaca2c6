"""Count the errors of each kind, and estimate the gain from correcting one kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealias.files import defined
from dealias.metrics.instances.matching import (
    FOUND,
    IGNORED,
    INSTANCE_ERRORS,
    MISSED,
    NOBODY,
    Matches,
)
from dealias.metrics.instances.records import AnnotatedImage, Detections

_RECALLS = np.linspace(0, 1, 101)

Matched = tuple[AnnotatedImage, Detections, Matches]


@dataclass(frozen=True)
class ErrorSummary:
    """Errors in a set of images. Undefined figures are NaN.

    Attributes:
        threshold: the score threshold with the highest F1; the lowest score if no detection is
            right, 0.5 if there are no detections. Detections below it count in `gains`, but not in
            `counts`.
        precision: share of the detections that are right, in [0, 1].
        recall: share of the instances that are found, in [0, 1].
        f1: harmonic mean of precision and recall.
        counts: for "found" and the key of each kind of error, the number by class. The class is
            that of the instance if it was missed or found, and the predicted class for a false
            detection.
        gains: for the key of each kind of error, how much AP50, of masks or of boxes, would rise
            without it. A class that then has neither instances nor detections is left out of the
            mean.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    counts: Mapping[str, tuple[int, ...]]
    gains: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, None where undefined."""
        figures = {"precision": self.precision, "recall": self.recall, "F1": self.f1}
        return {
            "threshold": self.threshold,
            **defined(figures),
            "found": sum(self.counts[FOUND]),
            "kinds": {
                kind.key: {
                    "count": sum(self.counts[kind.key]),
                    "AP50_gain": defined(self.gains[kind.key]),
                }
                for kind in INSTANCE_ERRORS
            },
        }


def summarize_errors(matched: Sequence[Matched], classes: int) -> ErrorSummary:
    """Count the errors in images by kind; see :func:`match_instances`.

    The gain of a kind is the rise of AP50 if all errors of that kind alone were corrected, as in
    Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020:
    detections of a wrong class get the right class, and badly outlined detections find their
    instance, unless another detection has found it. Other false detections and missed instances are
    removed. Gains do not add up. Unlike in TIDE, every instance that no detection found counts as
    missed, even if a badly outlined detection or one of a wrong class covers it.

    Args:
        matched: images in the order of their ids, with their detections and matches.
        classes: number of classes.
    """
    rows = _rows(matched)
    targets, missed = _targets(matched, classes)
    threshold, precision, recall, f1 = _best_threshold(rows, int(targets.sum()))
    shown = rows.take(rows.scores >= threshold)
    counts = {
        kind: _by_class(shown.labels[shown.kinds == kind], classes)
        for kind in (FOUND, *(kind.key for kind in INSTANCE_ERRORS))
    }
    counts[MISSED.key] = tuple((targets - np.array(counts[FOUND])).tolist())
    before = _mean_precision(rows, targets)
    gains = {
        kind.key: _mean_precision(rows, targets - missed, targets > 0) - before
        if kind is MISSED
        else _mean_precision(_mended(rows, kind.key), targets) - before
        for kind in INSTANCE_ERRORS
    }
    return ErrorSummary(threshold, precision, recall, f1, counts, gains)


class _Rows(NamedTuple):
    """Detections of all images in descending order of score, without the ignored ones."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    kinds: NDArray[np.str_]
    partners: NDArray[np.int64]  # index of the instance over all images, or NOBODY
    partner_labels: NDArray[np.int64]
    partner_free: NDArray[np.bool_]

    def take(self, which: NDArray[Any]) -> _Rows:
        return _Rows(*(column[which] for column in self))


def _rows(matched: Sequence[Matched]) -> _Rows:
    found: list[tuple[Any, ...]] = []
    offset = 0
    for image, detections, matches in matched:
        partners = matches.partners.tolist()
        values = (detections.scores.tolist(), detections.labels.tolist(), matches.kinds, partners)
        for score, label, kind, partner in zip(*values, strict=True):
            known = partner != NOBODY
            number = offset + partner if known else NOBODY
            partner_label = image.instances[partner].label if known else 0
            free = bool(known and matches.finders[partner] == NOBODY)
            found.append((score, label, kind, number, partner_label, free))
        offset += len(image.instances)
    kinds = (np.float64, np.int64, np.str_, np.int64, np.int64, np.bool_)
    columns = list(zip(*found, strict=True)) or [()] * len(kinds)
    rows = _Rows(*(np.array(c, kind) for c, kind in zip(columns, kinds, strict=True)))
    rows = rows.take(rows.kinds != IGNORED)
    return rows.take(np.argsort(-rows.scores, kind="stable"))


def _targets(
    matched: Sequence[Matched], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count instances and missed instances by class, without crowds."""
    total, missed = np.zeros((2, classes), np.int64)
    for image, _, matches in matched:
        for instance, finder in zip(image.instances, matches.finders, strict=True):
            if not instance.crowd:
                total[instance.label - 1] += 1
                missed[instance.label - 1] += finder == NOBODY
    return total, missed


def _by_class(labels: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=classes + 1)[1:].tolist())


def _best_threshold(rows: _Rows, targets: int) -> tuple[float, float, float, float]:
    """Return the threshold with the highest F1, and precision, recall and F1 at it."""
    right = np.cumsum(rows.kinds == FOUND)
    number = np.arange(1, len(right) + 1)
    f1 = 2 * right / (number + targets)
    last = np.append(rows.scores[1:] != rows.scores[:-1], True)[: len(right)]  # of equals
    nothing = 0.0 if targets else math.nan
    if not f1.size:
        return 0.5, math.nan, nothing, nothing
    if not right[-1]:
        return float(rows.scores[-1]), 0.0, nothing, nothing
    best = int(np.flatnonzero(last)[f1[last].argmax()])
    precision, recall = right[best] / number[best], right[best] / targets
    return float(rows.scores[best]), float(precision), float(recall), float(f1[best])


def _mended(rows: _Rows, kind: str) -> _Rows:
    """Return the detections with those of this kind corrected or removed."""
    wrong = rows.kinds == kind
    if kind not in ("localisation", "classification"):
        return rows.take(~wrong)
    # The most confident detection of an instance finds it; the others would be duplicates.
    candidates = np.flatnonzero(wrong & rows.partner_free)
    _, first = np.unique(rows.partners[candidates], return_index=True)
    surest = candidates[first]
    kinds, labels = rows.kinds.astype(object), rows.labels.copy()
    kinds[surest] = FOUND
    labels[surest] = rows.partner_labels[surest]
    keep = ~wrong
    keep[surest] = True
    return rows._replace(kinds=kinds.astype(np.str_), labels=labels).take(keep)


def _mean_precision(
    rows: _Rows, targets: NDArray[np.int64], classes: NDArray[np.bool_] | None = None
) -> float:
    """Return AP50: the mean over classes with instances, or over `classes` with either.

    A class of `classes` with detections but without instances counts as 0.
    """
    counted = targets > 0 if classes is None else classes
    found = []
    for label in np.flatnonzero(counted) + 1:
        right = rows.kinds[rows.labels == label] == FOUND
        count = int(targets[label - 1])
        if count:
            found.append(_precision(right, count))
        elif right.size:
            found.append(0.0)
    return float(np.mean(found)) if found else math.nan


def _precision(right: NDArray[np.bool_], targets: int) -> float:
    """Return COCO's AP of one class at one IoU: the mean interpolated precision at 101 recalls."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / targets, _RECALLS)
    return float(np.append(best, 0)[places].mean())
