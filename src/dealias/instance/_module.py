"""Data sets with instances for training, evaluation and prediction with Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from torchvision.transforms import v2

from dealias.data import DataError
from dealias.data._batches import Batches, CountedBatches, RankShare, TrainingPositions
from dealias.data._module import _cores
from dealias.data.lowlight import EXPOSURE_RATIO, GaussianNoise, LowLight
from dealias.instance._dataset import InstanceDataset, collate_instances
from dealias.instance._finding import (
    Source,
    classes_of,
    find_instances,
    source_names,
    splits_of,
)
from dealias.instance._lis import Shot
from dealias.instance._records import InstanceSet
from dealias.instance._streams import EvaluationImages, InstanceStream, one_by_one
from dealias.instance._transforms import instance_transform, resizing
from dealias.labels import PairingError, list_images


class InstanceDataModule(LightningDataModule):
    """Images and instances of a data set, in batches, as they are or as if taken in the dark.

    A training batch is that of :func:`collate_instances`. It is the same for the same seed and
    step, whatever the number of workers; training that goes on from a checkpoint sees what it would
    have seen without the stop. Evaluation takes images one by one; each is darkened in the same way
    every time. Instances to compare with are those of the image as it is stored, whatever the size.

    Args:
        name: "lis"; "coco", annotations in COCO's format; or a data set of label maps, such as
            "camvid", whose instances are the parts of a class that hang together.
        root: folder that it lies in; by default what the environment variable DEALIAS_NAME says,
            such as DEALIAS_LIS.
        classes: names of the classes; by default those of LIS, and cars, pedestrians, bicyclists
            and signs of CamVid.
        shot: which images of LIS: RGB-normal, RGB-dark, RAW-normal or RAW-dark.
        images: folder of images below the root, by split, for coco.
        annotations: file of annotations below the root, by split, for coco.
        min_area: least number of pixels of an instance, for label maps.
        train_split: split to train on; by default train.
        val_split: split to validate on; by default val, and test for lis.
        test_split: split to test on; by default as `val_split`.
        predict_images: folder of images to predict.
        limit: use so many images of a split, spread evenly over it, and no more.
        size: longer and shorter side in pixels that images are made to fit in; None leaves them.
        flip: whether training images are flipped left to right at random.
        dark: whether images are made dark, after the resizing: see :class:`LowLight`.
        ratio: lowest and highest exposure ratio of dark images.
        output: "raw", the camera's linear RGB, or "srgb", for dark images.
        noise: standard deviation of Gaussian noise, of 255, on images that are not trained on.
        keep_bright: whether training batches have the images before `dark`, too.
        batch_size: training images a step and process.
        workers: reading processes; by default one a core, up to 8; 0 for none.
        seed: of the order, the flips and the dark; 0 to 2**32 - 1.
        skip_bad: go on without annotations and images that can't be used, and list them.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        name: str,
        root: Path | str | None = None,
        classes: list[str] | None = None,
        shot: Shot = "RGB-dark",
        images: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        min_area: int = 1,
        train_split: str | None = None,
        val_split: str | None = None,
        test_split: str | None = None,
        predict_images: Path | str | None = None,
        limit: int | None = None,
        size: tuple[int, int] | None = (600, 400),
        flip: bool = True,
        dark: bool = False,
        ratio: tuple[float, float] = EXPOSURE_RATIO,
        output: Literal["raw", "srgb"] = "raw",
        noise: float = 0.0,
        keep_bright: bool = False,
        batch_size: int = 8,
        workers: int | None = None,
        seed: int = 0,
        skip_bad: bool = False,
    ) -> None:
        super().__init__()
        if name not in source_names():
            raise ValueError(f"name: expected one of {', '.join(source_names())}, got {name!r}")
        for option, value in (("batch_size", batch_size), ("limit", limit), ("min_area", min_area)):
            if value is not None and value < 1:
                raise ValueError(f"{option}: expected at least 1, got {value}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed: expected 0 to 2**32 - 1, got {seed}")
        if keep_bright and not dark:
            raise ValueError("keep_bright: expected dark, for bright images to differ from")
        self.classes = classes_of(name, classes)
        train, val, test = splits_of(name)
        splits = {"train": train_split or train, "val": val_split or val}
        splits["test"] = test_split or val_split or test
        self.source = Source(name, root, self.classes, splits, shot, images, annotations, min_area)
        self.predict_images = predict_images
        self.limit = limit
        self.size = size
        self.flip = flip
        self.keep_bright = keep_bright
        self.batch_size = batch_size
        self.workers = _cores() if workers is None else workers
        self.seed = seed
        self.skip_bad = skip_bad
        self.skipped: list[str] = []
        self._dark: dict[str, Any] | None = {"ratio": ratio, "output": output} if dark else None
        self._noise = noise
        self._found: dict[str, InstanceSet] = {}
        self.darkening(0)  # so that options out of range show now

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""
        return len(self.classes)

    def darkening(self, seed: int | None) -> list[Any]:
        """The transforms that make images dark and noisy.

        Args:
            seed: None for random darkness to train on; or a number, for images that are changed in
                the same way every time.
        """
        steps: list[Any] = []
        if self._dark is not None:
            steps.append(LowLight(**self._dark, seed=seed))
        if self._noise and seed is not None:
            steps.append(GaussianNoise(self._noise, seed=seed))
        return steps

    def setup(self, stage: str | None = None) -> None:
        """Find the instances that a stage needs, so that what is missing shows early.

        Raises:
            DataError, LisError, AnnotationError: see :func:`find_instances`.
        """
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for part in needed.get(str(stage), ()):
            self.instances(part)
        if stage == "predict":
            self._images_to_predict()

    def instances(self, part: str) -> InstanceSet:
        """Instances of "train", "val" or "test".

        Raises:
            DataError, LisError, AnnotationError: see :meth:`setup`.
        """
        if part not in self._found:
            found = find_instances(self.source, part, limit=self.limit, skip_bad=self.skip_bad)
            self.skipped += [str(problem) for problem in found.skipped]
            self._found[part] = found
        return self._found[part]

    def train_dataloader(self) -> Batches:
        """Training batches without end, from the step that the trainer is at."""
        darkening = self.darkening(None)
        dataset = InstanceDataset(
            self.instances("train"),
            transform=instance_transform(size=self.size, flip=0.5 if self.flip else 0.0),
            darken=v2.Compose(darkening) if darkening else None,
            keep_bright=self.keep_bright,
            skip_bad=self.skip_bad,
        )
        rank, processes = self._share()
        positions = TrainingPositions(
            self._position, self.batch_size, rank=rank, processes=processes
        )
        return Batches(
            InstanceStream(dataset, seed=self.seed),
            workers=self.workers,
            batch_sampler=positions,
            join=collate_instances,
        )

    def val_dataloader(self) -> CountedBatches:
        """This process's share of the validation split, image by image."""
        return self._one_by_one(self.instances("val").images)

    def test_dataloader(self) -> CountedBatches:
        """This process's share of the test split, image by image."""
        return self._one_by_one(self.instances("test").images)

    def predict_dataloader(self) -> CountedBatches:
        """This process's share of the images to predict, one by one."""
        return self._one_by_one(self._images_to_predict())

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Take what networks need to the device, and leave records and names as they are."""
        taken = {key: batch[key] for key in ("image", "bright", "target") if key in batch}
        moved: dict[str, Any] = super().transfer_batch_to_device(taken, device, dataloader_idx)
        return batch | moved

    def _one_by_one(self, images: Any) -> CountedBatches:
        steps = ([] if self.size is None else [resizing(self.size)]) + self.darkening(0)
        change = v2.Compose(steps) if steps else v2.Identity()
        rank, processes = self._share()
        return CountedBatches(
            EvaluationImages(images, change=change, skip_bad=self.skip_bad),
            workers=self.workers,
            sampler=RankShare(len(images), rank=rank, processes=processes),
            join=one_by_one,
        )

    def _position(self) -> int:
        """Where in the stream of training images the trainer is."""
        if self.trainer is None:
            return 0
        batches = self.trainer.global_step * self.trainer.accumulate_grad_batches
        return batches * self.batch_size * self.trainer.world_size

    def _share(self) -> tuple[int, int]:
        """Rank and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _images_to_predict(self) -> list[Any]:
        if self.predict_images is None:
            raise DataError("predict_images: expected the folder of the images to predict")
        try:
            return list(list_images(Path(self.predict_images).expanduser()))[: self.limit]
        except PairingError as error:
            raise DataError(f"predict_images: {error}") from error
