"""The torchmetrics class over `dealias.metrics.functional`."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dealias.metrics.functional.bands import Protocol
from dealias.metrics.functional.counts import (
    HardPixelCounts,
    check_options,
    count_hard_pixels,
)
from dealias.metrics.functional.hard_pixel_scores import scores


class HardPixelErrors(Metric):
    """The published hard-pixel metrics over a data set, from counts alone.

    The state is the counts of :func:`dealias.metrics.functional.count_hard_pixels`: its size does
    not depend on the number of images, and processes are merged by adding.

    Args:
        num_classes: C, the number of classes.
        ignore_index: void label of the target.
        band_width: side in pixels of the square that makes edges into bands; odd.
        protocol: "paper" for the published evaluation, "exact" for it without its known gaps.
        **kwargs: those of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: options that do not fit together.

    >>> metric = HardPixelErrors(num_classes=2, band_width=3)
    >>> target = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
    >>> metric.update(target, target)
    >>> metric.compute()["mIoU"].item()
    1.0
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    confusion: Tensor
    edges: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        band_width: int = 15,
        protocol: Protocol = "paper",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_options(num_classes, ignore_index, band_width, protocol)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.band_width = band_width
        self.protocol: Protocol = protocol
        empty = HardPixelCounts.zeros(num_classes)
        self.add_state("confusion", default=empty.confusion, dist_reduce_fx="sum")
        self.add_state("edges", default=empty.edges, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            preds: label maps, integers (N, H, W) or (H, W); or logits or probabilities, floats
                (N, C, H, W), of which the largest counts.
            target: label maps (N, H, W) or (H, W), integers.

        Raises:
            ValueError: NaN logits, a wrong number of channels, shapes that differ, labels that
                are neither a class nor void.
        """
        if preds.is_floating_point():
            preds = self._labels_from(preds)
        counts = count_hard_pixels(
            preds,
            target,
            num_classes=self.num_classes,
            ignore_index=self.ignore_index,
            band_width=self.band_width,
            protocol=self.protocol,
        )
        self.confusion += counts.confusion
        self.edges += counts.edges

    def compute(self) -> dict[str, Tensor]:
        """Return :func:`dealias.metrics.functional.scores` of all that was counted."""
        return scores(self.counts)

    @property
    def counts(self) -> HardPixelCounts:
        """The counts of this process so far."""
        return HardPixelCounts(self.confusion, self.edges)

    def _labels_from(self, logits: Tensor) -> Tensor:
        if logits.ndim != 4 or logits.shape[1] != self.num_classes:
            raise ValueError(
                f"preds: expected logits of shape (N, {self.num_classes}, H, W) "
                f"or integer labels, got {logits.dtype} of shape {tuple(logits.shape)}"
            )
        broken = torch.isnan(logits).sum().item()
        if broken:
            raise ValueError(f"preds: expected logits without NaN, got {broken:,.0f} of them")
        return logits.argmax(1)
