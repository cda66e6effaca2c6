"""Images and their label maps as tensors, from files or procedural."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision import tv_tensors

from dealias.data.batches import Item
from dealias.data.reading import SampleError, check_same_size, read_image, read_target, target_dtype
from dealias.data.scenes.rendering import render_scene
from dealias.data.streams import SkippingDataset
from dealias.labels import ClassSet, Sample
from dealias.tables import ImageTable
from dealias.text import printable

_SCENE_BYTES = 2**29  # drawing a scene takes a hundred times as long as copying it


class FileSamples:
    """Images and label maps in files.

    Args:
        samples: the files.
        classes: the class set of the label maps.

    Attributes:
        names: names of the samples.
        labelled: whether all samples have label maps.
    """

    def __init__(self, samples: Sequence[Sample], classes: ClassSet) -> None:
        self.samples = samples
        self.classes = classes
        self.names = [sample.name for sample in samples]
        self.labelled = all(sample.label is not None for sample in samples)

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an image uint8 [3, H, W] and its target [H, W], or None without a label map.

        Raises:
            ImageError, SampleError, LabelFileError: the files can't be used.
        """
        sample = self.samples[index]
        return _read(sample.image, sample.label, self.classes)


class TableSamples:
    """Images and label maps in the rows of a table, with the interface of :class:`FileSamples`.

    A row is read when it is requested.

    Args:
        table: the table.
        columns: names of the columns of images and of label maps.
        rows: indices of the rows to use.
        classes: the class set of the label maps.
    """

    labelled = True

    def __init__(
        self, table: ImageTable, columns: tuple[str, str], rows: Sequence[int], classes: ClassSet
    ) -> None:
        self.table = table
        self.columns = columns
        self.rows = rows
        self.classes = classes
        names = table.names(columns)
        self.names = [names[row] for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an image uint8 [3, H, W] and its target [H, W].

        Raises:
            ImageError, SampleError, LabelFileError, TableError: the row can't be used.
        """
        row, name = self.rows[index], self.names[index]
        image_file, label_file = (self.table.read(row, column, name) for column in self.columns)
        return _read(image_file, label_file, self.classes)


class SceneSamples:
    """Procedural scenes with the interface of :class:`FileSamples`.

    Scenes are drawn on demand, and kept in memory up to a limit.

    Args:
        length: number of scenes.
        size: (height, width) in pixels.
        seed: seed of the scenes.
        classes: the class set "scenes".
    """

    def __init__(self, length: int, *, size: tuple[int, int], seed: int, classes: ClassSet) -> None:
        self.length = length
        self.size = size
        self.seed = seed
        self.dtype = target_dtype(classes)
        self.names = [f"scene_{index:05d}" for index in range(length)]
        self.labelled = True
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._room = _SCENE_BYTES // (4 * size[0] * size[1])

    def __len__(self) -> int:
        return self.length

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Draw an image uint8 [3, H, W] and its target [H, W]."""
        if index in self._kept:
            return self._kept[index]
        scene = render_scene(index, size=self.size, seed=self.seed)
        target = torch.from_numpy(scene.labels).to(self.dtype)
        drawn = torch.from_numpy(scene.image).permute(2, 0, 1), target
        if len(self._kept) < self._room:
            self._kept[index] = drawn
        return drawn


Samples = FileSamples | TableSamples | SceneSamples


def _read(
    image_file: Path, label_file: Path | None, classes: ClassSet
) -> tuple[Tensor, Tensor | None]:
    image = read_image(image_file)
    if label_file is None:
        return image, None
    target = read_target(label_file, classes)
    like = f" like its label map {printable(label_file)}"
    check_same_size(image_file, image, (target.shape[0], target.shape[1]), like)
    return image, target


class SegmentationDataset(SkippingDataset):
    """Samples at their own size, or augmented for training.

    An item has "image" uint8 [3, H, W], "target" [H, W] if there are label maps, "name", and
    "skipped", a list of messages. With `skip_bad`, a sample that can't be read has None for image
    and target, and "skipped" says why; otherwise it raises an error that names the file.

    Args:
        samples: the images and targets.
        transform: takes and returns a `tv_tensors.Image` and a `tv_tensors.Mask`, as those of
            :class:`Augmentation` do; needs targets.
        change: takes and returns an image, such as :class:`dealias.lowlight.GaussianNoise`.
        skip_bad: skip samples that can't be read.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        change: Callable[[Tensor], Tensor] | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.samples = samples
        self.transform = transform
        self.change = change
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> Item:
        """Read an item.

        Raises:
            FileError: the files of the item can't be used.
            ValueError: there is a transform but no target.
        """
        name = self.samples.names[index]
        image, target = self.samples.read(index)
        if self.transform is not None:
            if target is None:
                raise ValueError(f"{printable(name)}: expected a label map to train on, got none")
            image, target = self.transform(tv_tensors.Image(image), tv_tensors.Mask(target))
            image, target = image.as_subclass(Tensor), target.as_subclass(Tensor)
        if self.change is not None:
            try:
                image = self.change(image)
            except ValueError as error:  # the image is too small to be darkened
                raise SampleError(Path(name), str(error)) from error
        item = {"image": image, "name": name, "skipped": []}
        return item if target is None else item | {"target": target}

    def missing(self, index: int) -> Item:
        """The item to return in place of one that could not be read."""
        bad = {"image": None, "name": self.samples.names[index]}
        return bad | {"target": None} if self.samples.labelled else bad
