"""Filters whose strength rises over the first part of training."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import Callback
from torch import nn

from dealias.layers import set_strength


class FilterRamp(Callback):
    """Raise the strength of filters linearly from 0 to 1 over the first part of training.

    Pretrained weights rely on frequencies that a filter removes; the ramp gives them time to adapt.
    De-alias the network with ``strength=0``. The strength depends only on the step and is saved in
    every checkpoint, so a resumed training continues with the right strength.

    Args:
        share: share of the training steps after which the strength is 1, in (0, 1).

    Raises:
        ValueError: `share` is out of range, or, at the start of training, the network has no
            filter whose strength can be set.

    >>> FilterRamp(0.5).strength(step=25, steps=100)
    0.5
    """

    def __init__(self, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f"filter_ramp: expected a share in (0, 1), got {share!r}")
        self.share = share

    def strength(self, step: int, steps: int) -> float:
        """Strength at a step, counted from 0, of a training of `steps` steps."""
        return min(1.0, step / max(1, math.floor(self.share * steps)))  # 1 at the last step

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a network without filters whose strength can be set."""
        self.check(trainer, pl_module)

    def check(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the strength for the current step, and refuse a network without such filters.

        Raises:
            ValueError: the network has no filter whose strength can be set, or the trainer has no
                maximum number of steps.
        """
        if trainer.max_steps < 1:
            raise ValueError(f"filter_ramp: expected trainer.max_steps, got {trainer.max_steps}")
        if not self._set(trainer, pl_module):
            raise ValueError(
                "filter_ramp: expected filters whose strength can be set, got a network without "
                "any: de-alias it with strength 0"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Set the strength for the step."""
        self._set(trainer, pl_module)

    def _set(self, trainer: Any, pl_module: pl.LightningModule) -> int:
        """Set the strength for the step, also in averaged weights, which would lag behind."""
        strength = self.strength(trainer.global_step, trainer.max_steps)
        for callback in trainer.callbacks:
            average = getattr(callback, "_average_model", None)
            if isinstance(average, nn.Module):
                set_strength(average, strength)
        return set_strength(pl_module, strength)
