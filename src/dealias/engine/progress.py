"""A progress bar that counts steps: a run is one endless epoch."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar


class StepProgress(RichProgressBar):
    """Lightning's bar of rich, without numbers that say nothing here."""

    @property
    def total_train_batches(self) -> int | float:
        """The batches of the whole run: Lightning counts only those left, a step as a batch."""
        trainer = self.trainer
        batches: int = trainer.max_steps * trainer.accumulate_grad_batches
        return batches if batches > 0 else super().total_train_batches

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What is shown behind the bar: not the version of a log."""
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown

    def _get_train_description(self, current_epoch: int) -> str:
        return "Training"
