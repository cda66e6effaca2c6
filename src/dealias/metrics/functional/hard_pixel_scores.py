"""Compute metrics from the table of counts."""

import torch
from torch import Tensor

from dealias.metrics.functional.bands import check_tensor
from dealias.metrics.functional.counts import (
    BOTH_BANDS,
    INTERIOR,
    PREDS_BAND,
    TARGET_BAND,
    HardPixelCounts,
)

CLASS_SUFFIX = "_per_class"
MEANS = {"IoU": "mIoU", "Acc": "mAcc"}  # class means that have a name of their own


def scores(counts: HardPixelCounts | Tensor) -> dict[str, Tensor]:
    """Compute all metrics of the published evaluation from counts.

    Args:
        counts: from :func:`count_hard_pixels`, or only the table, int64 `[4, C, C]`, of
            :func:`banded_confusion`.

    Returns:
        Fractions in [0, 1] (float64; float32 on MPS), on the device of the counts. Means over
        classes: mIoU, mAcc, BIoU, BAcc (higher is better), FErr, MErr, DErr (lower is better). aAcc
        is the accuracy over pixels. IoU_per_class, Acc_per_class, BIoU_per_class, BAcc_per_class,
        FErr_per_class, MErr_per_class and DErr_per_class are `[C]`. edge_false_rate and
        edge_missing_rate need full counts. They are not shares of edge pixels: the first is the
        number of predicted edge pixels outside the target's band, divided by the sum of all
        predicted edge pixels and all pixels of the predicted band. The second is the same with the
        roles of prediction and target swapped. Wider bands make both smaller.

        A class without pixels in a denominator is NaN and is left out of the mean. A mean without
        any class is NaN.

    FErr is 1 - recall inside the predicted band, MErr inside the target band, and DErr inside both.
    BIoU and BAcc are IoU and recall inside either band. Source: Chen, Gu and Fu, ICLR 2024.

    >>> table = torch.zeros(4, 2, 2, dtype=torch.int64)
    >>> table[0] = torch.tensor([[6, 0], [0, 2]])  # interior: all correct
    >>> table[3] = torch.tensor([[3, 1], [0, 0]])  # both bands: one of four is wrong
    >>> {name: round(float(scores(table)[name]), 4) for name in ("mIoU", "DErr", "BIoU")}
    {'mIoU': 0.7833, 'DErr': 0.25, 'BIoU': 0.375}
    """
    table = counts.confusion if isinstance(counts, HardPixelCounts) else counts
    check_table(table)
    totals = margins(table)
    per_class = class_scores(totals)
    result = {MEANS.get(name, name): values.nanmean() for name, values in per_class.items()}
    correct, target, _ = totals.sum((1, 2))
    result["aAcc"] = ratio(correct, target)
    if isinstance(counts, HardPixelCounts):
        result["edge_false_rate"] = ratio(counts.edges[0], counts.edges[1])
        result["edge_missing_rate"] = ratio(counts.edges[2], counts.edges[3])
    return result | {name + CLASS_SUFFIX: values for name, values in per_class.items()}


def margins(table: Tensor) -> Tensor:
    """Compute the margins of a table of counts, which suffice for the metrics per class.

    Margins of images add up like tables, and are far smaller if there are many classes.

    Args:
        table: int64 `[..., 4, C, C]`, see :class:`HardPixelCounts`.

    Returns:
        int64 `[..., 3, 4, C]`: correct pixels, target pixels and predicted pixels, by region and
        class.

    >>> table = torch.zeros(4, 2, 2, dtype=torch.int64)
    >>> table[3] = torch.tensor([[3, 1], [0, 2]])  # both bands
    >>> margins(table)[:, 3].tolist()
    [[3, 2], [4, 2], [3, 3]]
    """
    correct = table.diagonal(dim1=-2, dim2=-1)
    return torch.stack([correct, table.sum(-1), table.sum(-2)], -3)


def class_scores(totals: Tensor) -> dict[str, Tensor]:
    """Compute the metrics of each class from margins.

    Args:
        totals: `[..., 3, 4, C]` from :func:`margins`, of one image or summed over images.

    Returns:
        IoU, Acc, BIoU, BAcc, FErr, MErr and DErr as :func:`scores` defines them, float64
        `[..., C]`; NaN where a denominator is zero.
    """
    everywhere, interior = totals.sum(-2), totals[..., INTERIOR, :]
    either_band = everywhere - interior
    both = totals[..., BOTH_BANDS, :]
    preds_band = totals[..., PREDS_BAND, :] + both
    target_band = totals[..., TARGET_BAND, :] + both
    return {
        "IoU": class_iou(everywhere),
        "Acc": _recall(everywhere),
        "BIoU": class_iou(either_band),
        "BAcc": _recall(either_band),
        "FErr": 1 - _recall(preds_band),
        "MErr": 1 - _recall(target_band),
        "DErr": 1 - _recall(both),
    }


def share_in_bands(totals: Tensor) -> Tensor:
    """Compute the share of each class in bands; at 1, BIoU equals IoU and BAcc equals recall.

    Args:
        totals: `[..., 3, 4, C]` from :func:`margins`.

    Returns:
        `[..., C]`, the fraction in either band of the pixels of the class in the target and in the
        prediction; NaN for a class without pixels.
    """
    pixels = totals[..., 1, :, :] + totals[..., 2, :, :]  # [..., 4, C]
    everywhere = pixels.sum(-2)
    return ratio(everywhere - pixels[..., INTERIOR, :], everywhere)


def check_table(table: Tensor) -> None:
    """Raise ValueError unless `table` is a table of counts, int64 `[4, C, C]`."""
    check_tensor("counts", table)
    if table.ndim != 3 or table.shape[0] != 4 or table.shape[1] != table.shape[2]:
        raise ValueError(f"counts: expected shape [4, C, C], got {list(table.shape)}")
    if table.dtype != torch.int64:
        raise ValueError(f"counts: expected int64, got {table.dtype}")


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide integers, with NaN where `whole` is zero."""
    dtype = torch.float32 if whole.device.type == "mps" else torch.float64
    return part.to(dtype) / whole.to(dtype)


def iou(confusion: Tensor) -> Tensor:
    """Compute the IoU of each class, `[..., C]`, from confusion matrices `[..., C, C]`."""
    return class_iou(margins(confusion.unsqueeze(-3)).sum(-2))


def class_iou(totals: Tensor) -> Tensor:
    """Compute the IoU of each class, `[..., C]`, from margins `[..., 3, C]` of a region."""
    correct, target, preds = totals.unbind(-2)
    return ratio(correct, target + preds - correct)


def _recall(totals: Tensor) -> Tensor:
    correct, target, _ = totals.unbind(-2)
    return ratio(correct, target)
