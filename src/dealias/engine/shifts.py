"""Shift agreement in a test: which pixels change class when the camera moves a little."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.engine.pictures import Aside
from dealias.engine.segmentation import SegmentationTask
from dealias.engine.training import TrainingError
from dealias.files import defined
from dealias.metrics.functional import draw_offsets, shift_agreement
from dealias.outputs import OutputFolder
from dealias.probe import MULTIPLE, ShiftMap, map_shifts, write_scores
from dealias.processes import gather
from dealias.report import (
    AliasingErrors,
    boundary_bands,
    error_detection,
    mark_errors,
)
from dealias.text import printable


@dataclass
class _Part:
    """The counts of one process."""

    counts: Tensor
    errors: AliasingErrors = field(default_factory=AliasingErrors.empty)
    images: list[tuple[str, Tensor]] = field(default_factory=list)  # names and tables
    agreements: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)  # by offset


class ShiftTest(Aside):
    """Predicts each image of a segmentation test again, shifted by a few pixels.

    The first image of a process fails at once, later ones as :class:`Aside` says.

    Args:
        shifts: number of offsets for each image, drawn from the seed and the image's name.
        largest: largest offset along an axis, in pixels.
        seed: seed of the offsets.

    Attributes:
        more: entry of the result file, once the test has ended. It holds the agreement over all
            pixels, in the bands of the prediction and of the target, by class and by image, and
            how well instability predicts errors. Instability is the share of shifts under which
            a pixel changes its class.
        unstable: instability of each pixel of the last image, float32 [H, W]; NaN near the edges
            of the image, which are not compared.
    """

    def __init__(self, shifts: int, *, largest: int = 32, seed: int = 0) -> None:
        draw_offsets(shifts, largest=largest, seed=seed)  # raises now if one is out of range
        self.shifts = shifts
        self.largest = largest
        self.seed = seed
        self.more: dict[str, Any] = {}
        self.unstable: NDArray[np.float32] | None = None
        self._part: _Part | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start with empty counts.

        Raises:
            ValueError: the task is not segmentation.
        """
        if not isinstance(pl_module, SegmentationTask):
            raise ValueError("shifts: expected the task segmentation, whose output is a label map")
        self._part = _Part(self._empty(pl_module))

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Compare the predictions for shifted windows of one image."""
        if outputs is None or self._part is None:
            return
        part = self._part
        if part.images:
            self.attempt(lambda: self._add(part, pl_module, batch))
        else:
            self._add(part, pl_module, batch)

    def _add(self, part: _Part, task: SegmentationTask, batch: Any) -> None:
        (name,) = batch["name"]
        image, target = batch["image"][0], batch["target"][0].long().cpu()
        found = self._compare(task, name, image)
        self.unstable = _spread(found, image)
        self._count(part, name, found, target, task.options)

    def _compare(self, task: SegmentationTask, name: str, image: Tensor) -> ShiftMap:
        offsets = draw_offsets(self.shifts, largest=self.largest, seed=self.seed, name=name)

        def predict(view: Tensor) -> Tensor:
            return task.predict_labels(view[None])[0].long().cpu()

        try:
            with task.trainer.precision_plugin.forward_context():
                found = map_shifts(predict, image, offsets, largest=self.largest, multiple=MULTIPLE)
        except TrainingError as error:
            raise TrainingError(f"{printable(name)}: {error}") from error
        except ValueError as error:
            raise ValueError(
                f"{printable(name)}: {error}; --largest_shift allows smaller ones"
            ) from error
        return found

    def _count(self, part: _Part, name: str, found: ShiftMap, target: Tensor, options: Any) -> None:
        table = found.count(target, **options.counting)
        maps = found.preds.numpy(), found.crop(target).numpy()
        part.errors += AliasingErrors.of(
            found.unstable.numpy(),
            mark_errors(*maps, options.counting),
            boundary_bands(*maps, options.counting),
        )
        part.counts += table
        part.images.append((name, table.sum(2)))
        part.agreements.append((name, found.agreements))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add up the counts of all processes."""
        if not self.agree(trainer):
            return
        if self._part is None or not isinstance(pl_module, SegmentationTask):
            return
        total = _Part(self._empty(pl_module))
        for part in gather(self._part, trainer.world_size):
            total.counts += part.counts
            total.errors += part.errors
            total.images += part.images
            total.agreements += part.agreements
        self.more = {"shifts": self._to_dict(total, pl_module.class_names)}

    def discard(self) -> None:
        """Forget what was counted."""
        self._part = self.unstable = None

    def _empty(self, task: SegmentationTask) -> Tensor:
        return torch.zeros(3, 2, len(task.classes), dtype=torch.int64)

    def _to_dict(self, total: _Part, names: tuple[str, ...]) -> dict[str, Any]:
        found = shift_agreement(total.counts)
        classes = {key: value for key, value in found.items() if value.ndim == 1}
        shares = [share for _, image in sorted(total.agreements) for share in image]
        return {
            "shifts": self.shifts,
            "largest": self.largest,
            "seed": self.seed,
            **{key: defined(value) for key, value in found.items() if value.ndim == 0},
            "mASSC": math.fsum(shares) / len(shares) if shares else None,
            "classes": [
                {"name": name}
                | {key.removesuffix("_per_class"): defined(v[index]) for key, v in classes.items()}
                for index, name in enumerate(names)
            ],
            "per_image": [
                {"name": name} | defined(_scalars(table))
                for name, table in sorted(total.images, key=lambda row: row[0])
            ],
            "errors_against_instability": {
                "boundary": _finding(total.errors, slice(0, 1), slice(1, -2)),
                "all": _finding(total.errors, [0, -1], slice(1, -1)),
            },
        }


class UnstableMaps(ShiftTest):
    """Writes the instability of each pixel in prediction, where images have no labels.

    Args:
        folder: folder for NAME.png of each image, 16-bit grey as in `dealias probe --maps`: 65534
            for a pixel that changed under every shift, 65535 for one that was not compared.
        shifts: see :class:`ShiftTest`.
        largest: see :class:`ShiftTest`.
        seed: see :class:`ShiftTest`.
    """

    def __init__(self, folder: Path, shifts: int, *, largest: int = 32, seed: int = 0) -> None:
        super().__init__(shifts, largest=largest, seed=seed)
        self._output = OutputFolder(folder)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the folder before any process writes to it."""
        self.on_test_start(trainer, pl_module)
        if trainer.is_global_zero:
            self._output.begin()
        trainer.strategy.barrier()

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Write the map of one image."""
        if outputs is None:
            return
        (name,), image = batch["name"], batch["image"][0]
        unstable = _spread(self._compare(pl_module, name, image), image)
        height, width = unstable.shape
        write_scores(self._output.part / f"{name}.png", unstable, (height, width))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the folder into place once all processes have written."""
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self._output.finish()
            self._output.close()

    def discard(self) -> None:
        """Remove unfinished maps, if this process created the folder."""
        self._output.close()


def _spread(found: ShiftMap, image: Tensor) -> NDArray[np.float32]:
    """Instability in the window of an image [C, H, W] that was compared, and NaN around it."""
    (top, left), (height, width) = found.place, found.preds.shape
    whole = np.full(tuple(image.shape[-2:]), np.nan, np.float32)
    whole[top : top + height, left : left + width] = found.unstable.numpy()
    return whole


def _scalars(table: Tensor) -> dict[str, Tensor]:
    found = shift_agreement(table[:, :, None])
    return {key: value for key, value in found.items() if value.ndim == 0}


def _finding(errors: AliasingErrors, right: Any, wrong: Any) -> dict[str, float | None]:
    """How well instability predicts errors among pixels of some groups of `errors`."""
    return error_detection(errors.counts[right].sum(0), errors.counts[wrong].sum(0))
