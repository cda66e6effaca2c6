"""Files in COCO's format, and what pycocotools makes of them."""

import contextlib
import copy
import io
import json
import math

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dealias.instance import read_annotations, read_detections

SIZE = (120, 160)


def judge(content, results, kind):
    """The six scores of pycocotools and AP by category id, NaN where undefined."""
    with contextlib.redirect_stdout(io.StringIO()):
        target = COCO()
        target.dataset = {"info": {}, **copy.deepcopy(content)}
        target.createIndex()
        evaluator = COCOeval(target, target.loadRes(copy.deepcopy(results)), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    scores = [math.nan if value == -1 else value for value in evaluator.stats[:6]]
    precision = evaluator.eval["precision"][:, :, :, 0, -1]
    return scores, dict(zip(evaluator.params.catIds, precision.mean((0, 1)).tolist(), strict=True))


def polygon_of(rng, most=200):
    """The corners of a triangle or more, in an order that gives a simple shape."""
    count = int(rng.integers(3, 9))
    angles = np.sort(rng.random(count)) * 2 * np.pi
    radius = rng.uniform(6, rng.uniform(12, most) / 2)
    x = (rng.uniform(20, SIZE[1] - 20) + radius * np.cos(angles)).clip(0, SIZE[1])
    y = (rng.uniform(20, SIZE[0] - 20) + radius * np.sin(angles)).clip(0, SIZE[0])
    return np.stack([x, y], 1).round(2).ravel().tolist()


def run_lengths(segmentation):
    rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *SIZE))
    return rle | {"counts": rle["counts"].decode()}


def box_of(rng, segmentation):
    """The box of a mask as a network would have it: somewhat off."""
    box = np.array(coco_mask.toBbox(coco_mask.merge(coco_mask.frPyObjects(segmentation, *SIZE))))
    return (box + rng.uniform(0, 4, 4)).round(2).tolist()


def annotation_of(id_, image, category, segmentation, **more):
    rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *SIZE))
    return {
        "id": id_,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "bbox": coco_mask.toBbox(rle).tolist(),
        "area": int(coco_mask.area(rle)),
        "iscrowd": 0,
    } | more


def moved(rng, polygon):
    shift = np.tile(rng.uniform(-3, 3, 2), len(polygon) // 2)
    limits = np.tile(SIZE[::-1], len(polygon) // 2)
    return (np.array(polygon) + shift).clip(0, limits).round(2).tolist()


def case(seed=0, categories=None, images=12):
    """An annotation file and results with boxes and masks, some near and some wrong."""
    rng = np.random.default_rng(seed)
    categories = categories or {0: "car", 7: "person", 300: "sign"}
    ids = list(categories)
    content = {
        "images": [
            {"id": k, "file_name": f"{k}.png", "height": SIZE[0], "width": SIZE[1]}
            for k in range(images)
        ],
        "annotations": [],
        "categories": [{"id": id_, "name": name} for id_, name in categories.items()],
    }
    results = []
    for image in range(images):
        for _ in range(0 if image % 5 == 4 else int(rng.integers(1, 6))):
            polygon, category = polygon_of(rng), int(rng.choice(ids))
            entry = annotation_of(len(content["annotations"]) + 1, image, category, [polygon])
            if entry["area"]:
                entry["iscrowd"] = int(rng.random() < 0.1)
                content["annotations"].append(entry)
                near = [moved(rng, polygon)]
                results += [(image, category, near)] * int(rng.integers(0, 3))
        results += [(image, int(rng.choice(ids)), [polygon_of(rng)]) for _ in range(3)]
    results = [
        {
            "image_id": image,
            "category_id": category,
            "score": round(float(rng.random()), 4),
            "bbox": box_of(rng, segmentation),
            "segmentation": run_lengths(segmentation),
        }
        for image, category, segmentation in results
    ]
    return content, [entry for entry in results if coco_mask.area(entry["segmentation"])]


def read(folder, content, results, **options):
    """The evaluation of what is read from files."""
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(content), "utf-8")
    (folder / "results.json").write_text(json.dumps(results), "utf-8")
    instances = read_annotations(
        folder / "annotations.json", images=options.pop("images"), **options
    )
    return instances, read_detections(folder / "results.json", instances)


def scores_of(evaluation, overlap="mask"):
    return list(evaluation.average_precision()[overlap].scores.values())


def without(entries, key):
    return [{k: v for k, v in entry.items() if k != key} for entry in entries]


def write_images(folder):
    """The images that :func:`case` has annotations of; returns the folder."""
    for k in range(12):
        Image.new("RGB", SIZE[::-1]).save(folder / f"{k}.png")
    return folder
