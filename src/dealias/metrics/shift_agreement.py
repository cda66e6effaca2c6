"""Shift agreement as a torchmetrics metric."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dealias.metrics.functional.bands import Protocol
from dealias.metrics.functional.counts import check_options
from dealias.metrics.functional.forms import (
    check_threshold,
    labels_of,
    target_of,
    threshold_bits,
)
from dealias.metrics.functional.shifts import (
    Offset,
    compare_shift,
    count_shifts,
    shift_agreement,
)


class ShiftAgreement(Metric):
    """The share of pixels that keep their predicted class when the camera moves by a few pixels.

    The state is the table of :func:`dealias.metrics.functional.count_shifts`, summed over images,
    offsets and processes, so agreement is pooled over pixels.

    Args:
        num_classes: number of classes C.
        ignore_index: void label of the target.
        band_width: odd side in pixels of the square that dilates edges into bands.
        protocol: see :func:`dealias.metrics.functional.label_edges`.
        border: pixels at the sides of the windows that are not compared.
        circular: whether images are rolled instead of cropped; see
            :func:`dealias.metrics.functional.compare_shift`.
        threshold: see :class:`HardPixelErrors`.
        **kwargs: arguments of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: an invalid combination of options.

    >>> metric = ShiftAgreement(num_classes=2, band_width=1)
    >>> metric.update(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 0, 1, 1]]), (0, 1))
    >>> round(metric.compute()["agreement"].item(), 4)
    0.6667
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        band_width: int = 15,
        protocol: Protocol = "paper",
        border: int = 0,
        circular: bool = False,
        threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_options(num_classes, ignore_index, band_width, protocol)
        check_threshold(threshold)
        if type(border) is not int or border < 0:
            raise ValueError(f"border: expected an integer of at least 0, got {border!r}")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.band_width = band_width
        self.protocol: Protocol = protocol
        self.border = border
        self.circular = circular
        self.threshold = threshold
        empty = torch.zeros(3, 2, num_classes, dtype=torch.int64)
        self.add_state("counts", default=empty, dist_reduce_fx="sum")
        # MetricCollection merges metrics whose states are equal after a batch, so states must
        # differ.
        options = [ignore_index, band_width, protocol == "exact", border, circular]
        options.append(threshold_bits(threshold))
        self.add_state("options", default=torch.tensor(options).long(), dist_reduce_fx="max")

    def update(
        self, preds: Tensor, shifted: Tensor, offset: Offset, target: Tensor | None = None
    ) -> None:
        """Compare the predictions for windows with those for windows displaced by `offset`.

        Args:
            preds: label maps or scores; see :meth:`HardPixelErrors.update`.
            shifted: the same for the displaced windows.
            offset: (dy, dx) in pixels.
            target: label maps of the windows of `preds`, for the band of the target.

        Raises:
            ValueError: see :func:`dealias.metrics.functional.compare_shift` and
                :func:`dealias.metrics.functional.count_shifts`.
        """
        preds = labels_of("preds", preds, self.num_classes, self.threshold)
        shifted = labels_of("shifted", shifted, self.num_classes, self.threshold)
        changed, compared = compare_shift(
            preds, shifted, offset, circular=self.circular, border=self.border
        )
        counts = count_shifts(
            preds,
            changed,
            compared,
            num_classes=self.num_classes,
            target=None if target is None else target_of(target),
            ignore_index=self.ignore_index,
            band_width=self.band_width,
            protocol=self.protocol,
        )
        # Not in place, because tensors created in torch.inference_mode can't be changed outside it.
        self.counts = self.counts + counts

    def compute(self) -> dict[str, Tensor]:
        """Return the scalar scores of :func:`dealias.metrics.functional.shift_agreement`."""
        found = shift_agreement(self.counts)
        return {name: value for name, value in found.items() if value.ndim == 0}

    def compute_per_class(self) -> dict[str, Tensor]:
        """Return the scores per class `[C]`; as with `compute`, every process must call it."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            should_sync=self._to_sync,
            should_unsync=self._should_unsync,
        ):
            found = shift_agreement(self.counts)
        return {name: value for name, value in found.items() if value.ndim == 1}
