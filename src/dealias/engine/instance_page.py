"""The page of a test, drawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dealias.engine.aliasing import FirstAliasing
from dealias.engine.test_page import title_under_noise
from dealias.metrics.instances import AnnotatedImage, Detections
from dealias.report.instances import InstanceReportPart, InstanceReportWriter

if TYPE_CHECKING:
    from dealias.engine.instances import InstanceTask


class InstancePage:
    """The page of a test of an :class:`InstanceTask`.

    Args:
        task: what is tested.
        folder: of the page.
    """

    def __init__(self, task: InstanceTask, folder: Path) -> None:
        self.task = task
        self.writer = InstanceReportWriter(folder)
        self.begin, self.discard = self.writer.begin, self.writer.discard
        self._aliasing: FirstAliasing | None = None

    @property
    def part(self) -> InstanceReportPart:
        """What this process has drawn."""
        return self.writer.part

    def add(self, batch: Mapping[str, Any], outputs: tuple[AnnotatedImage, Detections]) -> None:
        """Draw the one image of a batch."""
        record, found = outputs
        (image,) = batch["image"]
        (original,) = batch.get("original", [None])
        self.writer.add(
            record,
            found,
            as_picture(image, record.size),
            original=None if original is None else as_picture(original, record.size),
            aliasing=self._scores(image, record.size),
        )

    def _scores(self, image: Tensor, size: tuple[int, int]) -> NDArray[np.float32] | None:
        """The aliasing score of each pixel of an image, at a size."""
        images, ((height, width),) = self.task.stack([image])
        if self._aliasing is None:
            self._aliasing = FirstAliasing(self.task.network.backbone, images)
        scores = self._aliasing(images)
        if scores is None:
            return None
        own = scores[0, :height, :width].cpu().numpy()  # without the padding
        resized = Image.fromarray(own).resize((size[1], size[0]), Image.Resampling.NEAREST)
        return np.asarray(resized)

    def finish(
        self, *, output: Path, probe: Mapping[str, Any] | None, noise: float
    ) -> dict[str, Any]:
        """Write the page; see :meth:`InstanceReportWriter.finish`."""
        if self.task.results is None:
            raise ValueError("results: expected those of a test, got none")
        site = self._aliasing.site if self._aliasing is not None else None
        return self.writer.finish(
            self.task.results,
            output=output,
            probe=probe,
            site=None if site is None else site.name,
            title=title_under_noise("Instances", noise),
        )


def as_picture(image: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image uint8 [3, h, w] as pixels (H, W, 3) of a size (H, W)."""
    pixels: NDArray[np.uint8] = image.permute(1, 2, 0).cpu().numpy()
    if pixels.shape[:2] != size:
        resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        pixels = np.asarray(resized)
    return pixels
