"""Pictures and files of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from dealias.engine._task import SegmentationTask
from dealias.engine._training import Training
from dealias.evaluation import draw_errors, gather, write_whole
from dealias.labels import ClassSet
from dealias.metrics.functional import error_map


def picture(task: SegmentationTask, image: Tensor, target: Tensor, preds: Tensor) -> Any:
    """An image, its target, its prediction and its errors, side by side.

    Args:
        task: for the classes and the bands.
        image: uint8 (3, H, W).
        target: integers (H, W).
        preds: integers (H, W).

    Returns:
        uint8 (H, 4 W, 3).
    """
    photograph = image.permute(1, 2, 0).numpy()
    errors = error_map(preds, target, **task.options.counting).numpy()
    maps = (colored(labels.numpy(), task.classes) for labels in (target, preds))
    return np.concatenate([photograph, *maps, draw_errors(errors, photograph)], axis=1)


def colored(labels: NDArray[Any], classes: ClassSet) -> NDArray[np.uint8]:
    """Colours (H, W, 3) of a label map; void is black."""
    colors = np.concatenate([classes.colors(), np.zeros((1, 3), np.uint8)])
    return colors[np.where(labels == classes.ignore_index, len(classes), labels)]


class SamplePictures(pl.Callback):
    """Draws the first images of each validation, to files and to TensorBoard.

    Args:
        folder: gets STEP/NAME.png, input, target, prediction and errors side by side.
        count: how many images; 0 for none.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw one of the first images."""
        task = pl_module
        skip = batch_idx >= self.count or not trainer.is_global_zero or trainer.sanity_checking
        if skip or outputs is None or not isinstance(task, SegmentationTask):
            return
        (name,) = batch["name"]
        parts = (batch["image"][0], batch["target"][0], outputs[0])
        drawn = picture(task, *(part.cpu() for part in parts))
        path = self.folder / f"{trainer.global_step:07d}" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as file:
            Image.fromarray(drawn).save(file, "png")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    f"val/{name}", drawn, trainer.global_step, dataformats="HWC"
                )


class PredictionWriter(pl.Callback):
    """Writes predictions as the task does, such as label maps.

    Args:
        folder: gets a file an image; made if it isn't there.

    Attributes:
        skipped: messages about images that were left out.
        written: how many there are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped: list[str] = []
        self.written = 0

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what an earlier run predicted; that there is any was agreed to."""
        if trainer.is_global_zero and self.folder.is_dir():
            for path in [*self.folder.rglob("*.png"), *self.folder.rglob("*.json")]:
                path.unlink()
        trainer.strategy.barrier()

    on_test_start = on_predict_start

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the prediction of one image."""
        self.skipped += batch["skipped"]
        if outputs is None or not isinstance(pl_module, Training):
            return
        (name,) = batch["name"]
        pl_module.write_prediction(self.folder, name, outputs)
        self.written += 1

    on_test_batch_end = on_predict_batch_end

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add up what all processes wrote."""
        parts = gather((self.written, self.skipped), trainer.world_size)
        self.written = sum(written for written, _ in parts)
        self.skipped = [message for _, skipped in parts for message in skipped]

    on_test_end = on_predict_end
