"""Data sets with instances for training, evaluation and prediction with Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from dealias.data.batches import Batches, CountedBatches
from dealias.data.dark import Dark
from dealias.data.finding import DataError, Splits
from dealias.data.instances.datasets import (
    EvaluationImages,
    InstanceDataset,
    collate_instances,
    one_by_one,
)
from dealias.data.instances.finding import (
    Shot,
    Source,
    check_options,
    find_instances,
    source_names,
    target_files,
    with_classes,
)
from dealias.data.instances.records import InstanceSet
from dealias.data.instances.transforms import instance_transform, resizing
from dealias.data.loading import LoadingModule, check_counts, check_probability
from dealias.data.streams import TrainingStream
from dealias.labels import Sample
from dealias.metrics.instances import AnnotatedImage
from dealias.text import printable


@dataclass(frozen=True)
class InstanceAugmentation:
    """How training images are changed at random, apart from darkness.

    Attributes:
        flip: probability of a horizontal flip.

    Raises:
        ValueError: a value is out of range.
    """

    flip: float = 0.5

    def __post_init__(self) -> None:
        check_probability("flip", self.flip)


class InstanceDataModule(LoadingModule):
    """Images and instances of a data set, in batches, as they are or as if taken in the dark.

    A training batch is that of :func:`collate_instances`. It depends only on the seed and the step,
    not on the number of workers, so a training that resumes from a checkpoint sees the same batches
    as one that was never stopped. Evaluation reads images one by one, and darkens each in the same
    way every time. Its instances are those of the stored image, whatever the size.

    Args:
        name: "lis"; "coco", which is COCO 2017 or, with `images` and `annotations`, your own files
            in its format; or a data set of label maps, such as "camvid", whose instances are the
            connected components of a class.
        root: folder of the data set; by default the environment variable DEALIAS_NAME, such as
            DEALIAS_LIS.
        classes: names of the classes; by default those of LIS, the 80 of COCO 2017, and cars,
            pedestrians, bicyclists and signs of CamVid.
        shot: which images of LIS to use: RGB-normal, RGB-dark, RAW-normal or RAW-dark.
        images: for coco, the folder of images below the root, by split; by default, if
            `annotations` is not given either, "train2017" and "val2017".
        annotations: for coco, the annotation file below the root, by split; by default, if `images`
            is not given either, "annotations/instances_train2017.json" and
            "annotations/instances_val2017.json".
        min_area: for label maps, the smallest number of pixels of an instance.
        splits: splits to train, validate and test on.
        predict_images: folder of images to predict.
        limit: use at most this many images of a split, evenly spaced.
        size: longer and shorter side, in pixels, of the frame into which images are resized; None
            keeps their size.
        augmentation: how training images are changed at random.
        dark: how images are made dark after the resizing, {} for the defaults; by default they stay
            bright. Images to predict are not darkened.
        noise: standard deviation of Gaussian noise, on a scale of 0 to 255, on images outside
            training; an image always gets the same noise.
        batch_size: training images per step and process.
        workers: number of processes that read, by default one per core, up to 8; 0 for none.
        seed: seed of the order, the flips and the darkness, 0 to 2**32 - 1.
        skip_bad: skip annotations and images that can't be used, and list them.
        skip_empty: leave out images without an instance (crowds do not count) in training;
            validation and tests keep them.

    Attributes:
        notes: messages about what is not used as stored in the annotation files.

    Raises:
        ValueError: an option is out of range.
    """

    moved: ClassVar[Mapping[str, str]] = {
        **LoadingModule.moved,
        "dark": "a mapping, {} for its defaults",
        **{name: f"data.dark.{name}" for name in ("ratio", "output", "keep_bright")},
    }

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
        splits: Splits = Splits(),  # noqa: B008 - it is frozen
        predict_images: Path | None = None,
        limit: int | None = None,
        size: tuple[int, int] | None = (600, 400),
        augmentation: InstanceAugmentation = InstanceAugmentation(),
        dark: Dark | None = None,
        noise: float = 0.0,
        batch_size: int = 8,
        workers: int | None = None,
        seed: int = 0,
        skip_bad: bool = False,
        skip_empty: bool = False,
    ) -> None:
        super().__init__(
            predict_images=predict_images,
            limit=limit,
            dark=dark,
            noise=noise,
            batch_size=batch_size,
            workers=workers,
            seed=seed,
            skip_bad=skip_bad,
        )
        if name not in source_names():
            raise ValueError(f"name: expected one of {', '.join(source_names())}, got {name!r}")
        check_counts({"min_area": min_area})
        by_part = splits.by_part(val="test" if name == "lis" else "val")
        source = Source(name, root, (), by_part, shot, images, annotations, min_area)
        self.source = with_classes(source, classes)
        check_options(source)
        self.classes = self.source.classes
        self.skip_empty = skip_empty
        if size is not None:
            resizing(size)  # so that sides out of range show now
        self.size = size
        self.augmentation = augmentation
        self.keep_bright = dark is not None and dark.keep_bright
        self.notes: list[str] = []
        self._found: dict[tuple[str, bool], InstanceSet] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""
        return len(self.classes)

    def prepare(self, part: str) -> Sequence[AnnotatedImage]:
        """Images of "train", "val" or "test": see `instances`."""
        return self.instances(part).images

    def instances(self, part: str) -> InstanceSet:
        """Instances of "train", "val" or "test".

        Raises:
            DataError, LisError, AnnotationError: see :func:`find_instances`; or there is no image
                with an instance to train on.
        """
        found = self._find(part, skip_bad=self.skip_bad)
        split = self.source.splits[part]
        if part == "train" and self.skip_empty:
            found = _without_empty(found, split)
        messages = [f"{split}: {problem}" for problem in found.skipped]
        self.skipped = [*dict.fromkeys([*self.skipped, *messages])]
        notes = [f"{split}: {note}" for note in found.remarks]
        self.notes = [*dict.fromkeys([*self.notes, *notes])]
        return found

    def files(self, part: str) -> list[Path]:
        """Files of the images of "train", "val" or "test", and those that define the instances."""
        images = [image.path for image in self.instances(part).images]
        return images + target_files(self.source, part)

    def find(self, part: str) -> InstanceSet:
        """Instances of "train", "val" or "test", without those that can't be used.

        Those are listed in the `skipped` of the set, whatever `skip_bad` is.

        Raises:
            DataError, LisError, AnnotationError: see :func:`find_instances`.
        """
        return self._find(part, skip_bad=True)

    def train_dataloader(self) -> Batches:
        """Endless training batches from the trainer's current step."""
        dataset = InstanceDataset(
            self.instances("train"),
            transform=instance_transform(size=self.size, flip=self.augmentation.flip),
            darken=None if self.dark is None else self.dark.transform(None),
            keep_bright=self.keep_bright,
            skip_bad=self.skip_bad,
        )
        return self._endless(TrainingStream(dataset, seed=self.seed), collate_instances)

    def predict_dataloader(self) -> CountedBatches:
        """This process's share of the images to predict, one by one, not darkened."""
        return self.evaluated(self._images_to_predict(), dark=False)

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move what networks need to the device, and leave records and names where they are."""
        taken = {key: batch[key] for key in ("image", "bright", "target") if key in batch}
        moved: dict[str, Any] = super().transfer_batch_to_device(taken, device, dataloader_idx)
        return batch | moved

    def _find(self, part: str, *, skip_bad: bool) -> InstanceSet:
        if (part, skip_bad) not in self._found:
            self._found[part, skip_bad] = find_instances(
                self.source, part, limit=self.limit, skip_bad=skip_bad
            )
        return self._found[part, skip_bad]

    def evaluated(
        self, samples: Sequence[AnnotatedImage] | Sequence[Sample], *, dark: bool = True
    ) -> CountedBatches:
        """This process's share of the given images, one by one, darkened if the data set is."""
        items = EvaluationImages(
            samples,
            resize=None if self.size is None else resizing(self.size),
            darken=self.change(dark=dark),
            skip_bad=self.skip_bad,
        )
        return self._one_by_one(items, one_by_one)


def _without_empty(found: InstanceSet, split: str) -> InstanceSet:
    """The images with an instance that is not a crowd, with a note on the number of others.

    Raises:
        DataError: there is no such image.
    """
    kept = tuple(image for image in found.images if not all(one.crowd for one in image.instances))
    if not kept:
        raise DataError(f"split {printable(split)!r}: expected an image with an instance, got none")
    left = len(found) - len(kept)
    note = f"images without an instance, which are not trained on: {left:,}"
    return replace(found, images=kept, notes=(*found.notes, *([note] if left else [])))
