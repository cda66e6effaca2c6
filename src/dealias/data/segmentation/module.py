"""Data sets of label maps for training, evaluation and prediction with Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dealias.data.batches import Batches, CountedBatches
from dealias.data.dark import Dark
from dealias.data.finding import DataError, Splits, check_paired, find_samples, spread
from dealias.data.huggingface import NAME, choose_columns, find_table
from dealias.data.layouts import LAYOUTS
from dealias.data.loading import LoadingModule, check_counts, check_lengths
from dealias.data.scenes.rendering import SMALLEST_SCENE
from dealias.data.segmentation.augment import Augmentation
from dealias.data.segmentation.datasets import (
    FileSamples,
    Samples,
    SceneSamples,
    SegmentationDataset,
    TableSamples,
)
from dealias.data.streams import TrainingStream
from dealias.labels import ClassSet, ClassSetError, load_class_set
from dealias.text import printable

DataSetName = Literal[
    "ade20k", "camvid", "cityscapes", "folder", "huggingface", "scenes", "voc2012"
]

# Scenes of different splits must differ.
SCENE_SEEDS = {"val": 0, "train": 1, "test": 2}


@dataclass(frozen=True)
class Scenes:
    """The number and size of procedural scenes.

    Attributes:
        train: number of scenes to train on.
        val: number of scenes to validate on, and also of other scenes to test on.
        size: height and width in pixels, at least 64.

    Raises:
        ValueError: a value is out of range.
    """

    train: int = 200
    val: int = 24
    size: tuple[int, int] = (256, 512)

    def __post_init__(self) -> None:
        check_counts({"scenes.train": self.train, "scenes.val": self.val})
        check_lengths("scenes.size", self.size, least=SMALLEST_SCENE)

    def samples(self, part: str, limit: int | None, classes: ClassSet) -> SceneSamples:
        """The scenes of "train", "val" or "test", at most `limit` of them."""
        length = self.train if part == "train" else self.val
        length = length if limit is None else min(length, limit)
        height, width = self.size
        return SceneSamples(length, size=(height, width), seed=SCENE_SEEDS[part], classes=classes)


class SegmentationDataModule(LoadingModule):
    """Images and label maps of a data set, in batches.

    A training batch is a dict of "image", uint8 [B, 3, H, W], RGB in [0, 255]; "target"
    [B, H, W], classes and `classes.ignore_index` for void; "name", a list of B; "skipped", a list
    of messages. A batch depends only on the seed and the step, not on the number of workers, so a
    training that resumes from a checkpoint sees the same batches as one that was never stopped.
    Evaluation reads images one by one at their own size, each in one of the processes only.

    Args:
        name: data set: ade20k, camvid, cityscapes, folder, huggingface, scenes or voc2012. For
            huggingface, a data set of the datasets library on disk: as save_to_disk writes it, or
            as Parquet files with the split in their names.
        root: folder of the data set; by default the environment variable DEALIAS_NAME, such as
            DEALIAS_CITYSCAPES.
        classes: class set or its YAML file; by default that of the data set. Required for folder
            and huggingface.
        images: for folder, the folder of the images below the root, by default images; for
            huggingface, the column of the images, by default image or pixel_values.
        labels: for folder, the folder of the label maps below the root, by default labels; for
            huggingface, their column, by default the one named annotation, label,
            segmentation_mask or the like.
        splits: splits to train, validate and test on. For folder, these are subfolders or text
            files of names; for huggingface, the default split to validate on is validation.
        predict_images: folder of images to predict.
        limit: use at most this many samples of a split, evenly spaced.
        augmentation: how training images are changed at random.
        scenes: number and size of procedural scenes, for the data set scenes.
        dark: how images are made dark, {} for the defaults; by default they stay bright. Training
            crops are darkened at random, before noise and your own transforms. Images for
            validation and tests are always darkened in the same way; images to predict are not
            darkened.
        noise: standard deviation of Gaussian noise, on a scale of 0 to 255, on images outside
            training; an image always gets the same noise.
        batch_size: training crops per step and process.
        workers: number of processes that read, by default one per core, up to 8; 0 for none.
        seed: seed of the order and the augmentation, 0 to 2**32 - 1.
        skip_bad: skip files that can't be used, and list them; otherwise they are errors.

    Raises:
        ValueError: an option is out of range.
        ClassSetError: there is no such class set.
        DataError: the file of the class set can't be read.
    """

    moved: ClassVar[Mapping[str, str]] = {
        **LoadingModule.moved,
        **{
            name: f"data.augmentation.{name}"
            for name in ("crop_size", "base_size", "scale_range", "max_class_share", "photometric")
        },
        "scenes": "data.scenes.train",
        "val_scenes": "data.scenes.val",
        "scene_size": "data.scenes.size",
    }

    def __init__(
        self,
        *,
        name: DataSetName,
        root: Path | None = None,
        classes: Path | str | None = None,
        images: str | None = None,
        labels: str | None = None,
        splits: Splits = Splits(),  # noqa: B008 - it is frozen
        predict_images: Path | None = None,
        limit: int | None = None,
        augmentation: Augmentation = Augmentation(),  # noqa: B008
        scenes: Scenes = Scenes(),
        dark: Dark | None = None,
        noise: float = 0.0,
        batch_size: int = 8,
        workers: int | None = None,
        seed: int = 0,
        skip_bad: bool = False,
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
        if dark is not None and dark.keep_bright:
            raise ValueError("dark.keep_bright: is for instances, whose training compares the two")
        self.data_set = name
        self.root = root
        self.classes = _class_set(name, classes)
        self.images = images
        self.labels = labels
        self.splits = splits.by_part(
            train=LAYOUTS[name].train if name in LAYOUTS else "train",
            val="validation" if name == NAME else "val",
        )
        self.augmentation = augmentation
        self.scenes = scenes
        self._samples: dict[str, Samples] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def samples(self, part: str) -> Samples:
        """Images and targets of "train", "val" or "test".

        Raises:
            DataError: see :func:`dealias.data.find_samples`; or there are files without a partner
                and no `skip_bad`, which lists them in `skipped`.
        """
        if part not in self._samples:
            samples, unpaired = self.find(part)
            if not self.skip_bad:
                check_paired(self.data_set, self.splits[part], unpaired)
            messages = [f"{printable(path)}: no partner" for path in unpaired]
            self.skipped += [message for message in messages if message not in self.skipped]
            self._samples[part] = samples
        return self._samples[part]

    prepare = samples

    def files(self, part: str) -> list[Path]:
        """Files of images and label maps of "train", "val" or "test"; none for scenes.

        For tables, these are the files that contain the rows.
        """
        found = self.samples(part)
        if isinstance(found, TableSamples):
            return found.table.files
        pairs = found.samples if isinstance(found, FileSamples) else ()
        return [path for one in pairs for path in (one.image, one.label) if path is not None]

    def find(self, part: str) -> tuple[Samples, list[Path]]:
        """Images and targets of "train", "val" or "test", and the files without a partner.

        Raises:
            DataError: see :func:`dealias.data.find_samples`; or a table has no rows.
        """
        if self.data_set == "scenes":
            return self.scenes.samples(part, self.limit, self.classes), []
        if self.data_set == NAME:
            table = find_table(self.splits[part], self.root)
            if not len(table):
                raise DataError(f"{printable(table.files[0])}: expected rows of images, got none")
            columns = choose_columns(table, self.images, self.labels)
            rows = spread(range(len(table)), self.limit)
            return TableSamples(table, columns, rows, self.classes), []
        found = find_samples(
            self.data_set, self.splits[part], root=self.root, images=self.images, labels=self.labels
        )
        return FileSamples(spread(found.samples, self.limit), self.classes), found.unpaired

    def train_dataloader(self) -> Batches:
        """Endless training batches from the trainer's current step."""
        items = self.augmented(self.samples("train"), skip_bad=self.skip_bad)
        return self._endless(TrainingStream(items, seed=self.seed))

    def predict_dataloader(self) -> CountedBatches:
        """This process's share of the images to predict, one by one, without targets."""
        return self.evaluated(FileSamples(self._images_to_predict(), self.classes), dark=False)

    def augmented(self, samples: Samples, *, skip_bad: bool) -> SegmentationDataset:
        """Samples with the augmentation of training."""
        transform = self.augmentation.transform(
            self.classes.ignore_index,
            self.num_classes,
            darken=None if self.dark is None else self.dark.transform(None),
        )
        return SegmentationDataset(samples, transform=transform, skip_bad=skip_bad)

    def evaluated(self, samples: Samples, *, dark: bool = True) -> CountedBatches:
        """This process's share of the given samples, one by one, darkened if the data set is."""
        change = self.change(dark=dark)
        return self._one_by_one(SegmentationDataset(samples, change=change, skip_bad=self.skip_bad))


def _class_set(name: str, classes: Path | str | None) -> ClassSet:
    known = sorted([*LAYOUTS, NAME, "scenes"])
    if name not in known:
        raise ValueError(f"name: expected one of {', '.join(known)}, got {name!r}")
    defaults = {known: layout.classes for known, layout in LAYOUTS.items()}
    default = (defaults | {"scenes": "scenes", NAME: None})[name]
    if classes is None and default is None:
        raise ValueError(f"classes: expected a class set or its YAML file for the data set {name}")
    try:
        found = load_class_set(str(default) if classes is None else classes)
    except ClassSetError as error:
        raise ClassSetError(f"classes: {error}") from error
    if name == "scenes" and found != load_class_set("scenes"):
        raise ValueError(f"classes: the scenes have a class set of their own, got {found.name!r}")
    return found
