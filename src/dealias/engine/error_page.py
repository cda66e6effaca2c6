"""The page of errors of a test, drawn while the test runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from dealias.engine.aliasing import FirstAliasing
from dealias.engine.pictures import Aside
from dealias.engine.shifts import ShiftTest
from dealias.engine.training import Training
from dealias.processes import gather
from dealias.report import read_probe
from dealias.text import told_conditions


class ErrorPage(Aside):
    """Writes the page of a test, which also compares the network's aliasing with its errors.

    Args:
        folder: folder of the page.
        output: file that the result will be written to.
        probe: result of ``dealias probe`` to show on the page; or None.
        shifted: callback that compares shifted images and runs before this one; or None.
        run: name of the run, for the heading.

    Attributes:
        more: further keys of the result file, once the page is written.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        probe: Path | None = None,
        shifted: ShiftTest | None = None,
        run: str = "",
    ) -> None:
        self.folder = folder
        self.output = output
        self.probe = None if probe is None else read_probe(probe, trust=True)  # reads no maps
        self.shifted = shifted
        self._of = f" of {run}" if run else ""
        self.more: dict[str, Any] = {}
        self._writer: Any = None  # created by the task
        self._aliasing: FirstAliasing | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the folder before any process writes to it."""
        if not isinstance(pl_module, Training):
            raise TypeError(f"expected a task with a page of its own, got {type(pl_module)}")
        self._writer, self._aliasing = pl_module.page_writer(self.folder), None
        if trainer.is_global_zero:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._writer.begin()
        trainer.strategy.barrier()

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Draw one image; see :class:`Aside`."""
        if outputs is not None and self._writer is not None:
            self.attempt(lambda: self._draw(pl_module, outputs, batch))

    def _draw(self, task: Training, outputs: Any, batch: Any) -> None:
        example = task.example(batch, outputs, self._scores)
        if self.shifted is not None:
            example = replace(example, unstable=self.shifted.unstable)
        self._writer.add(example)

    def _scores(self, network: nn.Module, images: Tensor) -> Tensor | None:
        """Aliasing scores at the first filtered site, which is determined once per test."""
        if self._aliasing is None:
            self._aliasing = FirstAliasing(network, images)
        return self._aliasing(images)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the page from the images that all processes drew."""
        if self._writer is None or not isinstance(pl_module, Training) or not self.agree(trainer):
            return
        parts = gather(self._writer.part, trainer.world_size)
        if trainer.is_global_zero:
            self.attempt(lambda: self._finish(trainer, pl_module, parts[1:]))

    def _finish(self, trainer: pl.Trainer, pl_module: Training, parts: Sequence[Any]) -> None:
        for part in parts:
            self._writer.part.absorb(part)
        told = told_conditions(getattr(getattr(trainer, "datamodule", None), "conditions", {}))
        site = self._aliasing.site if self._aliasing is not None else None
        found = pl_module.page_result()
        if self.shifted is not None:
            found = found | self.shifted.more
        self.more = self._writer.finish(
            found,
            output=self.output,
            probe=self.probe,
            site=None if site is None else site.name,
            title=f"{pl_module.page_title}{self._of}{told and f' {told}'}",
        )

    def discard(self) -> None:
        """Remove an unfinished page, if this process started it."""
        if self._writer is not None:
            self._writer.discard()
