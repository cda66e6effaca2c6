"""Callbacks that end a training run before its time, or make it seem to get worse."""

import os
import signal

from pytorch_lightning import Callback


class KillAtStep(Callback):
    """Kills the process after a step, as a scheduler or a power cut does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class KillInValidation(KillAtStep):
    """Kills the process in the validation of a step."""

    def on_train_batch_end(self, trainer, *_):
        pass

    def on_validation_batch_start(self, trainer, *_):
        super().on_train_batch_end(trainer)


class StopAtStep(KillAtStep):
    """Ends training in good order after a step."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.should_stop = True


class StopAtBatch(KillAtStep):
    """Ends training in good order after a batch, as Lightning's Timer does."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):  # noqa: ARG002
        if batch_idx + 1 == self.step:
            trainer.should_stop = True


class StopAfterValidation(StopAtStep):
    """Ends training in good order after the validation of a step, as EarlyStopping does."""

    def on_train_batch_end(self, trainer, *_):
        pass

    def on_validation_end(self, trainer, pl_module):  # noqa: ARG002 - the name is Lightning's
        if trainer.global_step == self.step:
            trainer.should_stop = True


class FallingScore(Callback):
    """Lets every validation seem worse than the one before."""

    def setup(self, trainer, pl_module, stage):  # noqa: ARG002 - the name is Lightning's
        log = pl_module.log

        def falling(name, value, **options):
            log(name, 1 / (1 + trainer.global_step) if name == "val/mIoU" else value, **options)

        pl_module.log = falling
