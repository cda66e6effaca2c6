"""Warn of labels that do not seem to match the class set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Most data sets of many classes leave out up to this share of the pixels on purpose.
_LARGE_VOID = 0.1
_FAR_BETTER = 2.0


def label_warnings(
    confusion: Tensor, void_pixels: int, names: Sequence[str], ignore_index: int
) -> list[str]:
    """Warn if targets seem to store a class as void, or predictions to start from another label.

    Args:
        confusion: int64 [C, C], pixels by target class and predicted class, void left out.
        void_pixels: number of pixels whose target is void.
        names: names of the classes.
        ignore_index: label of void.

    Returns:
        A message if some classes occur in no target and at least a tenth of the pixels is void
        (with two classes, as in masks of 0 and 255, a single void pixel is enough). Another message
        if adding a number to the predicted labels would at least double class recall, to one half
        or more.
    """
    shift = _shift_warning(confusion)
    return [
        *void_warnings(confusion.sum(1).tolist(), void_pixels, names, ignore_index),
        *([] if shift is None else [shift]),
    ]


def last_class_mapping(label: int, names: Sequence[str]) -> str:
    """Return the line of a class set that maps a label to the last class."""
    last = len(names) - 1
    mapped = {k: k for k in range(last)} | {label: last}
    return f"label_map: {mapped}"


def void_warnings(
    pixels: Sequence[int], void_pixels: int, names: Sequence[str], ignore_index: int
) -> list[str]:
    """Warn if targets seem to store a class as void; see :func:`label_warnings`.

    Args:
        pixels: number of target pixels of each class.
        void_pixels: number of pixels whose target is void.
        names: names of the classes.
        ignore_index: label of void.
    """
    total = sum(pixels) + void_pixels
    absent = [label for label, count in enumerate(pixels) if count == 0]
    least = 0 if len(names) == 2 else _LARGE_VOID * total
    if not absent or not void_pixels or void_pixels < least:
        return []
    listed = ", ".join(names[label] for label in absent[:4])
    listed += f" and {len(absent) - 4} more" if len(absent) > 4 else ""
    hint = "check the class set"
    if absent == [len(names) - 1]:
        mapping = last_class_mapping(ignore_index, names)
        hint = f"if {ignore_index} stands for {listed}, add {mapping} to the class set"
    return [
        f"no target has {listed}, and {void_pixels / total:.1%} of the pixels are void "
        f"({ignore_index}): {hint}"
    ]


def _shift_warning(confusion: Tensor) -> str | None:
    classes = len(confusion)
    target = confusion.sum(1)
    present = target > 0
    if int(present.sum()) < 2:
        return None
    labels = torch.arange(classes, device=confusion.device)
    shifted = (labels[:, None] + labels) % classes  # by shift and target class
    hits = confusion.T.gather(0, shifted)
    recall = (hits[:, present] / target[present]).mean(1)
    best = int(recall.argmax())
    if recall[best] < 0.5 or recall[best] < _FAR_BETTER * recall[0]:
        return None
    found = f"mean class recall is {recall[0]:.1%}, but {recall[best]:.1%} if "
    if classes == 2:
        return found + "the two predicted classes are swapped: do targets count them the same way?"
    by = best if best <= classes // 2 else best - classes
    verb, label = ("subtracted from", by) if by > 0 else ("added to", -by)
    return found + f"{label} is {verb} predicted labels: do both count classes from the same label?"
