"""Images with their instances, in the form that torchvision's detection networks expect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from dealias.data.batches import Item
from dealias.data.instances.records import InstanceSet
from dealias.data.reading import SampleError, read_annotated, read_image
from dealias.data.streams import SkippingDataset
from dealias.labels import Sample
from dealias.metrics.instances import AnnotatedImage, decode_masks

Transform = Callable[[Item], Item]


class InstanceDataset(SkippingDataset):
    """Images and targets, which torchvision's transforms change together.

    An item is a dict:

    - "image": `tv_tensors.Image`, uint8 [3, H, W], RGB in [0, 255];
    - "target": a dict of "boxes", `tv_tensors.BoundingBoxes` float32 [N, 4], (left, top, right,
      bottom) in pixels; "masks", `tv_tensors.Mask` uint8 [N, H, W], 0 or 1; "labels", int64 [N],
      1 .. C; "area", float32 [N], in pixels of the image as stored; "iscrowd", int64 [N]; and
      "image_id", an integer. N may be 0;
    - "bright": the image before `darken`, if `keep_bright`;
    - "name": the name of the image;
    - "skipped": a list of messages. With `skip_bad`, an image that can't be read has None for
      "image" and "target", and "skipped" says why; otherwise it raises an error that names the
      file.

    Args:
        instances: the images and their instances.
        transform: takes and returns an item, like that of :func:`instance_transform`.
        darken: changes only the image, after `transform`, such as
            :class:`dealias.lowlight.LowLight`.
        keep_bright: also keep the image from before `darken`.
        skip_bad: skip images that can't be read.
    """

    def __init__(
        self,
        instances: InstanceSet,
        *,
        transform: Transform | None = None,
        darken: Callable[[Tensor], Tensor] | None = None,
        keep_bright: bool = False,
        skip_bad: bool = False,
    ) -> None:
        if keep_bright and darken is None:
            raise ValueError("keep_bright: expected a darken to keep the bright image of")
        self.instances = instances
        self.transform = transform
        self.darken = darken
        self.keep_bright = keep_bright
        self.skip_bad = skip_bad

    def __len__(self) -> int:
        return len(self.instances)

    def read(self, index: int) -> Item:
        """Read an item.

        Raises:
            FileError: the image of the item can't be used.
        """
        record = self.instances.images[index]
        item: Item = {
            "image": tv_tensors.Image(read_annotated(record.path, record.size)),
            "target": target_of(record),
            "name": record.name,
            "skipped": [],
        }
        if self.transform is not None:
            item = self.transform(item)
        if self.darken is not None:
            bright = item["image"]
            item = item | {"image": darkened(self.darken, bright, record)}
            if self.keep_bright:
                item["bright"] = bright
        return item

    def missing(self, index: int) -> Item:
        """The item to return in place of one that could not be read."""
        return {"image": None, "target": None, "name": self.instances.images[index].name}


class EvaluationImages(SkippingDataset):
    """Images as a network sees them, with the instances of the stored image.

    An item has "image", uint8 [3, h, w]; "record", an :class:`AnnotatedImage`; "name", without
    suffix if names stay distinct without it; "skipped", a list of messages; and, if images are
    darkened, "original", the stored image uint8 [3, H, W]. With `skip_bad`, an image that can't be
    read has None for "image".

    Args:
        images: images with instances, or images to predict.
        resize: changes the size of an image; None keeps the size.
        darken: changes an image after `resize`, without moving anything in it; None for no change.
        skip_bad: skip images that can't be read.
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

    def read(self, index: int) -> Item:
        """Read an item.

        Raises:
            FileError: the image of the item can't be used.
        """
        entry = self.images[index]
        if isinstance(entry, AnnotatedImage):
            image, record = read_annotated(entry.path, entry.size), entry
        else:
            image = read_image(entry.image)
            name = f"{entry.name}{entry.image.suffix}"
            size = (image.shape[-2], image.shape[-1])
            record = AnnotatedImage(index + 1, name, entry.image, size)
        changed: Tensor = tv_tensors.Image(image)
        if self.resize is not None:
            changed = self.resize(changed)
        item: Item = {"record": record, "name": self._names[index], "skipped": []}
        if self.darken is not None:
            changed = darkened(self.darken, changed, record)
            item["original"] = image
        return item | {"image": changed.as_subclass(Tensor)}

    def missing(self, index: int) -> Item:
        """The item to return in place of one that could not be read."""
        return {"image": None, "record": None, "name": self._names[index]}


def darkened(darken: Callable[[Tensor], Tensor], image: Tensor, record: AnnotatedImage) -> Tensor:
    """Darken an image.

    Raises:
        SampleError: the image can't be darkened, for example because it is too small.
    """
    try:
        return darken(image)
    except ValueError as error:
        raise SampleError(record.path, str(error)) from error


def target_of(record: AnnotatedImage) -> dict[str, Any]:
    """The "target" of an image in items of :class:`InstanceDataset`."""
    instances, size = record.instances, record.size
    boxes = torch.tensor([instance.box for instance in instances], dtype=torch.float32)
    return {
        "boxes": tv_tensors.BoundingBoxes(boxes.reshape(-1, 4), format="XYXY", canvas_size=size),
        "masks": tv_tensors.Mask(decode_masks(record.masks, *size)),
        "labels": torch.tensor([instance.label for instance in instances], dtype=torch.int64),
        "area": torch.tensor([instance.area for instance in instances], dtype=torch.float32),
        "iscrowd": torch.tensor([instance.crowd for instance in instances], dtype=torch.int64),
        "image_id": record.id,
    }


def collate_instances(items: Sequence[Item]) -> dict[str, list[Any]]:
    """A batch with a list for each key, without items that lack an image, and all "skipped"."""
    usable = [item for item in items if item["image"] is not None]
    keys = usable[0].keys() - {"skipped"} if usable else {"image", "target", "name"}
    batch: dict[str, list[Any]] = {key: [item[key] for item in usable] for key in sorted(keys)}
    batch["skipped"] = [message for item in items for message in item["skipped"]]
    return batch


def one_by_one(items: Sequence[Item]) -> dict[str, Any]:
    """A batch of one item, as lists."""
    if len(items) != 1:
        raise ValueError(f"items: expected one, got {len(items)}")
    (item,) = items
    kept = item.keys() - {"skipped"}
    return {key: [item[key]] for key in sorted(kept)} | {"skipped": item["skipped"]}


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
