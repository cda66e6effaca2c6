"""Samples as tensors: as they are for evaluation, augmented for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from dealias.data.batches import Item
from dealias.data.reading import (
    SampleError,
    check_same_size,
    read_image,
    read_target,
    target_dtype,
)
from dealias.data.scenes.rendering import render_scene
from dealias.data.seeds import Purpose, augmentation_seed, index_at, stream
from dealias.labels import ClassSet, Sample
from dealias.text import FileError, printable

_REPLACEMENTS = 20
_SCENE_BYTES = 2**29  # a scene takes a hundred times as long to draw as to copy


class Samples(Protocol):
    """Images and their targets, each under a name."""

    @property
    def names(self) -> Sequence[str]:
        """The name of each."""

    def __len__(self) -> int:
        """How many there are."""

    @property
    def labelled(self) -> bool:
        """Whether they have targets."""

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Image uint8 [3, H, W] and target [H, W] or None.

        Raises:
            SampleError, LabelFileError: the files can't be used.
        """


class FileSamples:
    """Samples that lie in files.

    Args:
        samples: the files.
        classes: what their labels mean.
    """

    def __init__(self, samples: Sequence[Sample], classes: ClassSet) -> None:
        self.samples = samples
        self.classes = classes
        self.names = [sample.name for sample in samples]
        self.labelled = all(sample.label is not None for sample in samples)

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """See :class:`Samples`."""
        sample = self.samples[index]
        image = read_image(sample.image)
        if sample.label is None:
            return image, None
        target = read_target(sample.label, self.classes)
        like = f" like its label map {printable(sample.label)}"
        check_same_size(sample.image, image, (target.shape[0], target.shape[1]), like)
        return image, target


class SceneSamples:
    """Procedural scenes, drawn when asked for, and kept as far as there is room.

    Args:
        length: how many.
        size: (H, W) in pixels.
        seed: of the scenes.
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
        """See :class:`Samples`."""
        if index in self._kept:
            return self._kept[index]
        scene = render_scene(index, size=self.size, seed=self.seed)
        target = torch.from_numpy(scene.labels).to(self.dtype)
        drawn = torch.from_numpy(scene.image).permute(2, 0, 1), target
        if len(self._kept) < self._room:
            self._kept[index] = drawn
        return drawn


class SegmentationDataset(Dataset[Item]):
    """Samples as they are, at their own size.

    An item has "image" uint8 [3, H, W], "target" [H, W] if there are label maps, "name" and
    "skipped", a list of messages. With `skip_bad`, what can't be read has None for image and
    target and says why in "skipped"; without, it is an error that names the file.

    Args:
        samples: the images and targets.
        change: takes and returns an image, such as :class:`dealias.data.lowlight.GaussianNoise`.
        skip_bad: go on without what can't be read.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        change: Callable[[Tensor], Tensor] | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.samples = samples
        self.change = change
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        name = self.samples.names[index]
        try:
            image, target = self.samples.read(index)
        except FileError as error:
            if not self.skip_bad:
                raise
            bad = {"image": None, "name": name, "skipped": [str(error)]}
            return bad | {"target": None} if self.samples.labelled else bad
        if self.change is not None:
            image = self.change(image)
        item = {"image": image, "name": name, "skipped": []}
        return item if target is None else item | {"target": target}


class TrainingStream(Dataset[Item]):
    """The endless stream of augmented samples: item `position` depends on it and the seed alone.

    Each len(samples) positions take every sample once, in a new order. With `skip_bad`, what
    can't be read is replaced by another sample, drawn from seed and position, and listed in the
    "skipped" of the item.

    Args:
        samples: the images and targets.
        transform: takes and returns a `tv_tensors.Image` and a `tv_tensors.Mask`; random from
            torch's CPU generator.
        seed: of the order and the augmentation.
        skip_bad: go on without what can't be read.
    """

    def __init__(
        self,
        samples: Samples,
        transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        *,
        seed: int,
        skip_bad: bool = False,
    ) -> None:
        self.samples = samples
        self.transform = transform
        self.seed = seed
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Item:
        index = index_at(self.seed, position, len(self.samples))
        skipped: list[str] = []
        others: np.random.RandomState | None = None
        while True:
            try:
                image, target = self.samples.read(index)
                break
            except FileError as error:
                skipped.append(str(error))
                if not self.skip_bad:
                    raise
                if len(skipped) > _REPLACEMENTS:
                    raise SampleError(error.path, _hopeless(skipped)) from error
                others = others or stream(self.seed, Purpose.REPLACEMENT, position)
                index = int(others.randint(len(self.samples)))
        name = self.samples.names[index]
        if target is None:
            raise ValueError(f"{printable(name)}: expected a label map to train on, got none")
        with augmentation_seed(self.seed, position):
            image, target = self.transform(tv_tensors.Image(image), tv_tensors.Mask(target))
        return {
            "image": image.as_subclass(Tensor),
            "target": target.as_subclass(Tensor),
            "name": name,
            "skipped": skipped,
        }


def _hopeless(skipped: list[str]) -> str:
    return f"{len(skipped)} samples in a row can't be used, the last for: {skipped[-1]}"
