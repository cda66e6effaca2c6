"""The page of a test, drawn while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from dealias.engine._aliasing import FirstAliasing
from dealias.engine._task import SegmentationTask
from dealias.evaluation import gather
from dealias.report import Example, ReportWriter, read_probe


class TestReport(pl.Callback):
    """Writes the page of a test, with the network's aliasing against its errors.

    Args:
        folder: of the page.
        output: file that the result will be written to.
        probe: result of ``dealias probe`` to show in it; or None.

    Attributes:
        more: what the page adds to the result's file, once it is written.
    """

    def __init__(self, folder: Path, output: Path, probe: Path | None = None) -> None:
        self.folder = folder
        self.output = output
        self.probe = None if probe is None else read_probe(probe)
        self.more: dict[str, Any] = {}
        self._writer: ReportWriter | None = None
        self._aliasing: FirstAliasing | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the folder, before any process writes to it."""
        if not isinstance(pl_module, SegmentationTask):
            raise ValueError("--report: is for semantic segmentation")
        options = pl_module.options
        self._writer = ReportWriter(
            self.folder, options.classes, protocol=options.protocol, band_width=options.band_width
        )
        if trainer.is_global_zero:
            self._writer.begin()
        trainer.strategy.barrier()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw one image."""
        if outputs is None or self._writer is None or not isinstance(pl_module, SegmentationTask):
            return
        images = pl_module.normalise(batch["image"])
        if self._aliasing is None:
            self._aliasing = FirstAliasing(pl_module.network, images)
        scores = self._aliasing(images)
        (name,) = batch["name"]
        self._writer.add(
            Example(
                name,
                outputs[0].cpu().numpy(),
                batch["target"][0].cpu().numpy(),
                batch["image"][0].permute(1, 2, 0).cpu().numpy(),
                None if scores is None else scores[0].cpu().numpy(),
            )
        )

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the page over what all processes drew."""
        writer = self._writer
        if writer is None or not isinstance(pl_module, SegmentationTask):
            return
        parts = gather(writer.part, trainer.world_size)
        if not trainer.is_global_zero or pl_module.results is None:
            return
        for part in parts[1:]:
            writer.part.absorb(part)
        site = self._aliasing.site if self._aliasing is not None else None
        self.more = writer.finish(
            pl_module.results.to_dict(),
            output=self.output,
            probe=self.probe,
            site=None if site is None else site.name,
        )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave no half of a page."""
        if self._writer is not None and trainer.is_global_zero:
            self._writer.discard()
