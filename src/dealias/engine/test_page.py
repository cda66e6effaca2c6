"""The page of a test, drawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from dealias.engine.aliasing import FirstAliasing
from dealias.engine.training import ReportPage, Training
from dealias.processes import gather
from dealias.report import Example, ReportPart, ReportWriter, read_probe

if TYPE_CHECKING:
    from dealias.engine.segmentation import SegmentationTask


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
        self._page: ReportPage | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the folder, before any process writes to it."""
        if not isinstance(pl_module, Training):
            raise TypeError(f"expected a task with a page of its own, got {type(pl_module)}")
        self._page = pl_module.test_page(self.folder)
        if trainer.is_global_zero:
            self._page.begin()
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
        if outputs is not None and self._page is not None:
            self._page.add(batch, outputs)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the page over what all processes drew."""
        if self._page is None:
            return
        parts = gather(self._page.part, trainer.world_size)
        if trainer.is_global_zero:
            for part in parts[1:]:
                self._page.part.absorb(part)
            noise = getattr(getattr(trainer, "datamodule", None), "noise", 0.0)
            self.more = self._page.finish(output=self.output, probe=self.probe, noise=noise)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave no half of a page."""
        if self._page is not None and trainer.is_global_zero:
            self._page.discard()


class SegmentationPage:
    """The page of a test of a :class:`SegmentationTask`.

    Args:
        task: what is tested.
        folder: of the page.
    """

    def __init__(self, task: SegmentationTask, folder: Path) -> None:
        self.task = task
        options = task.options
        self.writer = ReportWriter(
            folder, options.classes, protocol=options.protocol, band_width=options.band_width
        )
        self.begin, self.discard = self.writer.begin, self.writer.discard
        self._aliasing: FirstAliasing | None = None

    @property
    def part(self) -> ReportPart:
        """What this process has drawn."""
        return self.writer.part

    def add(self, batch: Mapping[str, Any], outputs: Any) -> None:
        """Draw the one image of a batch."""
        images = self.task.normalise(batch["image"])
        if self._aliasing is None:
            self._aliasing = FirstAliasing(self.task.network, images)
        scores = self._aliasing(images)
        (name,) = batch["name"]
        self.writer.add(
            Example(
                name,
                outputs[0].cpu().numpy(),
                batch["target"][0].cpu().numpy(),
                batch["image"][0].permute(1, 2, 0).cpu().numpy(),
                None if scores is None else scores[0].cpu().numpy(),
            )
        )

    def finish(
        self, *, output: Path, probe: Mapping[str, Any] | None, noise: float
    ) -> dict[str, Any]:
        """Write the page; see :meth:`ReportWriter.finish`."""
        if self.task.results is None:
            raise ValueError("results: expected those of a test, got none")
        site = self._aliasing.site if self._aliasing is not None else None
        return self.writer.finish(
            self.task.results.to_dict(),
            output=output,
            probe=probe,
            site=None if site is None else site.name,
            title=title_under_noise("Segmentation errors", noise),
        )


def title_under_noise(title: str, noise: float) -> str:
    """The heading of a page, which says what noise was added to the images."""
    return f"{title} under noise, sigma {noise:g} of 255" if noise else title
