"""Training, testing and prediction of one network, for the trainer of PyTorch Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.data import SegmentationDataModule, check_data, contact_sheet
from dealias.engine.inference import Inference
from dealias.engine.optimization import Optimization
from dealias.engine.training import ScoreAliasing, Task, Training, build_network
from dealias.evaluation import (
    Evaluation,
    Options,
    draw_errors,
    evaluate_maps,
    write_counts,
    write_csv,
)
from dealias.files import write_json, write_whole
from dealias.labels import ClassSet, write_label_map
from dealias.metrics.functional import Protocol, error_map
from dealias.models import create_model
from dealias.processes import gather
from dealias.report import Example, ReportWriter

# The six of the paper, by the name they are logged under.
METRICS = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")


class SegmentationTask(Training):
    """A network, how it is trained, and how it is judged.

    Batches are mappings with "image", uint8 (B, 3, H, W), "name" and, but in prediction, "target",
    integers (B, H, W); "skipped" lists messages about files that were left out. Images are scaled
    to the mean and deviation of the network here, on its device.

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
    """

    create = staticmethod(create_model)
    monitor = "val/mIoU"
    page_title = "Segmentation errors"

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
        built = build_network(self.create, network, num_classes=len(classes))
        super().__init__(built, optimization, seed, classes.names)
        self.classes = classes
        self.options = Options(classes, protocol, band_width, boundary)
        self.inference = inference
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            self.network.to(memory_format=torch.channels_last)
        if compile:
            self.network.compile()
        self.results: Evaluation | None = None
        self._part = Evaluation.empty(self.options.settings)

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

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: it is not finite.
        """
        self.skip(batch["skipped"])
        images, target = self.normalise(batch["image"]), batch["target"].long()
        terms = self.network.loss(images, target, ignore_index=self.classes.ignore_index)
        return self.add_up(terms, batch["name"])

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
        total.skipped = [*self.left_out(), *total.skipped]
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
        labels: Tensor = self(images).argmax(1)
        return labels.to(dtype)

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

    def write_results(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write what the last test found, as JSON, as a table and as counts."""
        results = self._tested()
        folder.mkdir(parents=True, exist_ok=True)
        write_json(results.to_dict() | dict(more or {}), folder / "result.json")
        write_csv(results, folder / "result.csv")
        write_counts(results, folder / "counts.npz")

    def write_prediction(self, folder: Path, name: str, outputs: Tensor) -> None:
        """Write a label map that :func:`dealias.labels.read_label_map` reads, as NAME.png."""
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as file:
            write_label_map(file, outputs[0].cpu().numpy(), self.classes)

    def picture(self, batch: Mapping[str, Any], outputs: Tensor) -> NDArray[np.uint8]:
        """The image of a batch, its target, prediction and errors side by side, (H, 4 W, 3)."""
        image, target, preds = (
            part[0].cpu() for part in (batch["image"], batch["target"], outputs)
        )
        photograph = image.permute(1, 2, 0).numpy()
        errors = error_map(preds, target, **self.options.counting).numpy()
        maps = (_colored(labels.numpy(), self.classes) for labels in (target, preds))
        return np.concatenate([photograph, *maps, draw_errors(errors, photograph)], axis=1)

    def page_writer(self, folder: Path) -> ReportWriter:
        """What writes a page of errors to a folder."""
        options = self.options
        return ReportWriter(
            folder, options.classes, protocol=options.protocol, band_width=options.band_width
        )

    def example(self, batch: Mapping[str, Any], outputs: Tensor, score: ScoreAliasing) -> Example:
        """The one image of a batch with its labels and aliasing scores; see :class:`Training`."""
        scores = score(self.network, self.normalise(batch["image"]))
        (name,) = batch["name"]
        return Example(
            name,
            outputs[0].cpu().numpy(),
            batch["target"][0].cpu().numpy(),
            batch["image"][0].permute(1, 2, 0).cpu().numpy(),
            None if scores is None else scores[0].cpu().numpy(),
        )

    def page_result(self) -> dict[str, Any]:
        """What the last test found, as plain numbers."""
        return self._tested().to_dict()

    def _tested(self) -> Evaluation:
        if self.results is None:
            raise ValueError("results: expected those of a test, got none")
        return self.results


def _colored(labels: NDArray[Any], classes: ClassSet) -> NDArray[np.uint8]:
    """Colours (H, W, 3) of a label map; void is black."""
    colors = np.concatenate([classes.colors(), np.zeros((1, 3), np.uint8)])
    return colors[np.where(labels == classes.ignore_index, len(classes), labels)]


TASK = Task(
    "segmentation",
    SegmentationTask,
    SegmentationDataModule,
    check_data,
    contact_sheet,
    "dealias.cli.segmentation",
)
