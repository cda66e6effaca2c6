"""Looking through a data set before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.data.checks import parts_to_read, shared_files, size_rows
from dealias.data.segmentation.datasets import FileSamples, Samples
from dealias.data.segmentation.module import SegmentationDataModule
from dealias.evaluation import void_warnings
from dealias.labels import ClassSet
from dealias.processes import Progress, open_progress, read_in_order
from dealias.text import FileError, printable


@dataclass(frozen=True)
class SplitCheck:
    """What a split holds.

    Attributes:
        part: "train", "val" or "test".
        split: the split of the data set.
        samples: number of samples, those that can't be used included.
        sizes: number of samples of each size (H, W), the most frequent first.
        pixels: pixels of each class.
        images: samples that have a pixel of the class.
        void_pixels: pixels of void.
        unpaired: files without a partner.
        problems: what is wrong with each sample that can't be used, naming the file.
        warnings: signs that labels mean something else than the class set says.
    """

    part: str
    split: str
    samples: int
    sizes: dict[tuple[int, int], int]
    pixels: list[int]
    images: list[int]
    void_pixels: int
    unpaired: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def void_share(self) -> float:
        """Pixels of void over all pixels; NaN without any."""
        total = sum(self.pixels) + self.void_pixels
        return self.void_pixels / total if total else float("nan")

    @property
    def shares(self) -> list[float]:
        """Pixels of each class over those that are not void; NaN without any."""
        total = sum(self.pixels)
        return [count / total if total else float("nan") for count in self.pixels]

    @property
    def unseen(self) -> list[int]:
        """Classes without a pixel."""
        return [label for label, count in enumerate(self.pixels) if count == 0]


@dataclass(frozen=True)
class DataCheck:
    """What the splits of a data set hold.

    Attributes:
        data_set: its name.
        classes: names of its classes.
        splits: what is in each split.
        shared: images that are in more than one split, though the splits differ.
    """

    data_set: str
    classes: tuple[str, ...]
    splits: list[SplitCheck]
    shared: list[Path]

    @property
    def ok(self) -> bool:
        """Whether every file can be used, and no image is in two splits."""
        bad = any(split.problems or split.unpaired for split in self.splits)
        return not (bad or self.shared)

    def to_dict(self) -> dict[str, Any]:
        """Everything as what JSON can hold; shares that are not defined are None."""
        return {
            "data_set": self.data_set,
            "ok": self.ok,
            "splits": [self._split(split) for split in self.splits],
            "shared": [str(path) for path in self.shared],
        }

    def _split(self, split: SplitCheck) -> dict[str, Any]:
        rows = zip(self.classes, split.pixels, split.images, split.shares, strict=True)
        return {
            "part": split.part,
            "split": split.split,
            "samples": split.samples,
            "sizes": size_rows(split.sizes),
            "classes": [
                {"name": name, "pixels": pixels, "images": images, "share": _number(share)}
                for name, pixels, images, share in rows
            ],
            "void_pixels": split.void_pixels,
            "void_share": _number(split.void_share),
            "unseen": [self.classes[label] for label in split.unseen],
            "unpaired": [str(path) for path in split.unpaired],
            "problems": split.problems,
            "warnings": split.warnings,
        }


def check_data(
    datamodule: SegmentationDataModule,
    *,
    parts: Sequence[str] = ("train", "val"),
    workers: int | None = None,
    progress: Progress | None = None,
) -> DataCheck:
    """Read every sample of a data set, and count what is in it.

    Files that can't be used, labels that are no classes and sizes that differ are listed, not
    raised.

    Args:
        datamodule: the data set; its options say which splits, and how many samples of them.
        parts: of "train", "val" and "test"; a split that is two of them is read once.
        workers: reading processes; by default those of `datamodule`; 0 for none.
        progress: given the number of samples of all splits, opens a context that gives a function
            to call after each.

    Raises:
        ValueError: no or unknown parts.
        DataError: a split can't be found at all.
    """
    splits = datamodule.splits
    if datamodule.data_set == "scenes":  # of another seed for each part
        splits = {part: part for part in splits}
    found = {part: datamodule.find(part) for part in parts_to_read(splits, parts)}
    total = sum(len(samples) for samples, _ in found.values())
    reading = datamodule.workers if workers is None else workers
    checked = []
    with open_progress(progress, total) as tick:
        for part, (samples, unpaired) in found.items():
            read = partial(_count, samples, datamodule.classes)
            counted = read_in_order(read, range(len(samples)), reading, tick)
            checked.append(_check_split(part, splits[part], datamodule.classes, counted, unpaired))
    shared = shared_files(_image_files(samples) for samples, _ in found.values())
    return DataCheck(datamodule.data_set, datamodule.classes.names, checked, shared)


_Counts = tuple[tuple[int, int], NDArray[np.int64]]


def _check_split(
    part: str,
    split: str,
    classes: ClassSet,
    counted: Iterable[_Counts | str],
    unpaired: list[Path],
) -> SplitCheck:
    names, void = classes.names, classes.ignore_index
    samples = 0
    sizes: Counter[tuple[int, int]] = Counter()
    pixels = np.zeros(len(names) + 1, np.int64)
    images = np.zeros(len(names) + 1, np.int64)
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
    return SplitCheck(
        part,
        split,
        samples,
        dict(sizes.most_common()),
        pixels[:-1].tolist(),
        images[:-1].tolist(),
        int(pixels[-1]),
        unpaired,
        problems,
        void_warnings(pixels[:-1].tolist(), int(pixels[-1]), names, void),
    )


def _count(samples: Samples, classes: ClassSet, index: int) -> _Counts | str:
    """Size and pixels of each class, void last, of a sample; or what is wrong with it."""
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


def _image_files(samples: Samples) -> list[Path]:
    return [s.image for s in samples.samples] if isinstance(samples, FileSamples) else []


def _number(value: float) -> float | None:
    return None if value != value else value
