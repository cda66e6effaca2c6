"""Pictures and files of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from dealias.engine._training import Training
from dealias.evaluation import gather, write_whole


class SamplePictures(pl.Callback):
    """Draws the first images of each validation, to files and to TensorBoard.

    Args:
        folder: gets STEP/NAME.png, what the task draws: see :meth:`Training.picture`.
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
        skip = batch_idx >= self.count or not trainer.is_global_zero or trainer.sanity_checking
        if skip or outputs is None or not isinstance(pl_module, Training):
            return
        (name,) = batch["name"]
        drawn = pl_module.picture(batch, outputs)
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
