"""The base of the data modules: training batches by position, and images one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pytorch_lightning import LightningDataModule
from torchvision.transforms import v2

from dealias.data.batches import Batches, CountedBatches, Join, TrainingPositions
from dealias.data.dark import Dark
from dealias.data.finding import DataError, spread
from dealias.labels import PairingError, Sample, list_images
from dealias.lowlight import GaussianNoise
from dealias.processes import reading_processes


class LoadingModule(LightningDataModule):
    """Data loaders for the trainer; subclasses define the data set.

    See the subclasses for the arguments.

    Attributes:
        moved: present names of options, by earlier ones.
        skipped: messages about what was left out.

    Raises:
        ValueError: an option is out of range.
    """

    moved: ClassVar[Mapping[str, str]] = {
        f"{part}_split": f"data.splits.{part}" for part in ("train", "val", "test")
    } | {"flip": "data.augmentation.flip"}

    def __init__(
        self,
        *,
        predict_images: Path | None,
        limit: int | None,
        dark: Dark | None,
        noise: float,
        batch_size: int,
        workers: int | None,
        seed: int,
        skip_bad: bool,
    ) -> None:
        super().__init__()
        self.predict_images = predict_images
        self.limit = limit
        self.dark = dark
        self.noise = noise
        self.batch_size = batch_size
        self._workers = workers
        self.seed = seed
        self.skip_bad = skip_bad
        self.skipped: list[str] = []
        check_counts({"batch_size": batch_size, "limit": limit})
        if isinstance(noise, bool) or not 0 <= noise < math.inf:
            raise ValueError(f"noise: expected a number from 0 on, of 0 to 255, got {noise!r}")
        reading_processes(workers)  # so that a number out of range shows now
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed: expected 0 to 2**32 - 1, got {seed}")

    @property
    def workers(self) -> int:
        """Number of reader processes; training processes on one machine share its cores."""
        sharing = 1 if self.trainer is None else self.trainer.num_devices
        return reading_processes(self._workers, sharing=sharing)

    def prepare(self, part: str) -> Any:
        """Find the samples of "train", "val" or "test", in the form that `evaluated` expects.

        Raises:
            ValueError: samples are missing or can't be used.
        """
        raise NotImplementedError

    def files(self, part: str) -> list[Path]:
        """Files of images and targets of "train", "val" or "test"; none for procedural data.

        Raises:
            ValueError: see `prepare`.
        """
        raise NotImplementedError

    @property
    def conditions(self) -> dict[str, Any]:
        """How test images are changed, for result.json: "dark" and "noise"."""
        found: dict[str, Any] = {}
        if self.dark is not None:
            least, most = self.dark.ratio
            found["dark"] = {"least": least, "most": most, "output": self.dark.output}
        return found | ({"noise": self.noise} if self.noise else {})

    def change(self, *, dark: bool = True) -> v2.Transform | None:
        """The transform that makes images outside training dark and noisy, always in the same way.

        Args:
            dark: whether to darken, if the data set is dark; images to predict are not darkened.
        """
        steps = [self.dark.transform(0)] if dark and self.dark is not None else []
        steps += [GaussianNoise(self.noise, seed=0)] if self.noise else []
        return v2.Compose(steps) if steps else None

    def evaluated(self, samples: Any) -> CountedBatches:
        """This process's share of the given samples, one by one.

        Raises:
            DataError: there are fewer samples than processes.
        """
        raise NotImplementedError

    def val_dataloader(self) -> CountedBatches:
        """This process's share of the validation split, image by image."""
        return self.evaluated(self.prepare("val"))

    def test_dataloader(self) -> CountedBatches:
        """This process's share of the test split, image by image."""
        return self.evaluated(self.prepare("test"))

    def setup(self, stage: str | None = None) -> None:
        """Find the samples that a stage needs, so that missing ones are noticed early.

        Raises:
            DataError: there are no images to predict; see also `prepare`.
        """
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for part in needed.get(str(stage), ()):
            self.prepare(part)
        if stage == "predict":
            self._images_to_predict()

    def _endless(self, items: Any, join: Join | None = None) -> Batches:
        """Endless training batches from the trainer's current position."""
        rank, processes = self._share()
        positions = TrainingPositions(
            self._position, self.batch_size, rank=rank, processes=processes
        )
        return Batches(items, workers=self.workers, batch_sampler=positions, join=join)

    def _one_by_one(self, items: Any, join: Join | None = None) -> CountedBatches:
        """This process's share of the items.

        Raises:
            DataError: there are fewer items than processes.
        """
        rank, processes = self._share()
        if len(items) < processes:
            raise DataError(
                f"expected at least one image a process, got {len(items)} images for "
                f"{processes} processes"
            )
        sampler = range(rank, len(items), processes)  # each item goes to exactly one process
        return CountedBatches(items, workers=self.workers, sampler=sampler, join=join)

    def _position(self) -> int:
        """The trainer's current position in the training stream."""
        if self.trainer is None:
            return 0
        batches = self.trainer.global_step * self.trainer.accumulate_grad_batches
        return batches * self.batch_size * self.trainer.world_size

    def _share(self) -> tuple[int, int]:
        """Rank and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _images_to_predict(self) -> list[Sample]:
        if self.predict_images is None:
            raise DataError("predict_images: expected the folder of the images to predict")
        try:
            folder = Path(self.predict_images).expanduser().absolute()
            return spread(list_images(folder), self.limit)
        except PairingError as error:
            raise DataError(f"predict_images: {error}") from error


def check_counts(counts: dict[str, int | None]) -> None:
    """Raise ValueError for any option that is given and below 1."""
    for option, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{option}: expected at least 1, got {count}")


def check_lengths(option: str, size: Sequence[int], *, least: int = 1) -> None:
    """Raise ValueError unless an option is two lengths that are large enough."""
    if len(size) != 2 or min(size) < least:
        raise ValueError(f"{option}: expected two lengths of at least {least}, got {size!r}")


def check_probability(option: str, value: float) -> None:
    """Raise ValueError unless an option is a probability."""
    if isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{option}: expected a probability in [0, 1], got {value}")
