"""A few images laid out as COCO 2017, with what its annotations have in stock."""

import json

import numpy as np
from PIL import Image

from dealias.instance import COCO_CLASSES

SIZE = (64, 96)
# The ids of COCO's 80 categories: ten numbers from 1 to 90 are of none.
CATEGORY_IDS = [n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
PERSON, TRAFFIC_LIGHT, STOP_SIGN, BOOK, TOOTHBRUSH = 1, 10, 13, 84, 90
IMAGES = 6  # of each split, the last two of which have no instance


def write_coco(folder):
    """train2017, val2017 and their annotations below a folder, which is returned.

    Each split has six images, one of them grey. Among the annotations of the first four are a crowd
    in run lengths, one of no height as 918 of the published file, and one smaller than a pixel;
    the fifth image has a crowd alone, and the sixth nothing.
    """
    (folder / "annotations").mkdir(parents=True)
    for number, split in enumerate(("train2017", "val2017")):
        (folder / split).mkdir()
        rng = np.random.default_rng(number)
        images, annotations = [], []
        for index in range(IMAGES):
            id_ = 139 + 1000 * number + 17 * index
            pixels = rng.integers(80, 120, (*SIZE, 3)).astype(np.uint8)
            if index < 4:
                annotations += [
                    _square(rng, id_, category, pixels)
                    for category in (PERSON, STOP_SIGN, TOOTHBRUSH)
                ]
            if index in (0, 4):
                annotations.append(_crowd(id_))
            if index == 1:
                annotations.append(_polygon(id_, BOOK, [29.6, 38.3, 29.6, 38.3, 30.6, 38.3], 0.0))
            if index == 2:
                annotations.append(_polygon(id_, BOOK, [5.1, 5.1, 5.4, 5.1, 5.3, 5.4], 0.045))
            picture = Image.fromarray(pixels)
            name = f"{id_:012}.jpg"
            (picture.convert("L") if index == 3 else picture).save(folder / split / name)
            images.append({"id": id_, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        content = {
            "images": images,
            "annotations": [entry | {"id": 900 + k} for k, entry in enumerate(annotations)],
            "categories": [
                {"id": id_, "name": name, "supercategory": "thing"}
                for id_, name in zip(CATEGORY_IDS, COCO_CLASSES, strict=True)
            ],
        }
        path = folder / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def _square(rng, image, category, pixels):
    side = int(rng.integers(14, 30))
    x, y = int(rng.integers(0, SIZE[1] - side)), int(rng.integers(0, SIZE[0] - side))
    pixels[y : y + side, x : x + side] = (255, category, 20)
    corners = [x, y, x + side, y, x + side, y + side, x, y + side]
    return _polygon(image, category, corners, side * side)


def _polygon(image, category, corners, area):
    x, y = corners[::2], corners[1::2]
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": [corners],
        "bbox": [min(x), min(y), max(x) - min(x), max(y) - min(y)],
        "area": area,
        "iscrowd": 0,
    }


def _crowd(image):
    """The left quarter of an image, column by column, as COCO writes crowds."""
    height, width = SIZE
    inside = height * width // 4
    return {
        "image_id": image,
        "category_id": PERSON,
        "segmentation": {"size": [height, width], "counts": [0, inside, height * width - inside]},
        "bbox": [0, 0, width // 4, height],
        "area": inside,
        "iscrowd": 1,
    }
