"""Data sets for training, evaluation and prediction with Lightning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from dealias.data.batches import Batches, CountedBatches
from dealias.data.finding import DataError, find_samples, spread
from dealias.data.layouts import LAYOUTS
from dealias.data.loading import LoadingModule, check_counts
from dealias.data.scenes.rendering import SMALLEST_SCENE
from dealias.data.segmentation.augment import augmentation
from dealias.data.segmentation.datasets import (
    FileSamples,
    Samples,
    SceneSamples,
    SegmentationDataset,
    TrainingStream,
)
from dealias.labels import ClassSet, ClassSetError, load_class_set
from dealias.lowlight import GaussianNoise, check_sigma
from dealias.text import printable

DataSetName = Literal["ade20k", "camvid", "cityscapes", "folder", "scenes", "voc2012"]

# Scenes of different splits must differ.
SCENE_SEEDS = {"val": 0, "train": 1, "test": 2}


class SegmentationDataModule(LoadingModule):
    """Images and label maps of a data set, in batches.

    A training batch is a dict of "image", uint8 [B, 3, h, w], RGB in [0, 255]; "target"
    [B, h, w], classes and `classes.ignore_index` for void; "name", a list of B; "skipped", a list
    of messages. It is the same for the same seed and step, whatever the number of workers;
    training that goes on from a checkpoint sees what it would have seen without the stop.
    Evaluation takes images one by one at their own size; processes share them out, none twice.

    Args:
        name: data set: ade20k, camvid, cityscapes, folder, scenes or voc2012.
        root: folder that it lies in; by default what the environment variable DEALIAS_NAME says,
            such as DEALIAS_CITYSCAPES.
        classes: class set or its YAML file; by default that of the data set. A folder needs one.
        images: folder of the images below the root, for name folder; by default images.
        labels: folder of the label maps below the root, for name folder; by default labels.
        train_split: split to train on; by default train, and train_aug for voc2012. For a folder,
            a subfolder or a text file of names.
        val_split: split to validate on.
        test_split: split to test on.
        predict_images: folder of images to predict.
        limit: use so many samples of a split, spread evenly over it, and no more.
        crop_size: height and width of training crops in pixels.
        base_size: short and long side, within which images are fitted before the random resizing;
            by default they stay at their own size.
        scale_range: least and largest factor of the random resizing.
        max_class_share: most of a crop that may be of one class, up to 10 tries; 1 for no cap.
        flip: whether training images are flipped left to right at random.
        photometric: whether brightness, contrast, saturation and hue of training images change.
        noise: standard deviation of Gaussian noise, of 255, on images that are not trained on; the
            same for the same image every time.
        batch_size: training crops a step and process.
        workers: reading processes; by default one a core, up to 8; 0 for none.
        seed: of the order and the augmentation; 0 to 2**32 - 1.
        skip_bad: go on without files that can't be used, and list them; otherwise they are errors.
        scenes: number of procedural scenes to train on, for name scenes.
        val_scenes: number of procedural scenes to validate and to test on.
        scene_size: height and width of procedural scenes in pixels, at least 64.

    Raises:
        ValueError: an option is out of range.
        ClassSetError: no such class set.
        DataError: the file of the class set can't be read.
    """

    def __init__(
        self,
        *,
        name: DataSetName,
        root: Path | None = None,
        classes: Path | str | None = None,
        images: str | None = None,
        labels: str | None = None,
        train_split: str | None = None,
        val_split: str = "val",
        test_split: str = "val",
        predict_images: Path | None = None,
        limit: int | None = None,
        crop_size: tuple[int, int] = (512, 512),
        base_size: tuple[int, int] | None = None,
        scale_range: tuple[float, float] = (0.5, 2.0),
        max_class_share: float = 0.75,
        flip: bool = True,
        photometric: bool = True,
        noise: float = 0.0,
        batch_size: int = 8,
        workers: int | None = None,
        seed: int = 0,
        skip_bad: bool = False,
        scenes: int = 200,
        val_scenes: int = 24,
        scene_size: tuple[int, int] = (256, 512),
    ) -> None:
        super().__init__(
            predict_images=predict_images,
            limit=limit,
            batch_size=batch_size,
            workers=workers,
            seed=seed,
            skip_bad=skip_bad,
        )
        self.data_set = name
        self.root = root
        self.classes = _class_set(name, classes)
        self.images = images
        self.labels = labels
        self.splits: dict[str, str] = {
            "train": train_split or (LAYOUTS[name].train if name in LAYOUTS else "train"),
            "val": val_split,
            "test": test_split,
        }
        self.crop_size = _lengths("crop_size", crop_size)
        self.base_size = None if base_size is None else _lengths("base_size", base_size)
        self.scale_range = scale_range
        self.max_class_share = max_class_share
        self.flip = flip
        self.photometric = photometric
        check_sigma(noise, name="noise")
        self.noise = noise
        self._add_noise = GaussianNoise(noise, seed=0) if noise else None
        self.scenes = {"train": scenes, "val": val_scenes, "test": val_scenes}
        self.scene_size = _lengths("scene_size", scene_size, least=SMALLEST_SCENE)
        self._samples: dict[str, Samples] = {}
        self._check_options()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def prepare(self, part: str) -> Samples:
        """Find the samples of a split: see `samples`."""
        return self.samples(part)

    def samples(self, part: str) -> Samples:
        """Images and targets of "train", "val" or "test".

        Raises:
            DataError: see :func:`dealias.data.find_samples`; and files without a partner, unless
                `skip_bad` lists them in `skipped`.
        """
        if part not in self._samples:
            samples, unpaired = self.find(part)
            messages = [f"{printable(path)}: no partner" for path in unpaired]
            if messages and not self.skip_bad:
                listed = "; ".join(messages[:4]) + ("; ..." if len(messages) > 4 else "")
                split = f"{self.data_set}, split {printable(self.splits[part])!r}"
                raise DataError(
                    f"{split}: {len(messages):,} images or label maps without the other: {listed}; "
                    f"skip_bad leaves them out"
                )
            self.skipped += [message for message in messages if message not in self.skipped]
            self._samples[part] = samples
        return self._samples[part]

    def find(self, part: str) -> tuple[Samples, list[Path]]:
        """Images and targets of "train", "val" or "test", and the files without a partner.

        Raises:
            DataError: see :func:`dealias.data.find_samples`.
        """
        if self.data_set == "scenes":
            count = min(self.scenes[part], self.limit or self.scenes[part])
            drawn = SceneSamples(
                count, size=self.scene_size, seed=SCENE_SEEDS[part], classes=self.classes
            )
            return drawn, []
        found = find_samples(
            self.data_set, self.splits[part], root=self.root, images=self.images, labels=self.labels
        )
        return FileSamples(spread(found.samples, self.limit), self.classes), found.unpaired

    def train_dataloader(self) -> Batches:
        """Training batches without end, from the step that the trainer is at."""
        return self._endless(
            TrainingStream(
                self.samples("train"), self.augmentation(), seed=self.seed, skip_bad=self.skip_bad
            )
        )

    def val_dataloader(self) -> CountedBatches:
        """This process's share of the validation split, image by image."""
        return self._evaluated(self.samples("val"))

    def test_dataloader(self) -> CountedBatches:
        """This process's share of the test split, image by image."""
        return self._evaluated(self.samples("test"))

    def predict_dataloader(self) -> CountedBatches:
        """This process's share of the images to predict, one by one, without targets."""
        return self._evaluated(FileSamples(self._images_to_predict(), self.classes))

    def augmentation(self) -> Any:
        """What training images and their label maps go through."""
        return augmentation(
            crop_size=self.crop_size,
            ignore_index=self.classes.ignore_index,
            scale=self.scale_range,
            base_size=self.base_size,
            max_class_share=self.max_class_share,
            flip=0.5 if self.flip else 0.0,
            photometric=self.photometric,
        )

    def _evaluated(self, samples: Samples) -> CountedBatches:
        return self._one_by_one(
            SegmentationDataset(samples, change=self._add_noise, skip_bad=self.skip_bad)
        )

    def _check_options(self) -> None:
        scale = self.scale_range
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] < math.inf:
            raise ValueError(f"scale_range: expected 0 < least <= largest, got {scale!r}")
        if not 0 < self.max_class_share <= 1:
            raise ValueError(f"max_class_share: expected (0, 1], got {self.max_class_share}")
        check_counts({"scenes": self.scenes["train"], "val_scenes": self.scenes["val"]})


def _class_set(name: str, classes: Path | str | None) -> ClassSet:
    known = sorted([*LAYOUTS, "scenes"])
    if name not in known:
        raise ValueError(f"name: expected one of {', '.join(known)}, got {name!r}")
    default = "scenes" if name == "scenes" else LAYOUTS[name].classes
    if classes is None and default is None:
        raise ValueError(f"classes: expected a class set or its YAML file for the data set {name}")
    try:
        found = load_class_set(str(default) if classes is None else classes)
    except OSError as error:
        path = printable(Path(str(classes)).absolute())
        raise DataError(f"classes: {path}: can't be read: {error.strerror}") from error
    except ClassSetError as error:
        raise ClassSetError(f"classes: {error}") from error
    if name == "scenes" and found != load_class_set("scenes"):
        raise ValueError(f"classes: the scenes have a class set of their own, got {found.name!r}")
    return found


def _lengths(option: str, size: Sequence[int], *, least: int = 1) -> tuple[int, int]:
    if len(size) != 2 or min(size) < least:
        raise ValueError(f"{option}: expected two lengths of at least {least}, got {size!r}")
    return size[0], size[1]
