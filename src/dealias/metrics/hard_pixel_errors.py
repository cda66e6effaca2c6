"""The hard-pixel metrics as a torchmetrics metric."""

from typing import Any, get_args

import torch
from torch import Tensor
from torchmetrics import Metric

from dealias.metrics.functional.bands import Protocol
from dealias.metrics.functional.counts import (
    HardPixelCounts,
    check_options,
    count_hard_pixels,
)
from dealias.metrics.functional.forms import (
    check_threshold,
    labels_of,
    target_of,
    threshold_bits,
)
from dealias.metrics.functional.hard_pixel_scores import CLASS_SUFFIX, scores


class HardPixelErrors(Metric):
    """The published hard-pixel metrics over a data set.

    The state consists of the counts of :func:`dealias.metrics.functional.count_hard_pixels`. Its
    size does not depend on the number of images, and the states of several processes are added up.

    The result of :meth:`compute` can be passed to PyTorch Lightning's ``self.log_dict``. Its
    ``self.log`` accepts only metrics that return one tensor; for those, select a score with
    `score`. Several such metrics in a :class:`torchmetrics.MetricCollection` count the pixels only
    once, and ``self.log_dict`` accepts the collection.

    Args:
        num_classes: number of classes C.
        ignore_index: void label of the target.
        band_width: odd side in pixels of the square that dilates edges into bands.
        protocol: "paper" for the published evaluation, "exact" to correct its known gaps.
        score: name of the single score that :meth:`compute` returns, such as "MErr", or
            "IoU_per_class" for :class:`torchmetrics.wrappers.ClasswiseWrapper`. None for all
            scalar scores.
        threshold: for two classes with a single score per pixel, the score above which class 1 is
            predicted: 0 for logits, 0.5 for probabilities. None treats scores as logits, but
            refuses a batch whose scores all lie in [0, 1], since they look like probabilities.
        **kwargs: arguments of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: an invalid combination of options, or an unknown score.

    >>> metric = HardPixelErrors(num_classes=2, band_width=3)
    >>> target = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
    >>> metric.update(target, target)
    >>> metric.compute()["mIoU"].item()
    1.0
    >>> metric.compute_per_class()["IoU_per_class"].tolist()
    [1.0, 1.0]

    In a LightningModule with ``self.metric = HardPixelErrors(19)``::

        def validation_step(self, batch, batch_idx):
            images, target = batch
            self.metric.update(self(images), target)

        def on_validation_epoch_end(self):
            self.log_dict(self.metric.compute())
            self.metric.reset()

    or, with ``self.metric = HardPixelErrors(19, score="MErr")``, only in `validation_step`::

            self.metric.update(self(images), target)
            self.log("MErr", self.metric)
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    confusion: Tensor
    edges: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        band_width: int = 15,
        protocol: Protocol = "paper",
        score: str | None = None,
        threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_options(num_classes, ignore_index, band_width, protocol)
        check_threshold(threshold)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.band_width = band_width
        self.protocol: Protocol = protocol
        self.score = score
        self.threshold = threshold
        empty = HardPixelCounts.zeros(num_classes)
        known = scores(empty)
        if score is not None and score not in known:
            raise ValueError(f"score: expected one of {', '.join(known)}, got {score!r}")
        self.add_state("confusion", default=empty.confusion, dist_reduce_fx="sum")
        self.add_state("edges", default=empty.edges, dist_reduce_fx="sum")
        # MetricCollection merges metrics whose states are equal after a batch, so states must
        # differ.
        options = [ignore_index, band_width, get_args(Protocol).index(protocol)]
        options.append(threshold_bits(threshold))
        self.add_state("options", default=torch.tensor(options), dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            preds: label maps, integers or bool `[B, H, W]`, `[B, 1, H, W]` or `[H, W]`; logits or
                probabilities, floating point `[B, C, H, W]`, of which the argmax over C is taken;
                or, for two classes, the score of class 1, `[B, 1, H, W]` or `[B, H, W]`.
            target: label maps, integers, bool or whole numbers `[B, H, W]`, `[B, 1, H, W]` or
                `[H, W]`.

        Raises:
            ValueError: the arguments are not tensors, logits are NaN, the number of channels is
                wrong, single scores may be logits or probabilities, the shapes differ, or a label
                is neither a class nor void.
        """
        preds = labels_of("preds", preds, self.num_classes, self.threshold)
        counts = count_hard_pixels(
            preds,
            target_of(target),
            num_classes=self.num_classes,
            ignore_index=self.ignore_index,
            band_width=self.band_width,
            protocol=self.protocol,
        )
        # Not in place, because tensors created in torch.inference_mode can't be changed outside it.
        self.confusion = self.confusion + counts.confusion
        self.edges = self.edges + counts.edges

    def compute(self) -> Any:
        """Return the scores over all batches of all processes.

        Returns:
            The scalar scores of :func:`dealias.metrics.functional.scores` by name, or the tensor of
            `score` alone. Classes without pixels are left out of means; a mean without any class is
            NaN.
        """
        found = scores(self.counts)
        if self.score is not None:
            return found[self.score]
        return {name: value for name, value in found.items() if not name.endswith(CLASS_SUFFIX)}

    def compute_per_class(self) -> dict[str, Tensor]:
        """Return the scores per class over all batches of all processes.

        As with :meth:`compute`, every process must call it.

        Returns:
            The scores `[C]` of :func:`dealias.metrics.functional.scores` by name; NaN for a class
            without pixels.
        """
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            should_sync=self._to_sync,
            should_unsync=self._should_unsync,
        ):
            found = scores(self.counts)
        return {name: value for name, value in found.items() if name.endswith(CLASS_SUFFIX)}

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot `val`, by default from :meth:`compute`; see :meth:`torchmetrics.Metric.plot`."""
        return self._plot(val, ax)

    @property
    def counts(self) -> HardPixelCounts:
        """The counts of this process so far."""
        return HardPixelCounts(self.confusion, self.edges)
