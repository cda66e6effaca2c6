"""Instances and detections to measure."""

from pathlib import Path

import numpy as np
import torch

from dealias.instance import AnnotatedImage, Detections, Instance, encode_masks

CLASSES = ("car", "person", "sign")
SIZE = (120, 160)


def ellipses(rng, count):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        y, x = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1])
        a, b = rng.uniform(3, 60, 2)
        mask[:] = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
        mask[int(y) % SIZE[0], int(x) % SIZE[1]] = True
    return torch.from_numpy(masks)


def boxes_of(masks):
    found = []
    for mask in masks:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        found.append(
            [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1],
        )
    return torch.tensor(found, dtype=torch.float32).reshape(-1, 4)


def image_of(id_, masks, labels, crowd=None):
    crowd = [False] * len(masks) if crowd is None else crowd
    parts = zip(labels, boxes_of(masks).tolist(), encode_masks(masks), masks, crowd, strict=True)
    instances = tuple(
        Instance(label, tuple(box), rle, float(mask.sum()), bool(group))
        for label, box, rle, mask, group in parts
    )
    return AnnotatedImage(id_, f"{id_}.png", Path(f"{id_}.png"), SIZE, instances)


def shifted(rng, masks):
    rolls = [torch.roll(m, tuple(rng.integers(-3, 4, 2).tolist()), (0, 1)) for m in masks]
    return torch.stack(rolls) if rolls else masks


def random_case(seed):
    """Images, some without instances, some with crowds; detections near them, wrong or none."""
    rng = np.random.default_rng(seed)
    images, detections = [], []
    for id_ in range(1, 13):
        count = int(rng.integers(0, 7)) if id_ % 4 else 0
        masks = ellipses(rng, count)
        labels = rng.integers(1, 4, count).tolist()
        images.append(image_of(id_, masks, labels, rng.random(count) < 0.2))
        if id_ % 5 == 0:
            detections.append(Detections.none())
            continue
        near, wrong = shifted(rng, masks), ellipses(rng, int(rng.integers(0, 4)))
        found = torch.cat([near, near[: count // 2], wrong])
        classes = labels + labels[: count // 2] + rng.integers(1, 4, len(wrong)).tolist()
        scores = torch.from_numpy(rng.random(len(found)).astype(np.float32))
        detections.append(
            Detections(boxes_of(found), torch.tensor(classes).long(), scores, encode_masks(found))
        )
    return images, detections


def square(left, top, side):
    mask = torch.zeros(1, *SIZE, dtype=torch.bool)
    mask[0, top : top + side, left : left + side] = True
    return mask
