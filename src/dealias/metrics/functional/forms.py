"""Convert the forms in which networks and data sets provide label maps."""

from __future__ import annotations

import torch
from torch import Tensor

from dealias.metrics.functional.bands import check_tensor


def check_threshold(threshold: float | None) -> None:
    """Raise ValueError unless this is a valid threshold for :func:`labels_of`."""
    if threshold is None or (type(threshold) in (int, float) and abs(threshold) < float("inf")):
        return
    raise ValueError(f"threshold: expected a number or None, got {threshold!r}")


def threshold_bits(threshold: float | None) -> int:
    """Encode a threshold as a unique integer, for metric states that must differ.

    >>> len({threshold_bits(value) for value in (None, 0, 0.5, -0.5)})
    4
    """
    if threshold is None:
        return -1  # the bits of a NaN
    return int(torch.tensor(threshold, dtype=torch.float64).add(0.0).view(torch.int64))


def labels_of(
    argument: str, values: Tensor, num_classes: int, threshold: float | None = None
) -> Tensor:
    """Return the label maps of a prediction.

    Args:
        argument: name of the argument, for messages.
        values: label maps, integers or bool, `[H, W]`, `[B, H, W]` or `[B, 1, H, W]`; logits or
            probabilities, floating point `[B, C, H, W]`; or, for two classes, the logit or the
            probability of class 1, floating point `[B, 1, H, W]` or `[B, H, W]`.
        num_classes: number of classes C.
        threshold: single scores above it mean class 1: 0 for logits, 0.5 for probabilities. None is
            for logits too, but refuses scores that are all in [0, 1], since they look like
            probabilities.

    Returns:
        The label maps, integers `[H, W]` or `[B, H, W]`; for scores the argmax over C.

    Raises:
        ValueError: the value is not a tensor, or scores have another shape, are NaN or may be
            probabilities.

    >>> labels_of("preds", torch.tensor([[[[-2.0, 3.0, 0.1]]]]), num_classes=2).tolist()
    [[[0, 1, 1]]]
    >>> labels_of("preds", torch.tensor([[True, False]]), num_classes=2).tolist()
    [[1, 0]]
    """
    check_tensor(argument, values)
    if not values.is_floating_point():
        return _label_maps(values)
    single = num_classes == 2 and (values.ndim == 3 or (values.ndim == 4 and values.shape[1] == 1))
    if not single and (values.ndim != 4 or values.shape[1] != num_classes):
        one = " or [B, 1, H, W]" if num_classes == 2 else ""
        raise ValueError(
            f"{argument}: expected logits of shape [B, {num_classes}, H, W]{one} "
            f"or integer labels, got {values.dtype} of shape {list(values.shape)}"
        )
    broken = torch.isnan(values).sum().item()
    if broken:
        raise ValueError(f"{argument}: expected logits without NaN, got {broken:,.0f} of them")
    return _above(argument, values, threshold) if single else values.argmax(1)


def target_of(values: Tensor) -> Tensor:
    """Return the label maps of a target.

    Args:
        values: integers, bool, or floating point with whole numbers, as losses for two classes
            expect: `[H, W]`, `[B, H, W]` or `[B, 1, H, W]`.

    Returns:
        Integers `[H, W]` or `[B, H, W]`.

    Raises:
        ValueError: the value is not a tensor, or its numbers are not whole.

    >>> target_of(torch.tensor([[[[1.0, 0.0]]]])).tolist()
    [[[1, 0]]]
    """
    check_tensor("target", values)
    if values.is_floating_point():
        whole = values.long()
        wrong = (whole != values).sum().item()
        if wrong:
            raise ValueError(
                f"target: expected labels, got {wrong:,.0f} numbers that are not whole"
            )
        values = whole
    return _label_maps(values)


def _label_maps(values: Tensor) -> Tensor:
    """Convert labels to integers, without a channel dimension of one."""
    if values.ndim == 4 and values.shape[1] == 1:
        values = values.squeeze(1)
    return values.to(torch.uint8) if values.dtype == torch.bool else values


def _above(argument: str, scores: Tensor, threshold: float | None) -> Tensor:
    """Return class 1 where a single score is above a threshold, else 0, as uint8."""
    if threshold is None:
        if scores.numel() and bool(((scores >= 0) & (scores <= 1)).all()):
            raise ValueError(
                f"{argument}: expected logits of class 1, got scores in [0, 1], which may be "
                "probabilities: threshold=0.5 is for these, threshold=0 for logits"
            )
        threshold = 0.0
    return _label_maps(scores > threshold)
