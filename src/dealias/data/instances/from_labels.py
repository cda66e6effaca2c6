"""Instances from semantic label maps: the connected components of each class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from dealias.data.reading import read_target
from dealias.labels import ClassSet, LabelFileError, Sample
from dealias.metrics.instances import encode_masks
from dealias.text import printable

_NEIGHBOURS = np.ones((3, 3), dtype=np.int64)  # including diagonals


class Components(NamedTuple):
    """Connected components of a label map.

    Attributes:
        labels: int64 [N], the label of each component.
        boxes: int64 [N, 4], (left, top, right, bottom); right and bottom are exclusive.
        masks: bool [N, H, W].
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor


def connected_components(
    labels: Tensor | NDArray[np.integer], classes: Sequence[int], *, min_area: int = 1
) -> Components:
    """Split the pixels of each class into connected components.

    Objects that touch become one instance, and an object that is cut in two by something in front
    of it becomes two instances.

    Args:
        labels: integers [H, W].
        classes: the labels to look for; others are background.
        min_area: components with fewer pixels are left out.

    Returns:
        The components, class by class in the given order, within a class from the top left. Pixels
        that touch at a corner are connected.

    Raises:
        ValueError: the labels have another shape or dtype, or the minimum is below 1.

    >>> parts = connected_components(torch.tensor([[7, 0, 7], [7, 0, 0]]), [7])
    >>> parts.boxes.tolist()
    [[0, 0, 1, 2], [2, 0, 3, 1]]
    """
    values = np.asarray(labels)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"labels: expected integers [H, W], got {values.dtype} {values.shape}")
    _check_area(min_area)
    parts = list(_parts(values, classes, min_area))
    masks = np.zeros((len(parts), *values.shape), dtype=np.bool_)
    for mask, part in zip(masks, parts, strict=True):
        mask[part.rows, part.columns] = part.mask
    return Components(
        torch.tensor([part.label for part in parts], dtype=torch.int64),
        torch.tensor([part.box for part in parts], dtype=torch.int64).reshape(-1, 4),
        torch.from_numpy(masks),
    )


def _check_area(min_area: int) -> None:
    if min_area < 1:
        raise ValueError(f"min_area: expected at least 1 pixel, got {min_area}")


class _Part(NamedTuple):
    """A component: its label, its place in the image, and its mask there."""

    label: int
    rows: slice
    columns: slice
    mask: NDArray[np.bool_]

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.columns.start, self.rows.start, self.columns.stop, self.rows.stop


def _parts(values: NDArray[np.integer], classes: Sequence[int], min_area: int) -> Iterator[_Part]:
    for label in classes:
        numbers, _ = ndimage.label(values == label, structure=_NEIGHBOURS)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            mask = numbers[rows, columns] == number
            if mask.sum() >= min_area:
                yield _Part(label, rows, columns, mask)


def label_maps_to_coco(
    samples: Iterable[Sample],
    *,
    images: str | Path,
    class_set: ClassSet,
    classes: Sequence[str],
    min_area: int = 1,
    skipped: list[LabelFileError] | None = None,
) -> dict[str, Any]:
    """Turn label maps into annotations in COCO's format, by :func:`connected_components`.

    Args:
        samples: images with their label maps.
        images: the folder that file names are relative to.
        class_set: the class set of the label maps.
        classes: names of the classes whose instances to use, such as ``("Car", "Pedestrian",
            "Bicyclist", "SignSymbol")`` of CamVid; they become categories 1, 2 and so on.
        min_area: components with fewer pixels are left out.
        skipped: a list to which the errors of unreadable label maps are appended; these are then
            left out with their images. None raises the errors.

    Returns:
        The content of an annotation file, for JSON and for
        :func:`dealias.instance.read_annotations`. Images and annotations are numbered from 1 in
        the given order.

    Raises:
        ValueError: a class is not in the set, the minimum is below 1, or an image is outside the
            folder.
        LabelFileError: a label map can't be read, or has labels that are neither classes nor void,
            and `skipped` is None.
    """
    missing = [name for name in classes if name not in class_set.names]
    if missing or not classes:
        raise ValueError(
            f"classes: expected some of {', '.join(class_set.names)}, "
            f"got {', '.join(missing) or 'none'}"
        )
    _check_area(min_area)
    indices = [class_set.names.index(name) for name in classes]
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": id_, "name": name} for id_, name in enumerate(classes, start=1)],
    }
    for image_id, sample in enumerate(samples, start=1):
        if sample.label is None or not sample.image.is_relative_to(images):
            raise ValueError(
                f"{printable(sample.image)}: expected an image in {printable(images)} "
                f"with a label map"
            )
        try:
            labels = read_target(sample.label, class_set).numpy()
        except LabelFileError as error:
            if skipped is None:
                raise
            skipped.append(error)
            continue
        height, width = labels.shape
        content["images"].append(
            {
                "id": image_id,
                "file_name": sample.image.relative_to(images).as_posix(),
                "height": height,
                "width": width,
            }
        )
        whole = torch.zeros(1, height, width, dtype=torch.bool)  # one at a time: there may be many
        for part in _parts(labels, indices, min_area):
            place = whole[0, part.rows, part.columns]
            place.copy_(torch.from_numpy(part.mask))
            (rle,) = encode_masks(whole)
            place.zero_()
            left, top, right, bottom = part.box
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": indices.index(part.label) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": int(part.mask.sum()),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
                    "iscrowd": 0,
                }
            )
    return content
