"""Kinds of error, and the gain from correcting each of them.

The four regions of the table of counts partition an image, so each wrong pixel is an error of
exactly one kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dealias.metrics.functional.bands import Protocol, dilate, label_edges
from dealias.metrics.functional.counts import (
    BOTH_BANDS,
    INTERIOR,
    PREDS_BAND,
    TARGET_BAND,
    check_labels,
    check_options,
    check_pair,
)
from dealias.metrics.functional.hard_pixel_scores import (
    check_table,
    class_iou,
    iou,
    margins,
    ratio,
)


@dataclass(frozen=True)
class ErrorKind:
    """One kind of wrong pixel.

    Attributes:
        key: its name in result files.
        title: its name for people.
        region: the region of the table of counts whose wrong pixels are of this kind.
        description: what such a pixel looks like.
    """

    key: str
    title: str
    region: int
    description: str

    def wrong(self, table: Tensor) -> Tensor:
        """Return the wrong pixels of this kind by target and predicted class, int64 `[C, C]`."""
        check_table(table)
        region = table[self.region]
        return region - torch.diag(region.diagonal())

    def corrected(self, table: Tensor) -> Tensor:
        """Return the table `[4, C, C]` with all errors of this kind corrected."""
        wrong = self.wrong(table)
        corrected = table.clone()
        corrected[self.region] += torch.diag(wrong.sum(1)) - wrong
        return corrected


ERROR_KINDS = (
    ErrorKind(
        "false_response",
        "False responses",
        PREDS_BAND,
        "Wrong near a predicted edge where the target has none: a boundary that is not there.",
    ),
    ErrorKind(
        "merging_mistake",
        "Merging mistakes",
        TARGET_BAND,
        "Wrong near a target edge that the prediction lacks: objects fused, or one vanished.",
    ),
    ErrorKind(
        "displacement",
        "Displacements",
        BOTH_BANDS,
        "Wrong near an edge that both have: the boundary is there, but shifted.",
    ),
    ErrorKind(
        "interior",
        "Interior errors",
        INTERIOR,
        "Wrong far from any edge: a whole area taken for another class.",
    ),
)

BOUNDARY_KINDS = ERROR_KINDS[:3]  # all but interior errors


class ClassPair(NamedTuple):
    """Pixels of one class predicted as another."""

    target: int
    preds: int
    pixels: int
    miou_gain: float


def error_pixels(table: Tensor) -> dict[str, Tensor]:
    """Count the wrong pixels of each kind in a table of counts `[4, C, C]`, as int64 scalars."""
    return {kind.key: kind.wrong(table).sum() for kind in ERROR_KINDS}


def error_shares(table: Tensor) -> dict[str, Tensor]:
    """Return the share of each kind among the wrong pixels of a table of counts `[4, C, C]`.

    Returns:
        Fractions that add up to 1, as scalars by kind; NaN if no pixel is wrong.
    """
    pixels = error_pixels(table)
    total = torch.stack(list(pixels.values())).sum()
    return {key: ratio(count, total) for key, count in pixels.items()}


def miou_gain(table: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Compute the gain in mIoU and in IoU per class if all errors of one kind were corrected.

    Args:
        table: counts, int64 `[4, C, C]`.

    Returns:
        By kind, the gain in mIoU, a scalar, and in IoU per class, `[C]`; NaN where the IoU is
        undefined before or after the correction. Corrected pixels stay in their region. A class
        that is not in the target and no longer predicted is left out of the mean, as in any
        evaluation.
    """
    check_table(table)
    return margin_gains(margins(table))


def margin_gains(totals: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Compute the gains of :func:`miou_gain` from :func:`margins` `[3, 4, C]`."""
    return {kind.key: _gain(totals, [kind]) for kind in ERROR_KINDS}


def boundary_gain(table: Tensor) -> Tensor:
    """Compute how much mIoU would rise if all errors except interior ones were corrected at once.

    The gains of :func:`miou_gain` do not add up to this gain.

    Args:
        table: counts, int64 `[4, C, C]`.

    Returns:
        A scalar; NaN without any class.

    >>> table = torch.zeros(4, 2, 2, dtype=torch.int64)
    >>> table[0] = torch.tensor([[6, 0], [0, 2]])  # interior: all correct
    >>> table[3] = torch.tensor([[3, 1], [0, 0]])  # both bands: one of four is wrong
    >>> round(float(boundary_gain(table)), 4)
    0.2167
    """
    check_table(table)
    return _gain(margins(table), BOUNDARY_KINDS)[0]


def _gain(totals: Tensor, kinds: Sequence[ErrorKind]) -> tuple[Tensor, Tensor]:
    """Return the gains in mIoU and in IoU per class if all errors of some kinds were corrected."""
    everywhere = totals.sum(-2)
    before = class_iou(everywhere)
    correct, target, preds = totals[:, [kind.region for kind in kinds]].sum(1)
    change = torch.stack([target - correct, torch.zeros_like(target), target - preds])
    after = class_iou(everywhere + change)
    return after.nanmean() - before.nanmean(), after - before


def costly_pairs(table: Tensor, kind: ErrorKind, *, limit: int = 5) -> list[ClassPair]:
    """List the class pairs whose errors of one kind cost the most mIoU, the worst first.

    Args:
        table: counts, int64 `[4, C, C]`.
        kind: one of `ERROR_KINDS`.
        limit: largest number of pairs.

    Returns:
        Pairs with at least one wrong pixel, and the gain in mIoU if they alone were corrected.
    """
    # Moving m pixels from cell (t, p) to (t, t) leaves the union of t unchanged and reduces the
    # union of p by m. So all gains can be computed without making a corrected table for each pair.
    wrong = kind.wrong(table)
    confusion = table.sum(0)
    correct = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - correct
    before = iou(confusion)
    union_left = union - wrong  # at (t, p): the union of p without the pair's pixels
    target_gain = ratio(wrong, union.unsqueeze(1).expand_as(wrong))
    preds_after = ratio(correct.expand_as(wrong), union_left)
    total = before.nansum() + target_gain + preds_after.nan_to_num() - before.nan_to_num()
    defined = (union > 0).sum() - ((union > 0) & (union_left == 0)).long()
    gain = torch.where(wrong > 0, total / defined - before.nanmean(), -torch.inf)
    order = torch.argsort(gain.flatten(), descending=True, stable=True)[:limit].tolist()
    pairs = [divmod(cell, len(confusion)) for cell in order]
    return [
        ClassPair(t, p, int(wrong[t, p]), float(gain[t, p])) for t, p in pairs if wrong[t, p] > 0
    ]


def error_map(
    preds: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    band_width: int = 15,
    protocol: Protocol = "paper",
) -> Tensor:
    """Mark each pixel with the kind of its error.

    Arguments and errors are those of :func:`count_hard_pixels`.

    Returns:
        uint8 with the shape of `preds`: 0 for right, i + 1 for an error of ``ERROR_KINDS[i]``, 255
        for void.

    >>> target = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    >>> preds = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 0]])
    >>> error_map(preds, target, num_classes=2, band_width=1).tolist()
    [[0, 0, 0, 3, 0, 0, 0, 1]]
    """
    check_options(num_classes, ignore_index, band_width, protocol)
    check_pair(preds, target)
    check_labels(preds, target, num_classes, ignore_index)
    if preds.numel() == 0:
        return torch.zeros_like(preds, dtype=torch.uint8)
    in_preds = dilate(label_edges(preds, protocol=protocol), band_width)
    in_target = label_edges(target, protocol=protocol, ignore_index=ignore_index)
    region = in_preds * PREDS_BAND + dilate(in_target, band_width) * TARGET_BAND
    marks = torch.zeros(4, dtype=torch.uint8, device=preds.device)
    for mark, kind in enumerate(ERROR_KINDS, start=1):
        marks[kind.region] = mark
    errors = torch.where(preds.long() == target.long(), 0, marks[region])
    return errors.masked_fill(target.long() == ignore_index, 255)
