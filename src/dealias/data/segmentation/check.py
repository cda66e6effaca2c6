"""Checking a data set of label maps before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.data.checks import DataCheck, FoundSplit, check_splits, size_rows
from dealias.data.segmentation.datasets import FileSamples, Samples
from dealias.data.segmentation.module import SegmentationDataModule
from dealias.data.segmentation.weights import IMAGE_PIXELS, PIXELS
from dealias.evaluation import void_warnings
from dealias.files import defined
from dealias.labels import ClassSet
from dealias.processes import Progress, read_in_order
from dealias.text import FileError, printable


@dataclass(frozen=True)
class SplitCheck:
    """What was found in a split.

    Attributes:
        part: "train", "val" or "test".
        split: the split of the data set.
        classes: names of the classes.
        samples: number of samples, including those that can't be used.
        sizes: number of samples of each size (height, width), the most frequent first.
        pixels: number of pixels of each class.
        images: number of samples with a pixel of each class.
        image_pixels: number of pixels, including void, of these samples.
        void_pixels: number of void pixels.
        unpaired: files without a partner.
        problems: what is wrong with each sample that can't be used, naming the file.
        warnings: signs that labels do not match the class set.
    """

    part: str
    split: str
    classes: tuple[str, ...]
    samples: int
    sizes: dict[tuple[int, int], int]
    pixels: list[int]
    images: list[int]
    image_pixels: list[int]
    void_pixels: int
    unpaired: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every file can be used."""
        return not (self.problems or self.unpaired)

    @property
    def void_share(self) -> float:
        """Void pixels divided by all pixels; NaN without any."""
        total = sum(self.pixels) + self.void_pixels
        return self.void_pixels / total if total else float("nan")

    @property
    def shares(self) -> list[float]:
        """Pixels of each class divided by all that are not void; NaN without any."""
        total = sum(self.pixels)
        return [count / total if total else float("nan") for count in self.pixels]

    @property
    def unseen(self) -> list[int]:
        """Classes without a pixel."""
        return [label for label, count in enumerate(self.pixels) if count == 0]

    def to_dict(self) -> dict[str, Any]:
        """The findings as values that JSON can hold; undefined shares are None."""
        rows = zip(self.classes, self.pixels, self.images, self.shares, strict=True)
        return {
            "part": self.part,
            "split": self.split,
            "samples": self.samples,
            "sizes": size_rows(self.sizes),
            "classes": [
                {"name": name, "pixels": pixels, "images": images, "share": defined(share)}
                for name, pixels, images, share in rows
            ],
            "void_pixels": self.void_pixels,
            "void_share": defined(self.void_share),
            "unseen": [self.classes[label] for label in self.unseen],
            "unpaired": [str(path) for path in self.unpaired],
            "problems": self.problems,
            "warnings": self.warnings,
        }


def check_data(
    datamodule: SegmentationDataModule,
    *,
    parts: Sequence[str] = ("train", "val"),
    workers: int | None = None,
    progress: Progress | None = None,
) -> DataCheck[SplitCheck]:
    """Read every sample of a data set, and count the pixels of each class.

    Files that can't be used, labels that are not classes, and sizes that differ are listed, not
    raised. The counts of the training split are also in `to_dict` of the result, by class name,
    under "class_pixels" and "class_image_pixels". :func:`dealias.data.read_class_weights` computes
    weights from them.

    Args:
        datamodule: the data set; its options select the splits, and the number of samples of each.
        parts: some of "train", "val" and "test"; a split that serves as two of them is read once.
        workers: number of processes that read, by default that of `datamodule`; 0 for none.
        progress: takes the number of samples of all splits and opens a context, which gives a
            function to call after each sample.

    Raises:
        ValueError: there are no parts, or unknown ones.
        DataError: a split can't be found at all.
    """
    scenes = datamodule.data_set == "scenes"  # each part is drawn from its own seed
    splits = {part: part if scenes else split for part, split in datamodule.splits.items()}
    reading = datamodule.workers if workers is None else workers
    classes = datamodule.classes

    def find(part: str) -> FoundSplit:
        samples, unpaired = datamodule.find(part)

        def check(tick: Any) -> SplitCheck:
            read = partial(_count, samples, classes)
            counted = read_in_order(read, range(len(samples)), reading, tick)
            return _check_split(part, splits[part], classes, counted, unpaired)

        files = samples.samples if isinstance(samples, FileSamples) else []
        return FoundSplit(len(samples), [sample.image for sample in files], check)

    found = check_splits(datamodule.data_set, splits, parts, find, progress)
    trained = next((split for split in found.splits if split.split == splits["train"]), None)
    return found if trained is None else replace(found, training=_by_class(trained))


def _by_class(split: SplitCheck) -> dict[str, dict[str, int]]:
    """The counts from which class weights are computed."""
    return {
        PIXELS: dict(zip(split.classes, split.pixels, strict=True)),
        IMAGE_PIXELS: dict(zip(split.classes, split.image_pixels, strict=True)),
    }


_Counts = tuple[tuple[int, int], NDArray[np.int64]]


def _check_split(
    part: str,
    split: str,
    classes: ClassSet,
    counted: Iterable[_Counts | str],
    unpaired: list[Path],
) -> SplitCheck:
    samples = 0
    sizes: Counter[tuple[int, int]] = Counter()
    pixels = np.zeros(len(classes) + 1, np.int64)
    images = np.zeros(len(classes) + 1, np.int64)
    image_pixels = np.zeros(len(classes) + 1, np.int64)
    problems = []
    for found in counted:
        samples += 1
        if isinstance(found, str):
            problems.append(found)
            continue
        size, counts = found
        sizes[size] += 1
        pixels += counts
        images += counts > 0
        image_pixels += (counts > 0) * counts.sum()
    *of_classes, void_pixels = pixels.tolist()
    return SplitCheck(
        part,
        split,
        classes.names,
        samples,
        dict(sizes.most_common()),
        of_classes,
        images[:-1].tolist(),
        image_pixels[:-1].tolist(),
        void_pixels,
        unpaired,
        problems,
        void_warnings(of_classes, void_pixels, classes.names, classes.ignore_index),
    )


def _count(samples: Samples, classes: ClassSet, index: int) -> _Counts | str:
    """Size of a sample and its pixels of each class, void last; or what is wrong with it."""
    try:
        _, target = samples.read(index)
    except FileError as error:
        return str(error)
    if target is None:
        return f"{printable(samples.names[index])}: no label map"
    labels = target.numpy().reshape(-1)
    known = labels[labels != classes.ignore_index]
    counts = np.bincount(known, minlength=len(classes))
    height, width = target.shape
    return (height, width), np.append(counts, labels.size - known.size)
