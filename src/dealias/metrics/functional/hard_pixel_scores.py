"""Metrics as arithmetic on the table of counts."""

import torch
from torch import Tensor

from dealias.metrics.functional.bands import check_tensor
from dealias.metrics.functional.counts import (
    BOTH_BANDS,
    PREDS_BAND,
    TARGET_BAND,
    HardPixelCounts,
)

CLASS_SUFFIX = "_per_class"


def scores(counts: HardPixelCounts | Tensor) -> dict[str, Tensor]:
    """Compute all metrics of the published evaluation from counts.

    Args:
        counts: from :func:`count_hard_pixels`, or only the table, int64 `[4, C, C]`, of
            :func:`banded_confusion`.

    Returns:
        Fractions in [0, 1] (float64; float32 on MPS), on the device of the counts. Means over
        classes: mIoU, mAcc, BIoU, BAcc (higher is better), FErr, MErr, DErr (lower is better).
        aAcc is the accuracy over pixels. IoU_per_class, Acc_per_class, BIoU_per_class,
        BAcc_per_class, FErr_per_class, MErr_per_class and DErr_per_class are `[C]`.
        edge_false_rate and edge_missing_rate need full counts.

        A class without pixels in a denominator is NaN and is left out of the mean. A mean without
        any class is NaN.

    FErr is 1 - recall inside the predicted band, MErr inside the target band, DErr inside both;
    BIoU and BAcc are IoU and recall inside either.
    Source: Chen, Gu and Fu, ICLR 2024.

    >>> table = torch.zeros(4, 2, 2, dtype=torch.int64)
    >>> table[0] = torch.tensor([[6, 0], [0, 2]])  # interior: all correct
    >>> table[3] = torch.tensor([[3, 1], [0, 0]])  # both bands: one of four is wrong
    >>> {name: round(float(scores(table)[name]), 4) for name in ("mIoU", "DErr", "BIoU")}
    {'mIoU': 0.7833, 'DErr': 0.25, 'BIoU': 0.375}
    """
    table = counts.confusion if isinstance(counts, HardPixelCounts) else counts
    check_table(table)
    everywhere = table.sum(0)
    preds_band = table[PREDS_BAND] + table[BOTH_BANDS]
    target_band = table[TARGET_BAND] + table[BOTH_BANDS]
    either_band = preds_band + table[TARGET_BAND]
    per_class = {
        "IoU": iou(everywhere),
        "Acc": recall(everywhere),
        "BIoU": iou(either_band),
        "BAcc": recall(either_band),
        "FErr": 1 - recall(preds_band),
        "MErr": 1 - recall(target_band),
        "DErr": 1 - recall(table[BOTH_BANDS]),
    }
    means = {"IoU": "mIoU", "Acc": "mAcc"}
    result = {means.get(name, name): values.nanmean() for name, values in per_class.items()}
    result["aAcc"] = ratio(everywhere.diagonal().sum(), everywhere.sum())
    if isinstance(counts, HardPixelCounts):
        result["edge_false_rate"] = ratio(counts.edges[0], counts.edges[1])
        result["edge_missing_rate"] = ratio(counts.edges[2], counts.edges[3])
    return result | {name + CLASS_SUFFIX: values for name, values in per_class.items()}


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
    correct = confusion.diagonal(dim1=-2, dim2=-1)
    return ratio(correct, confusion.sum(-1) + confusion.sum(-2) - correct)


def recall(confusion: Tensor) -> Tensor:
    """Compute the recall of each class, `[..., C]`, from confusion matrices `[..., C, C]`."""
    return ratio(confusion.diagonal(dim1=-2, dim2=-1), confusion.sum(-1))
