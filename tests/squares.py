"""A data set in COCO's format: squares of two colours."""

import json

import numpy as np
from PIL import Image

SIZE = (48, 64)


def write_squares(folder, count=6, splits=("train", "val"), category_ids=(1, 2)):
    """Images and annotations of each split below a folder; the options of the data module."""
    for split in splits:
        (folder / split).mkdir(parents=True)
        rng = np.random.default_rng(len(split))
        content = {
            "images": [],
            "annotations": [],
            "categories": [
                {"id": id_, "name": name}
                for id_, name in zip(category_ids, ("red", "blue"), strict=True)
            ],
        }
        for index in range(count):
            pixels = rng.integers(90, 110, (*SIZE, 3)).astype(np.uint8)
            name = f"{index}.png"
            for label in (1, 2):
                side = int(rng.integers(10, 24))
                x = int(rng.integers(0, 32 - side)) + 32 * (label - 1)
                y = int(rng.integers(0, SIZE[0] - side))
                pixels[y : y + side, x : x + side, 2 * (label - 1)] = 250
                polygon = [x, y, x + side, y, x + side, y + side, x, y + side]
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]) + 1,
                        "image_id": index,
                        "category_id": category_ids[label - 1],
                        "bbox": [x, y, side, side],
                        "segmentation": [polygon],
                        "area": side * side,
                        "iscrowd": 0,
                    }
                )
            Image.fromarray(pixels).save(folder / split / name)
            content["images"].append(
                {"id": index, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            )
        (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return {
        "name": "coco",
        "root": str(folder),
        "classes": ["red", "blue"],
        "images": {split: split for split in splits},
        "annotations": {split: f"{split}.json" for split in splits},
        "size": [64, 48],
        "workers": 0,
        "batch_size": 2,
    }
