"""Data sets with instances for training, evaluation and prediction with Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torchvision.transforms import v2

from dealias.data.batches import Batches, CountedBatches
from dealias.data.instances.datasets import InstanceDataset, collate_instances
from dealias.data.instances.finding import (
    Source,
    classes_of,
    find_instances,
    source_names,
    splits_of,
)
from dealias.data.instances.lis import Shot
from dealias.data.instances.streams import EvaluationImages, InstanceStream, one_by_one
from dealias.data.instances.transforms import instance_transform, resizing
from dealias.data.loading import LoadingModule, check_counts
from dealias.data.lowlight import EXPOSURE_RATIO, GaussianNoise, LowLight
from dealias.lowlight import check_sigma
from dealias.metrics.instances import InstanceSet


class InstanceDataModule(LoadingModule):
    """Images and instances of a data set, in batches, as they are or as if taken in the dark.

    A training batch is that of :func:`collate_instances`. It is the same for the same seed and
    step, whatever the number of workers; training that goes on from a checkpoint sees what it would
    have seen without the stop. Evaluation takes images one by one; each is darkened in the same way
    every time. Instances to compare with are those of the image as it is stored, whatever the size.

    Args:
        name: "lis"; "coco", annotations in COCO's format; or a data set of label maps, such as
            "camvid", whose instances are the connected components of a class.
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
        dark: whether images are made dark, after the resizing: see :class:`LowLight`. Images to
            predict stay as they are.
        ratio: lowest and highest exposure ratio of dark images.
        output: "raw", the camera's linear RGB, or "srgb", for dark images.
        noise: standard deviation of Gaussian noise, of 255, on images that are not trained on.
        keep_bright: whether training batches have the images before `dark`, too.
        batch_size: training images a step and process.
        workers: reading processes; by default one a core, up to 8; 0 for none.
        seed: of the order, the flips and the dark; 0 to 2**32 - 1.
        skip_bad: go on without annotations and images that can't be used, and list them.

    Attributes:
        notes: messages about what is used otherwise than it stands in the files of annotations.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        name: str,
        root: Path | None = None,
        classes: list[str] | None = None,
        shot: Shot = "RGB-dark",
        images: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        min_area: int = 1,
        train_split: str | None = None,
        val_split: str | None = None,
        test_split: str | None = None,
        predict_images: Path | None = None,
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
        super().__init__(
            predict_images=predict_images,
            limit=limit,
            batch_size=batch_size,
            workers=workers,
            seed=seed,
            skip_bad=skip_bad,
        )
        if name not in source_names():
            raise ValueError(f"name: expected one of {', '.join(source_names())}, got {name!r}")
        check_counts({"min_area": min_area})
        if keep_bright and not dark:
            raise ValueError("keep_bright: expected dark, for bright images to differ from")
        self.classes = classes_of(name, classes)
        train, val, test = splits_of(name)
        splits = {"train": train_split or train, "val": val_split or val}
        splits["test"] = test_split or val_split or test
        self.source = Source(name, root, self.classes, splits, shot, images, annotations, min_area)
        if size is not None:
            resizing(size)  # so that one out of range shows now
        self.size = size
        self.flip = flip
        self.keep_bright = keep_bright
        self._dark: dict[str, Any] | None = {"ratio": ratio, "output": output} if dark else None
        check_sigma(noise, name="noise")
        self.noise = noise
        self.notes: list[str] = []
        self._found: dict[tuple[str, bool], InstanceSet] = {}
        self.darkening(0)  # so that options out of range show now

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""
        return len(self.classes)

    def darkening(self, seed: int | None, *, dark: bool = True) -> list[Any]:
        """The transforms that make images dark and noisy.

        Args:
            seed: None for random darkness to train on; or a number, for images that are changed in
                the same way every time.
            dark: whether `dark` of the data set counts, as it does for all but images to predict.
        """
        steps: list[Any] = []
        if self._dark is not None and dark:
            steps.append(LowLight(**self._dark, seed=seed))
        if self.noise and seed is not None:
            steps.append(GaussianNoise(self.noise, seed=seed))
        return steps

    def prepare(self, part: str) -> InstanceSet:
        """Find the instances of a split: see `instances`."""
        return self.instances(part)

    def instances(self, part: str) -> InstanceSet:
        """Instances of "train", "val" or "test".

        Raises:
            DataError, LisError, AnnotationError: see :func:`find_instances`.
        """
        found = self._find(part, skip_bad=self.skip_bad)
        split = self.source.splits[part]
        messages = [f"{split}: {problem}" for problem in found.skipped]
        self.skipped = [*dict.fromkeys([*self.skipped, *messages])]
        notes = [f"{split}: {note}" for note in found.remarks]
        self.notes = [*dict.fromkeys([*self.notes, *notes])]
        return found

    def find(self, part: str) -> InstanceSet:
        """Instances of "train", "val" or "test", with what can't be used of them left out.

        It is listed in the `skipped` of the set, whatever `skip_bad` says.

        Raises:
            DataError, LisError, AnnotationError: see :func:`find_instances`.
        """
        return self._find(part, skip_bad=True)

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
        return self._endless(InstanceStream(dataset, seed=self.seed), collate_instances)

    def val_dataloader(self) -> CountedBatches:
        """This process's share of the validation split, image by image."""
        return self._evaluated(self.instances("val").images)

    def test_dataloader(self) -> CountedBatches:
        """This process's share of the test split, image by image."""
        return self._evaluated(self.instances("test").images)

    def predict_dataloader(self) -> CountedBatches:
        """This process's share of the images to predict, one by one and no darker than they are."""
        return self._evaluated(self._images_to_predict(), darken=False)

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Take what networks need to the device, and leave records and names as they are."""
        taken = {key: batch[key] for key in ("image", "bright", "target") if key in batch}
        moved: dict[str, Any] = super().transfer_batch_to_device(taken, device, dataloader_idx)
        return batch | moved

    def _find(self, part: str, *, skip_bad: bool) -> InstanceSet:
        if (part, skip_bad) not in self._found:
            self._found[part, skip_bad] = find_instances(
                self.source, part, limit=self.limit, skip_bad=skip_bad
            )
        return self._found[part, skip_bad]

    def _evaluated(self, images: Any, *, darken: bool = True) -> CountedBatches:
        darkening = self.darkening(0, dark=darken)
        items = EvaluationImages(
            images,
            resize=None if self.size is None else resizing(self.size),
            darken=v2.Compose(darkening) if darkening else None,
            skip_bad=self.skip_bad,
        )
        return self._one_by_one(items, one_by_one)
