"""Semantic segmentation: training, testing and prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.data import (
    SegmentationDataModule,
    check_data,
    contact_sheet,
    read_class_weights,
)
from dealias.engine.inference import Inference
from dealias.engine.losses import LossError, Losses
from dealias.engine.optimization import Optimization
from dealias.engine.parsing import FreeOptions
from dealias.engine.tasks import Task
from dealias.engine.training import ScoreAliasing, Training, TrainingError, build_network
from dealias.evaluation import (
    Evaluation,
    Options,
    Shard,
    draw_errors,
    evaluate_maps,
    write_counts,
    write_csv,
)
from dealias.files import make_parents, write_whole
from dealias.labels import ClassSet, write_label_map
from dealias.metrics.functional import MEAN_FIGURES, Protocol, error_map
from dealias.models import create_model
from dealias.report import Example, ReportWriter
from dealias.text import FileError, printable


class SegmentationTask(Training):
    """A network for semantic segmentation, its training and its evaluation.

    Batches are mappings with "image", uint8 [B, 3, H, W], "name" and, except in prediction,
    "target", integers [B, H, W]; "skipped" lists messages about skipped files. Images are
    normalised in this class, on the device of the network.

    Args:
        network: arguments of :func:`dealias.models.create_model` except `num_classes`.
        classes: the classes of the data set.
        optimization: optimizer and learning rates.
        inference: windows, scales and flips in validation, test and prediction.
        protocol: "paper" or "exact"; see :mod:`dealias.metrics.functional`.
        band_width: width of boundary bands in pixels, odd.
        boundary: whether to compute Boundary IoU and the boundary F-score, too.
        compile: whether to compile the network with `torch.compile`.
        channels_last: whether images and weights are in channels-last memory format.
        seed: seed of the random numbers in training.
        losses: losses to train with, see :class:`dealias.engine.Losses`; by default cross-entropy.
        class_weights: weights of the classes in cross-entropy, in their order; or a file from
            ``dealias data check --output``, for median-frequency balancing.
        label_smoothing: share of the target that cross-entropy spreads over all classes.
    """

    create = staticmethod(create_model)
    monitor = "val/mIoU"
    progress = MEAN_FIGURES[:2]
    page_title = "Segmentation errors"
    written = ("result.json", "result.csv", "counts.npz")

    def __init__(
        self,
        network: FreeOptions,
        classes: ClassSet,
        optimization: Optimization = Optimization(),  # noqa: B008 - it is frozen
        inference: Inference = Inference(),  # noqa: B008
        protocol: Protocol = "paper",
        band_width: int = 15,
        boundary: bool = False,
        compile: bool = False,  # noqa: A002
        channels_last: bool = False,
        seed: int = 0,
        losses: list[str | FreeOptions] | None = None,
        class_weights: list[float] | Path | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        built = build_network(self.create, network, num_classes=len(classes))
        super().__init__(built, optimization, seed, classes.names)
        self.classes = classes
        self.options = Options(classes, protocol, band_width, boundary)
        self.inference = inference
        if isinstance(class_weights, Path):
            try:
                class_weights = read_class_weights(class_weights, classes)
            except FileError as error:
                raise LossError(f"model.class_weights: {error}") from error
        self.criterion = None
        if losses is not None or class_weights is not None or label_smoothing:
            self.criterion = Losses(
                losses,
                ignore_index=classes.ignore_index,
                num_classes=len(classes),
                class_weights=class_weights,
                label_smoothing=label_smoothing,
            )
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            self.network.to(memory_format=torch.channels_last)
        if compile:
            self.network.compile()

    def normalise(self, images: Tensor) -> Tensor:
        """The input of the network for images, uint8 [B, 3, H, W], RGB."""
        return self.scaled(images).contiguous(memory_format=self.memory_format)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [B, C, H, W] of RGB images, uint8 [B, 3, H, W]; see :class:`Inference`."""
        return self.inference.scores(lambda x: self.network(x)["out"], self.normalise(images))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: the loss is not finite.
        """
        self.skip(batch["skipped"])
        images, target = self.normalise(batch["image"]), batch["target"].long()
        ignore = self.classes.ignore_index
        terms = self.network.loss(images, target, ignore_index=ignore, criterion=self.criterion)
        return self.add_up(terms, batch["name"])

    def count_also(self, **options: Any) -> None:
        """Change how the next test counts, with arguments of :class:`Options`."""
        self.options = replace(self.options, **options)

    def empty_results(self) -> Evaluation:
        """An evaluation without images."""
        return Evaluation.empty(self.options.settings)

    def count(self, results: Evaluation, batch: Mapping[str, Any], outputs: Tensor) -> None:
        """Add the one image of a batch and its predicted labels to an evaluation."""
        (name,), target = batch["name"], batch["target"][0]
        results.absorb(evaluate_maps(name, outputs[0].cpu(), target.cpu(), self.options))

    def figures(self, results: Evaluation) -> dict[str, float]:
        """The six metrics of an evaluation of all images."""
        results.shards.append(Shard.whole([row.name for row in results.images]))
        found = results.mean_metrics()
        known = {name: found[name] for name in MEAN_FIGURES}
        return {name: math.nan if value is None else value for name, value in known.items()}

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor | None:
        """Predicted labels [1, H, W] of the one image of a batch; None if it was skipped."""
        if batch["image"] is None:
            return None
        try:
            return self.predict_labels(batch["image"])
        except TrainingError as error:
            raise TrainingError(f"{', '.join(map(printable, batch['name']))}: {error}") from error

    def predict_labels(self, images: Tensor) -> Tensor:
        """Predicted labels [B, H, W] of RGB images: uint8, or int32 for more than 256 classes.

        Raises:
            TrainingError: a score is NaN.
        """
        dtype = torch.uint8 if len(self.classes) <= 256 else torch.int32
        scores: Tensor = self(images)
        highest, labels = scores.max(1)
        if highest.isnan().any():  # of NaN, the label would be 0
            raise TrainingError("scores: expected numbers from the network, got NaN")
        return labels.to(dtype)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also save the palette of the classes."""
        super().on_save_checkpoint(checkpoint)
        palette = self.classes.palette
        checkpoint["hyper_parameters"]["classes"]["palette"] = (
            None if palette is None else [list(color) for color in palette]
        )

    def write_results(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write the results of the last test: result.json, result.csv and counts.npz."""
        super().write_results(folder, more)
        write_csv(self.tested(), folder / "result.csv")
        write_counts(self.tested(), folder / "counts.npz")

    def write_prediction(self, folder: Path, name: str, outputs: Tensor) -> None:
        """Write a label map for :func:`dealias.labels.read_label_map`, as NAME.png."""
        path = folder / f"{name}.png"
        make_parents(path)
        with write_whole(path) as file:
            write_label_map(file, outputs[0].cpu().numpy(), self.classes)

    def picture(self, batch: Mapping[str, Any], outputs: Tensor) -> NDArray[np.uint8]:
        """The image of a batch, its target, prediction and errors, uint8 [H, 4 * W, 3]."""
        image, target, preds = (
            part[0].cpu() for part in (batch["image"], batch["target"], outputs)
        )
        photograph = image.permute(1, 2, 0).numpy()
        errors = error_map(preds, target, **self.options.counting).numpy()
        maps = (self.classes.paint(labels.numpy()) for labels in (target, preds))
        return np.concatenate([photograph, *maps, draw_errors(errors, photograph)], axis=1)

    def page_writer(self, folder: Path) -> ReportWriter:
        """A writer of a page of segmentation errors."""
        options = self.options
        return ReportWriter(
            folder,
            options.classes,
            protocol=options.protocol,
            band_width=options.band_width,
            object_recall=options.object_recall,
        )

    def example(self, batch: Mapping[str, Any], outputs: Tensor, score: ScoreAliasing) -> Example:
        """The one image of a batch with its labels and aliasing scores."""
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
        """The results of the last test, as in result.json."""
        result: dict[str, Any] = self.tested().to_dict()
        return result


TASK = Task(
    "segmentation",
    SegmentationTask,
    SegmentationDataModule,
    check_data,
    contact_sheet,
    "dealias.cli.segmentation",
)
