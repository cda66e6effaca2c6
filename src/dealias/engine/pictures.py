"""Pictures of validation samples, and files of predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from dealias.files import OutputError, write_whole
from dealias.outputs import OutputFolder
from dealias.processes import gather


class SamplePictures(pl.Callback):
    """Draws the first images of each validation to files and to TensorBoard.

    Args:
        folder: folder for STEP/NAME.png, as the task draws it; see :meth:`Training.picture`.
        count: number of images; 0 for none.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *_: Any,
        **__: Any,
    ) -> None:
        """Draw one of the first images."""
        skip = batch_idx >= self.count or not trainer.is_global_zero or trainer.sanity_checking
        if skip or outputs is None:
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


class Aside(pl.Callback):
    """A callback that writes files during a test, and whose errors must not lose its figures.

    Attributes:
        failed: the first error, or None. The command raises it once the figures are written.
    """

    failed: Exception | None = None

    def attempt(self, work: Callable[[], object]) -> None:
        """Do some work, unless earlier work failed; on failure, discard what was written."""
        if self.failed is None:
            try:
                work()
            except Exception as error:  # the test continues after any error
                self.failed = error
                self.discard()

    def agree(self, trainer: pl.Trainer) -> bool:
        """Whether nothing has failed in any process."""
        own = None if self.failed is None else str(self.failed)
        for problem in gather(own, trainer.world_size):
            if problem is not None and self.failed is None:
                self.failed = OutputError(problem)
                self.discard()
        return self.failed is None

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remove what was written."""
        self.discard()

    def discard(self) -> None:
        """Remove what was written."""
        raise NotImplementedError


class PredictionWriter(Aside):
    """Writes predictions in the format of the task, such as label maps: all of them or none.

    The folder is put in place after the last one; see :class:`dealias.outputs.OutputFolder`.

    Args:
        folder: folder for one file per image; created if it does not exist.

    Attributes:
        skipped: messages about images that were left out.
        written: number of predictions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._output = OutputFolder(folder)
        self.skipped: list[str] = []
        self.written = 0

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the folder before any process writes to it."""
        if trainer.is_global_zero:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._output.begin()
        trainer.strategy.barrier()

    on_test_start = on_predict_start

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Write the prediction of one image."""
        self.skipped += batch["skipped"]
        if outputs is not None:
            (name,) = batch["name"]
            pl_module.write_prediction(self._output.part, name, outputs)
            self.written += 1

    def on_test_batch_end(self, *given: Any, **more: Any) -> None:
        """Write the prediction of one image; see :class:`Aside`."""
        self.attempt(lambda: self.on_predict_batch_end(*given, **more))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what all processes wrote, and move the folder into place."""
        parts = gather((self.written, self.skipped), trainer.world_size)
        self.written = sum(written for written, _ in parts)
        self.skipped = [message for _, skipped in parts for message in skipped]
        if trainer.is_global_zero:
            self._output.finish()
            self._output.close()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what all processes wrote, and move the folder into place; see :class:`Aside`."""
        if self.agree(trainer):
            self.attempt(lambda: self.on_predict_end(trainer, pl_module))

    def discard(self) -> None:
        """Remove unfinished predictions, if this process created the folder."""
        self._output.close()
