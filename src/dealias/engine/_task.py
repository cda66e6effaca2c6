"""Training, testing and prediction of one network, for the trainer of PyTorch Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from dealias._text import printable
from dealias.engine._inference import Inference
from dealias.engine._optimization import Optimization
from dealias.evaluation import Evaluation, Options, evaluate_maps, gather
from dealias.labels import ClassSet
from dealias.metrics.functional import Protocol
from dealias.models import create_model, load_weights

# The six of the paper, by the name they are logged under.
METRICS = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")


class TrainingError(ValueError):
    """Training can't go on; the message says at which step and why."""


class SegmentationTask(pl.LightningModule):
    """A network, how it is trained, and how it is judged.

    Batches are mappings with "image", uint8 (B, 3, H, W), "name" and, but in prediction, "target",
    integers (B, H, W); "skipped" lists messages about files that were left out. Images are scaled
    to the mean and deviation of the network here, on its device.

    All randomness of a step comes from the seed, the step and the rank, so that a run that is
    resumed goes on as if it had not been stopped.

    Args:
        network: arguments of :func:`dealias.models.create_model` but `num_classes`.
        classes: the classes, those of the data set.
        optimization: how weights are learnt.
        inference: how images are put through the network in validation, test and prediction.
        protocol: "paper", or "exact" without its gaps; see :mod:`dealias.metrics.functional`.
        band_width: of boundary bands, in pixels, odd.
        boundary: count Boundary IoU and the boundary F-score in tests as well.
        compile: compile the network with `torch.compile`.
        channels_last: keep the channels of images and weights innermost in memory.
        seed: of the randomness in training.

    Attributes:
        results: what the last validation or test found, in every process; None before.
        skipped: messages about files that were left out in training.
    """

    def __init__(
        self,
        network: dict[str, Any],
        classes: ClassSet,
        optimization: Optimization = Optimization(),  # noqa: B008 - it is frozen
        inference: Inference = Inference(),  # noqa: B008
        protocol: Protocol = "paper",
        band_width: int = 15,
        boundary: bool = False,
        compile: bool = False,  # noqa: A002
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.options = Options(classes, protocol, band_width, boundary)
        self.optimization = optimization
        self.inference = inference
        self.seed = seed
        self.network = create_model(**network, num_classes=len(classes))
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            self.network.to(memory_format=torch.channels_last)
        if compile:
            self.network.compile()
        self.results: Evaluation | None = None
        self.skipped: list[str] = []
        self._part = Evaluation.empty(self.options.settings)

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule over all steps of the trainer."""
        optimizer = self.optimization.optimizer(self.network)
        schedule = self.optimization.schedule(optimizer, self._steps())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _steps(self) -> int:
        steps = self.trainer.max_steps
        if steps < 1:
            raise ValueError(f"trainer.max_steps: expected at least 1, got {steps}")
        return steps

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 RGB, as the network takes them."""
        mean, std = (
            torch.tensor(values, device=images.device).mul_(255)[:, None, None]
            for values in (self.network.mean, self.network.std)
        )
        images = (images.float() - mean) / std
        return images.contiguous(memory_format=self.memory_format)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (B, C, H, W) of images (B, 3, H, W), uint8 RGB; see :class:`Inference`."""
        return self.inference.scores(lambda x: self.network(x)["out"], self.normalise(images))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make the step's randomness depend on nothing before it."""
        rank, step = self.trainer.global_rank, self.trainer.global_step
        source = np.random.SeedSequence((self.seed, step, batch_idx, rank))
        torch.manual_seed(int(source.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: it is not finite.
        """
        self.skipped += batch["skipped"]
        images, target = self.normalise(batch["image"]), batch["target"].long()
        terms = self.network.loss(images, target, ignore_index=self.classes.ignore_index)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingError(self._not_finite(terms, batch["name"]))
        values = {f"train/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(values, batch_size=len(images))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(images))
        return loss

    def _not_finite(self, terms: Mapping[str, Tensor], names: list[str]) -> str:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in terms.items())
        weights = self.network.named_parameters()
        bad = [name for name, value in weights if not value.isfinite().all()]
        why = (
            f"{len(bad)} weights are not finite, {bad[0]} the first"
            if bad
            else "all weights are finite; a lower learning rate or a longer warm-up may help"
        )
        return (
            f"step {self.trainer.global_step}: the loss is not finite ({parts}) for "
            f"{', '.join(map(printable, names[:4]))}; {why}; checkpoints are as they were"
        )

    def on_validation_epoch_start(self) -> None:
        """Count from nothing."""
        self._part = Evaluation.empty(self.options.settings)

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor | None:
        """Predicted classes of the one image of a batch, counted; None if it was skipped."""
        self._part.skipped += batch["skipped"]
        if batch["image"] is None:
            return None
        preds = self.predict_labels(batch["image"])
        (name,), target = batch["name"], batch["target"][0]
        self._part.absorb(evaluate_maps(name, preds[0].cpu(), target.cpu(), self.options))
        return preds

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Add up what all processes counted, and log the six metrics."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Add up what all processes counted, and log the six metrics."""
        self._finish("test")

    def _finish(self, stage: str) -> None:
        total = Evaluation.empty(self.options.settings)
        for part in gather(self._part, self.trainer.world_size):
            total = total.merge(part)
        total.shards.append((1, 1))
        self.results = total
        found = total.to_dict()["metrics"]
        for name in METRICS:
            value = float("nan") if found[name] is None else found[name]
            self.log(f"{stage}/{name}", value, sync_dist=True, prog_bar=name in METRICS[:2])

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor | None:
        """Predicted classes (1, H, W) of the one image of a batch; None if it was skipped."""
        return None if batch["image"] is None else self.predict_labels(batch["image"])

    def predict_labels(self, images: Tensor) -> Tensor:
        """Predicted classes, uint8 (int32 for more than 256), (B, H, W) of uint8 RGB images."""
        dtype = torch.uint8 if len(self.classes) <= 256 else torch.int32
        return self(images).argmax(1).to(dtype)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the network is, so that it can be built from the checkpoint alone."""
        palette = self.classes.palette
        checkpoint["hyper_parameters"] = {
            "network": self.network.config,
            "classes": {
                "names": list(self.classes.names),
                "palette": None if palette is None else [list(color) for color in palette],
            },
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, with the reason."""
        prefix = "network."
        state = {
            name[len(prefix) :]: value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        }
        load_weights(self.network, state, source="checkpoint")
