"""Images with instances, without end for training and one by one for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from dealias.data import SampleError
from dealias.data.batches import Item
from dealias.data.instances.annotated import read_annotated
from dealias.data.instances.datasets import InstanceDataset, darkened
from dealias.data.reading import read_image
from dealias.data.seeds import Purpose, augmentation_seed, index_at, stream
from dealias.labels import Sample
from dealias.metrics.instances import AnnotatedImage
from dealias.text import FileError

_REPLACEMENTS = 20


class InstanceStream(Dataset[Item]):
    """The endless stream of training items: the one at a position depends on it and the seed alone.

    What can't be read is an error, or, with `skip_bad` of the data set, replaced by another item,
    drawn from seed and position, and listed in the "skipped" of the item.

    Args:
        dataset: the items; random numbers are torch's.
        seed: of the order and of the random numbers.
    """

    def __init__(self, dataset: InstanceDataset, *, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Item:
        index = index_at(self.seed, position, len(self.dataset))
        others = stream(self.seed, Purpose.REPLACEMENT, position)
        skipped: list[str] = []
        for _ in range(_REPLACEMENTS):
            with augmentation_seed(self.seed, position):
                item = self.dataset[index]
            if item["image"] is not None:
                return item | {"skipped": skipped + item["skipped"]}
            skipped += item["skipped"]
            record = self.dataset.instances.images[index]
            index = int(others.randint(len(self.dataset)))
        problem = f"{len(skipped)} images in a row can't be used, the last for: {skipped[-1]}"
        raise SampleError(record.path, problem)


class EvaluationImages(Dataset[Item]):
    """Images as a network is to see them, with the instances of the image as it is stored.

    An item has "image", uint8 [3, h, w]; "record", an :class:`AnnotatedImage`; "name", without
    suffix, unless two would then have the same; "skipped", messages; and, if images are darkened,
    "original", uint8 [3, H, W], as it is stored. With `skip_bad`, what can't be read has None for
    "image".

    Args:
        images: records, or images without any to predict.
        resize: changes the size of an image; None leaves it.
        darken: changes an image but moves nothing in it, after `resize`; None leaves it.
        skip_bad: go on without images that can't be read.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage] | Sequence[Sample],
        *,
        resize: Callable[[Tensor], Tensor] | None = None,
        darken: Callable[[Tensor], Tensor] | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.images = images
        self._names = _names(images)
        self.resize = resize
        self.darken = darken
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        entry = self.images[index]
        name = self._names[index]
        try:
            image, record = _read(entry, index)
            changed: Tensor = tv_tensors.Image(image)
            if self.resize is not None:
                changed = self.resize(changed)
            item: Item = {"record": record, "name": name, "skipped": []}
            if self.darken is not None:
                changed = darkened(self.darken, changed, record)
                item["original"] = image
        except FileError as error:
            if not self.skip_bad:
                raise
            return {"image": None, "record": None, "name": name, "skipped": [str(error)]}
        return item | {"image": changed.as_subclass(Tensor)}


def _names(images: Sequence[AnnotatedImage] | Sequence[Sample]) -> list[str]:
    plain = [
        str(PurePosixPath(entry.name).with_suffix(""))
        if isinstance(entry, AnnotatedImage)
        else entry.name
        for entry in images
    ]
    if len(set(plain)) == len(plain):
        return plain
    return [str(PurePosixPath(entry.name)) for entry in images]


def _read(entry: AnnotatedImage | Sample, index: int) -> tuple[Tensor, AnnotatedImage]:
    if isinstance(entry, AnnotatedImage):
        return read_annotated(entry.path, entry.size), entry
    image = read_image(entry.image)
    size = (image.shape[-2], image.shape[-1])
    return image, AnnotatedImage(index + 1, f"{entry.name}{entry.image.suffix}", entry.image, size)


def one_by_one(items: Sequence[Item]) -> dict[str, Any]:
    """A batch of one item, as lists."""
    if len(items) != 1:
        raise ValueError(f"items: expected one, got {len(items)}")
    (item,) = items
    kept = item.keys() - {"skipped"}
    return {key: [item[key]] for key in sorted(kept)} | {"skipped": item["skipped"]}
