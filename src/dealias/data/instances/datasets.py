"""Images with their instances, as torchvision's detection networks take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from dealias.data import SampleError
from dealias.data.batches import Item
from dealias.data.instances.annotated import read_annotated
from dealias.metrics.instances import AnnotatedImage, InstanceSet, decode_masks
from dealias.text import FileError

Transform = Callable[[Item], Item]


class InstanceDataset(Dataset[Item]):
    """Images and targets that torchvision's transforms change together.

    An item is a dict:

    - "image": `tv_tensors.Image`, uint8 [3, H, W], RGB in [0, 255];
    - "target": a dict of "boxes", `tv_tensors.BoundingBoxes` float32 [N, 4], (left, top, right,
      bottom) in pixels; "masks", `tv_tensors.Mask` uint8 [N, H, W], 0 or 1; "labels", int64 [N],
      1 .. C; "area", float32 [N], in pixels of the image as stored; "iscrowd", int64 [N]; and
      "image_id", an integer. N may be 0;
    - "bright", the image before `darken`, if `keep_bright`;
    - "name": of the image;
    - "skipped": messages. With `skip_bad`, what can't be read has None for "image" and "target" and
      says why; without, it is an error that names the file.

    Args:
        instances: what there is.
        transform: takes the item and returns one, such as :func:`instance_transform`.
        darken: changes the image alone, after `transform`, such as
            :class:`dealias.data.lowlight.LowLight`.
        keep_bright: keep the image as it was before `darken`, too.
        skip_bad: go on without images that can't be read.
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

    def __getitem__(self, index: int) -> Item:
        record = self.instances.images[index]
        try:
            return self._item(record)
        except FileError as error:
            if not self.skip_bad:
                raise
            return {"image": None, "target": None, "name": record.name, "skipped": [str(error)]}

    def _item(self, record: AnnotatedImage) -> Item:
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


def darkened(darken: Callable[[Tensor], Tensor], image: Tensor, record: AnnotatedImage) -> Tensor:
    """A darker image.

    Raises:
        SampleError: it can't be darkened, as one that is too small.
    """
    try:
        return darken(image)
    except ValueError as error:
        raise SampleError(record.path, str(error)) from error


def target_of(record: AnnotatedImage) -> dict[str, Any]:
    """What is in an image, as :class:`InstanceDataset` gives it."""
    instances, size = record.instances, record.size
    boxes = torch.tensor([instance.box for instance in instances], dtype=torch.float32)
    return {
        "boxes": tv_tensors.BoundingBoxes(boxes.reshape(-1, 4), format="XYXY", canvas_size=size),
        "masks": tv_tensors.Mask(decode_masks([instance.mask for instance in instances], *size)),
        "labels": torch.tensor([instance.label for instance in instances], dtype=torch.int64),
        "area": torch.tensor([instance.area for instance in instances], dtype=torch.float32),
        "iscrowd": torch.tensor([instance.crowd for instance in instances], dtype=torch.int64),
        "image_id": record.id,
    }


def collate_instances(items: Sequence[Item]) -> dict[str, list[Any]]:
    """A batch: lists by key, without the items that have no image; all of "skipped" in one list."""
    usable = [item for item in items if item["image"] is not None]
    keys = usable[0].keys() - {"skipped"} if usable else {"image", "target", "name"}
    batch: dict[str, list[Any]] = {key: [item[key] for item in usable] for key in sorted(keys)}
    batch["skipped"] = [message for item in items for message in item["skipped"]]
    return batch
