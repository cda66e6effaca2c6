"""Average precision, against the evaluator of COCO's authors and worked by hand."""

import contextlib
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dealias.instance import (
    Detections,
    average_precision,
    encode_masks,
)
from dealias.metrics.functional.bands import inner_boundary
from instances import CLASSES, SIZE, boxes_of, image_of, random_case, square


def by_pycocotools(images, detections, kind):
    annotations = []
    for image in images:
        for instance in image.instances:
            left, top, right, bottom = instance.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.id,
                    "category_id": instance.label,
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": dict(instance.mask),
                    "area": instance.area,
                    "iscrowd": int(instance.crowd),
                }
            )
    results = []
    for image, found in zip(images, detections, strict=True):
        for i in range(len(found)):
            left, top, right, bottom = found.boxes[i].tolist()
            result = {
                "image_id": image.id,
                "category_id": int(found.labels[i]),
                "score": float(found.scores[i]),
            }
            if kind == "bbox":
                result["bbox"] = [left, top, right - left, bottom - top]
            else:
                result["segmentation"] = dict(found.masks[i])
            results.append(result)
    with contextlib.redirect_stdout(io.StringIO()):
        target = COCO()
        target.dataset = {
            "info": {},
            "images": [{"id": i.id, "height": SIZE[0], "width": SIZE[1]} for i in images],
            "annotations": annotations,
            "categories": [{"id": i, "name": n} for i, n in enumerate(CLASSES, 1)],
        }
        target.createIndex()
        evaluator = COCOeval(target, target.loadRes(results), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [math.nan if value == -1 else value for value in evaluator.stats[:6]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("overlap", "kind"), [("box", "bbox"), ("mask", "segm")])
def test_equals_pycocotools(seed, overlap, kind):
    images, detections = random_case(seed)
    found = average_precision(images, detections, classes=CLASSES, overlap=overlap)
    expected = by_pycocotools(images, detections, kind)
    assert 0.05 < expected[0] < 0.95
    assert list(found.scores.values()) == pytest.approx(expected, abs=1e-6, nan_ok=True)
    defined = [value for value in found.classes.values() if not math.isnan(value)]
    assert np.mean(defined) == pytest.approx(expected[0], abs=1e-6)


def detected(mask, label=1, score=0.9):
    return Detections(
        boxes_of(mask), torch.tensor([label]), torch.tensor([score]), encode_masks(mask)
    )


class TestByHand:
    def test_areas_are_those_of_the_annotations(self):
        image = image_of(1, square(0, 0, 20), [1])
        large = replace(image, instances=(replace(image.instances[0], area=1e5),))
        found = average_precision([large], [detected(square(0, 0, 20))], classes=CLASSES)
        assert found.scores["APl"] == 1
        assert math.isnan(found.scores["APs"])

    def test_the_hundred_surest_of_a_class_count(self):
        image = image_of(1, square(0, 0, 20), [1])
        masks = torch.cat([*[square(60, 60, 20)] * 100, square(0, 0, 20)])
        scores = torch.linspace(0.9, 0.1, 101)
        many = Detections(
            boxes_of(masks), torch.ones(101, dtype=torch.int64), scores, encode_masks(masks)
        )
        assert average_precision([image], [many], classes=CLASSES).scores["AP"] == 0

    def test_a_box_of_iou_0_8_counts_up_to_that_threshold(self):
        image = image_of(1, square(0, 0, 40), [1])
        mask = square(0, 0, 40)
        mask[0, 32:] = False  # four fifths of the instance
        found = average_precision([image], [detected(mask)], classes=CLASSES, overlap="box")
        # The thresholds 0.5, 0.55, ... 0.8 of 0.5 ... 0.95.
        assert found.scores["AP"] == pytest.approx(0.7)
        assert found.scores["AP50"] == found.scores["AP75"] == pytest.approx(1.0)
        assert found.scores["APm"] == pytest.approx(0.7)
        assert math.isnan(found.scores["APs"])
        assert math.isnan(found.classes["sign"])

    def test_a_boundary_is_stricter_than_a_mask(self):
        image = image_of(1, square(20, 20, 60), [1])
        mask = square(22, 20, 60)
        scores = {
            overlap: average_precision(
                [image], [detected(mask)], classes=CLASSES, overlap=overlap
            ).scores["AP"]
            for overlap in ("mask", "boundary")
        }
        inner = [
            inner_boundary(m.long(), 4) & m for m in (mask, square(20, 20, 60))
        ]  # 2 % of the diagonal of 200
        iou = float((inner[0] & inner[1]).sum() / (inner[0] | inner[1]).sum())
        thresholds = np.linspace(0.5, 0.95, 10)
        assert 0.5 < iou < 0.8
        assert scores["boundary"] == pytest.approx((thresholds <= iou).mean())
        assert scores["mask"] == pytest.approx((thresholds <= 58 / 62).mean())

    @pytest.mark.parametrize("overlap", ["box", "mask", "boundary"])
    def test_nothing_found(self, overlap):
        image = image_of(1, square(0, 0, 40), [1])
        found = average_precision([image], [Detections.none()], classes=CLASSES, overlap=overlap)
        assert found.scores["AP"] == 0

    def test_nothing_there(self):
        image = image_of(1, torch.zeros(0, *SIZE), [])
        found = average_precision([image], [detected(square(0, 0, 9))], classes=CLASSES)
        assert all(math.isnan(value) for value in found.scores.values())

    def test_a_detection_of_a_crowd_is_neither_right_nor_wrong(self):
        masks = torch.cat([square(0, 0, 40), square(60, 0, 40)])
        image = image_of(1, masks, [1, 1], [False, True])
        both = [detected(square(0, 0, 40), score=0.5), detected(square(65, 5, 10), score=0.9)]
        found = Detections(
            *(torch.cat([getattr(d, k) for d in both]) for k in ("boxes", "labels", "scores")),
            both[0].masks + both[1].masks,
        )
        assert average_precision([image], [found], classes=CLASSES).scores["AP"] == 1

    @pytest.mark.parametrize("overlap", ["box", "mask", "boundary"])
    def test_ids_of_images_are_any_integers(self, overlap):
        images, detections = random_case(1)
        others = [replace(image, id=image.id - 4) for image in images]
        expected = average_precision(images, detections, classes=CLASSES, overlap=overlap)
        assert average_precision(others, detections, classes=CLASSES, overlap=overlap) == expected


class TestErrors:
    def test_masks_of_another_image(self):
        image = replace(image_of(1, square(0, 0, 40), [1]), size=(160, 120))
        with pytest.raises(ValueError, match=r"1\.png: expected masks of 120x160, got one of 160x"):
            average_precision([image], [Detections.none()], classes=CLASSES)

    def test_an_instance_of_no_class(self):
        image = image_of(1, square(0, 0, 20), [4])
        with pytest.raises(ValueError, match=r"1\.png: expected labels of 3 classes, got 4"):
            average_precision([image], [Detections.none()], classes=CLASSES)

    def test_a_label_that_is_no_class(self):
        image = image_of(1, square(0, 0, 40), [1])
        with pytest.raises(ValueError, match="expected labels of 3 classes, got 4"):
            average_precision([image], [detected(square(0, 0, 9), label=4)], classes=CLASSES)

    def test_an_overlap_that_there_is_not(self):
        with pytest.raises(ValueError, match="overlap: expected one of box, mask, boundary"):
            average_precision([], [], classes=CLASSES, overlap="segm")

    def test_not_as_many(self):
        with pytest.raises(ValueError, match="detections: expected 0, one per image, got 1"):
            average_precision([], [Detections.none()], classes=CLASSES)

    def test_an_image_twice(self):
        image = image_of(1, square(0, 0, 40), [1])
        with pytest.raises(ValueError, match="no id twice"):
            average_precision([image] * 2, [Detections.none()] * 2, classes=CLASSES)
