"""Right and false detections, against COCO's evaluator and worked by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dealias.evaluation.instances.evaluation import write_detections
from dealias.instance import (
    Detections,
    DetectionsError,
    InstanceEvaluation,
    InstanceSet,
    average_precision,
    encode_masks,
    match_instances,
    read_detections,
    summarize_errors,
)
from instances import CLASSES, boxes_of, image_of, random_case, square


def found(*entries):
    """Detections of (mask, label, score)."""
    masks = torch.cat([mask for mask, _, _ in entries])
    labels, scores = ([entry[i] for entry in entries] for i in (1, 2))
    return Detections(
        boxes_of(masks), torch.tensor(labels), torch.tensor(scores), encode_masks(masks)
    )


def summary(*pairs):
    matched = [
        (image, detections, match_instances(image, detections)) for image, detections in pairs
    ]
    return summarize_errors(matched, len(CLASSES))


A, B = square(0, 0, 40), square(100, 60, 40)
NEAR_A = square(0, 0, 24)  # IoU 0.36
ELSEWHERE = square(50, 50, 10)


class TestMatching:
    def test_each_kind_by_hand(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        detections = found(
            (NEAR_A, 1, 0.95),
            (A, 1, 0.9),
            (square(2, 0, 40), 1, 0.8),
            (A, 3, 0.7),
            (NEAR_A, 3, 0.6),
            (ELSEWHERE, 1, 0.5),
        )
        matches = match_instances(image, detections)
        expected = "localisation", "found", "duplicate", "classification", "both", "background"
        assert matches.kinds == expected
        assert matches.partners.tolist() == [0, 0, 0, 0, 0, -1]
        assert matches.overlaps == pytest.approx([0.36, 1, 38 / 42, 1, 0.36, 0])
        assert matches.finders.tolist() == [1, -1]

    def test_the_surest_comes_first_whatever_the_order(self):
        image = image_of(1, A, [1])
        matches = match_instances(image, found((A, 1, 0.3), (square(2, 0, 40), 1, 0.8)))
        assert matches.kinds == ("duplicate", "found")
        assert matches.finders.tolist() == [1]

    def test_own_classes_come_before_others_but_after_duplicates(self):
        # IoU 1/3 with the instance of its class, 0.6 with the other.
        image = image_of(1, torch.cat([square(0, 0, 40), square(30, 0, 40)]), [1, 2])
        near_other = square(20, 0, 40)
        assert match_instances(image, found((near_other, 1, 0.9))).kinds == ("localisation",)
        # Over 0.5 with both, and its own is taken.
        image = image_of(1, torch.cat([A, square(4, 0, 40)]), [1, 2])
        twice = found((A, 1, 0.9), (square(2, 0, 40), 1, 0.8))
        assert match_instances(image, twice).kinds == ("found", "duplicate")

    @pytest.mark.parametrize(
        ("side", "kind"), [(20, "localisation"), (13, "localisation"), (12, "background")]
    )
    def test_touching_begins_at_a_tenth(self, side, kind):
        # IoU 0.25, 0.106 and 0.09 with an instance of 40x40.
        matches = match_instances(image_of(1, A, [1]), found((square(0, 0, side), 1, 0.9)))
        assert matches.kinds == (kind,)

    def test_of_equal_overlaps_the_last_is_found(self):
        image = image_of(1, torch.cat([A, A]), [1, 1])
        assert match_instances(image, found((A, 1, 0.9))).finders.tolist() == [-1, 0]

    def test_the_hundred_surest_of_a_class_count(self):
        others = [(square(0, 60, 10), 2, 0.1)] * 100
        image = image_of(1, A, [1])
        matches = match_instances(image, found(*others, (A, 1, 0.05), (A, 2, 0.01)))
        assert matches.kinds == ("background",) * 100 + ("found", "ignored")

    def test_no_error_is_about_a_crowd(self):
        image = image_of(1, torch.cat([A, B]), [1, 2], crowd=[True, True])
        matches = match_instances(image, found((A, 2, 0.9), (NEAR_A, 2, 0.8)))
        assert matches.kinds == ("background", "background")

    def test_crowds_are_neither_found_nor_missed(self):
        image = image_of(1, torch.cat([A, B]), [1, 1], crowd=[True, False])
        pair = image, found((NEAR_A, 1, 0.9), (B, 1, 0.8))
        matches = match_instances(*pair)
        assert matches.kinds == ("ignored", "found")  # all of the first lies in the crowd
        assert summary(pair).counts["missed"] == (0, 0, 0)
        assert summary(pair).precision == summary(pair).recall == 1

    def test_masks_of_another_image(self):
        image = replace(image_of(1, A, [1]), size=(160, 120), instances=())
        with pytest.raises(ValueError, match=r"1\.png: expected masks of 120x160, got one of 160x"):
            match_instances(image, found((A, 1, 0.9)))

    def test_nothing_to_find_and_nothing_found(self):
        empty = image_of(1, torch.zeros(0, *A.shape[1:], dtype=torch.bool), [])
        assert match_instances(empty, found((A, 1, 0.9))).kinds == ("background",)
        assert match_instances(image_of(1, A, [1]), Detections.none()).finders.tolist() == [-1]


class TestSummary:
    def test_the_threshold_is_that_of_the_best_f1(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        pair = image, found((A, 1, 0.9), (ELSEWHERE, 1, 0.8), (B, 2, 0.7), (ELSEWHERE, 2, 0.2))
        result = summary(pair)
        # F1 is 2/3, 1/2, 4/5 and 2/3.
        assert result.threshold == pytest.approx(0.7)
        assert (result.precision, result.recall) == pytest.approx((2 / 3, 1))
        assert result.f1 == pytest.approx(0.8)
        assert result.counts["background"] == (1, 0, 0)
        assert result.counts["found"] == (1, 1, 0)

    def test_what_is_below_the_threshold_is_missed(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        noise = [(square(8 * i, 80, 8), 1, 0.5) for i in range(8)]
        result = summary((image, found((A, 1, 0.9), *noise, (B, 2, 0.3))))
        assert result.threshold == pytest.approx(0.9)
        assert result.counts["missed"] == (0, 1, 0)

    @pytest.mark.parametrize(
        ("kind", "entry", "gain"),
        [
            # Class 1 has AP 1 or 0; class 2 is found.
            ("localisation", (NEAR_A, 1, 0.9), 0.5),
            ("classification", (A, 2, 0.8), 0.5),
            ("missed", (ELSEWHERE, 3, 0.9), 0.5),
        ],
    )
    def test_gains_by_hand(self, kind, entry, gain):
        result = summary((image_of(1, torch.cat([A, B]), [1, 2]), found(entry, (B, 2, 0.95))))
        assert result.gains[kind] == pytest.approx(gain)

    def test_false_ones_are_gone_when_mended(self):
        image = image_of(1, A, [1])
        result = summary((image, found((ELSEWHERE, 1, 0.9), (A, 1, 0.8))))
        assert result.gains["background"] == pytest.approx(0.5)
        assert result.gains["missed"] == 0
        twice = summary(
            (
                image_of(1, torch.cat([A, B]), [1, 1]),
                found(
                    (A, 1, 0.9),
                    (square(2, 0, 40), 1, 0.8),
                    (B, 1, 0.7),
                ),
            )
        )
        # Precision 1 up to a recall of 1/2, then 2/3: 51 and 50 of 101 recalls.
        assert twice.gains["duplicate"] == pytest.approx(1 - (51 + 50 * 2 / 3) / 101)

    def test_only_the_surest_of_several_is_mended(self):
        entries = (NEAR_A, 1, 0.9), (ELSEWHERE, 1, 0.85), (square(0, 0, 25), 1, 0.8)
        result = summary((image_of(1, A, [1]), found(*entries)))
        assert result.gains["localisation"] == pytest.approx(1)

    def test_what_another_has_found_is_not_mended(self):
        entries = (NEAR_A, 1, 0.9), (ELSEWHERE, 1, 0.5), (A, 1, 0.3)
        result = summary((image_of(1, A, [1]), found(*entries)))
        # The right one comes third, and second without the first.
        assert result.gains["localisation"] == pytest.approx(1 / 2 - 1 / 3)

    def test_instances_of_different_images_are_different(self):
        pairs = [(image_of(i, A, [1]), found((NEAR_A, 1, 0.9))) for i in (1, 2)]
        assert summary(*pairs).gains["localisation"] == pytest.approx(1)

    def test_a_missed_class_counts_while_it_has_detections(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        wrong, right = (ELSEWHERE, 1, 0.9), (B, 2, 0.8)
        assert summary((image, found(wrong, right))).gains["missed"] == 0
        assert summary((image, found(right))).gains["missed"] == pytest.approx(0.5)

    def test_equal_scores_stand_or_fall_together(self):
        image = image_of(1, torch.cat([A, B]), [1, 1])
        result = summary((image, found((A, 1, 0.5), (ELSEWHERE, 1, 0.5), (B, 1, 0.5))))
        assert (result.precision, result.recall) == pytest.approx((2 / 3, 1))
        assert result.counts["background"] == (1, 0, 0)

    def test_none_right(self):
        result = summary((image_of(1, A, [1]), found((ELSEWHERE, 1, 0.3), (NEAR_A, 1, 0.2))))
        assert result.threshold == pytest.approx(0.2)
        assert (result.precision, result.recall, result.f1) == (0, 0, 0)
        assert result.counts["background"] == result.counts["localisation"] == (1, 0, 0)

    def test_nothing_is_undefined_not_an_error(self):
        result = summary((image_of(1, A, [1]), Detections.none()))
        assert (result.recall, result.f1, result.threshold) == (0, 0, 0.5)
        assert math.isnan(result.precision)
        assert math.isnan(result.gains["missed"])  # no instance is left
        assert result.to_dict()["precision"] is None
        assert result.counts["missed"] == (1, 0, 0)

    @pytest.mark.parametrize("seed", range(8))
    def test_agrees_with_the_evaluator(self, seed):
        """Mended sets, built anew, have the AP50 that the gains say."""
        images, detections = random_case(seed)
        pairs = list(zip(images, detections, strict=True))
        before = average_precision(images, detections, classes=CLASSES).scores["AP50"]
        result = summary(*pairs)
        for kind in ("localisation", "classification", "both", "duplicate", "background"):
            left = [mended(kind, *pair) for pair in pairs]
            after = average_precision(images, left, classes=CLASSES).scores["AP50"]
            assert result.gains[kind] == pytest.approx(after - before, abs=1e-6), kind
        without = [left_found(*pair) for pair in pairs]
        assert {one.label for image in without for one in image.instances} == {1, 2, 3}
        after = average_precision(without, detections, classes=CLASSES).scores["AP50"]
        assert result.gains["missed"] == pytest.approx(after - before, abs=1e-6)


def mended(kind, image, detections):
    """Detections of an image without errors of a kind, slowly."""
    matches = match_instances(image, detections)
    masks, labels, keep, taken = list(detections.masks), detections.labels.clone(), [], set()
    for i in detections.scores.argsort(descending=True, stable=True).tolist():
        partner = int(matches.partners[i])
        if matches.kinds[i] == kind:
            free = partner >= 0 and matches.finders[partner] < 0 and partner not in taken
            if kind not in ("localisation", "classification") or not free:
                continue
            taken.add(partner)
            masks[i], labels[i] = image.instances[partner].mask, image.instances[partner].label
        keep.append(i)
    keep.sort()
    parts = (detections.boxes[keep], labels[keep], detections.scores[keep])
    return Detections(*parts, [masks[i] for i in keep])


def left_found(image, detections):
    """An image without the instances that were missed."""
    finders = match_instances(image, detections).finders.tolist()
    pairs = zip(image.instances, finders, strict=True)
    return replace(image, instances=tuple(one for one, f in pairs if f >= 0 or one.crowd))


def test_results_do_not_depend_on_the_order_of_images():
    images, detections = random_case(3)
    rounded = [replace(d, scores=(4 * d.scores).round() / 4) for d in detections]
    results = []
    for order in (1, -1):
        evaluation = InstanceEvaluation(CLASSES)
        for pair in list(zip(images, rounded, strict=True))[::order]:
            evaluation.absorb(*pair)
        results.append(evaluation.to_dict())
    assert results[0] == results[1]


class TestChanges:
    """What is found is of the images and settings that there are when it is asked for."""

    def evaluation(self):
        evaluation = InstanceEvaluation(CLASSES)
        evaluation.absorb(image_of(1, A, [1]), found((A, 1, 0.9)))
        assert evaluation.average_precision()["mask"].scores["AP"] == 1
        assert evaluation.errors().counts["missed"][0] == 0
        return evaluation

    def test_another_image_in_place_of_one(self):
        evaluation = self.evaluation()
        evaluation.found[0] = image_of(1, A, [1]), found((ELSEWHERE, 1, 0.9))
        assert evaluation.average_precision()["mask"].scores["AP"] == 0
        assert evaluation.errors().counts["missed"][0] == 1
        ((_, _, matches),) = evaluation.matched()
        assert matches.kinds == ("background",)

    def test_an_image_taken_out_and_one_put_in(self):
        evaluation = self.evaluation()
        del evaluation.found[0]
        evaluation.absorb(image_of(2, B, [1]), Detections.none())
        assert evaluation.average_precision()["mask"].scores["AP"] == 0
        assert evaluation.errors().counts["missed"][0] == 1

    def test_another_area_of_detections(self):
        image = image_of(1, A, [1])  # 1600 pixels, medium
        evaluation = InstanceEvaluation(CLASSES)
        wide = replace(found((A, 1, 0.9)), boxes=torch.tensor([[0.0, 0, 100, 100]]))
        evaluation.absorb(image, wide)
        # Of a detection that matches nothing, the area says whether it counts.
        stray = replace(found((ELSEWHERE, 1, 0.95)), boxes=torch.tensor([[50.0, 50, 90, 90]]))
        evaluation.absorb(image_of(2, B, [2]), stray)
        before = evaluation.average_precision()["mask"].scores["APm"]
        evaluation.detection_area = "box"
        fresh = InstanceEvaluation(CLASSES, list(evaluation.found), detection_area="box")
        after = evaluation.average_precision()["mask"].scores["APm"]
        assert after == fresh.average_precision()["mask"].scores["APm"] != before

    def test_what_has_not_changed_is_not_worked_out_again(self):
        evaluation = self.evaluation()
        assert evaluation.errors() is evaluation.errors()


class TestReading:
    def write(self, folder, pairs):
        evaluation = InstanceEvaluation(CLASSES)
        for pair in pairs:
            evaluation.absorb(*pair)
        write_detections(evaluation, folder / "detections.json")
        images = tuple(image for image, _ in pairs)
        return folder / "detections.json", InstanceSet(CLASSES, images), evaluation

    def test_gives_what_was_written(self, tmp_path):
        pairs = list(zip(*random_case(2), strict=True))
        path, instances, evaluation = self.write(tmp_path, pairs)
        assert read_detections(path, instances).to_dict() == evaluation.to_dict()

    def test_categories_have_other_ids_and_names(self, tmp_path):
        pair = image_of(1, A, [1]), found((A, 1, 0.9), (B, 2, 0.8))
        path, instances, _ = self.write(tmp_path, [pair])
        content = json.loads(path.read_text())
        for entry in content:
            entry["category_id"] += 10
            del entry["bbox"], entry["category"]
        path.write_text(json.dumps(content))
        names = {11: "Car", 12: "dog", 13: "sign", 14: "person"}
        ((_, detections),) = read_detections(path, instances, categories=names).found
        assert detections.labels.tolist() == [1]
        assert detections.boxes.tolist() == [[0, 0, 40, 40]]

    def test_scores_stay_apart_and_names_may_be_others_for_the_same(self, tmp_path):
        pair = image_of(1, A, [1]), found((A, 1, 0.9), (B, 1, 0.8))
        path, instances, _ = self.write(tmp_path, [pair])
        content = json.loads(path.read_text())
        content[0] |= {"score": 0.99999998, "category": "Car", "file_name": "there/1.jpg"}
        content[1] |= {"score": 0.99999999}
        path.write_text(json.dumps(content))
        evaluation = read_detections(path, instances)
        assert evaluation.average_precision()["mask"].scores["AP50"] == pytest.approx(0.5)
        content[1] |= {"score": 1e300}
        path.write_text(json.dumps(content))
        assert read_detections(path, instances).errors().threshold == 0.99999998

    def test_a_mask_without_a_pixel_is_a_false_detection(self, tmp_path):
        path, instances, _ = self.write(tmp_path, [(image_of(1, A, [1]), found((A, 1, 0.9)))])
        (entry,) = json.loads(path.read_text())
        empty = {"segmentation": {"size": [120, 160], "counts": [19200]}, "score": 0.95}
        path.write_text(json.dumps([entry, entry | empty]))
        evaluation = read_detections(path, instances)
        assert len(evaluation.found[0][1]) == 2
        assert evaluation.average_precision()["mask"].scores["AP50"] == pytest.approx(0.5)

    def test_ids_are_by_default_those_of_the_annotation_file(self, tmp_path):
        images = [image_of(1, A, [1])]
        evaluation = InstanceEvaluation(CLASSES)
        evaluation.absorb(images[0], found((A, 1, 0.9), (B, 2, 0.8)))
        path = tmp_path / "detections.json"
        write_detections(evaluation, path, {1: 3, 2: 9, 3: 1})
        assert [entry["category_id"] for entry in json.loads(path.read_text())] == [3, 9]
        names = {1: CLASSES[2], 3: CLASSES[0], 9: CLASSES[1], 11: "else"}
        instances = InstanceSet(CLASSES, tuple(images), categories=names)
        ((_, detections),) = read_detections(path, instances).found
        assert detections.labels.tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"image_id": 7}, "image_id: expected one that is known, got 7"),
            ({"category_id": 4}, "category_id: expected one that is known, got 4"),
            ({"score": "high"}, "score: expected a finite number, got 'high'"),
            ({"score": 10**400}, "score: expected a finite number, got 1000"),
            ({"score": math.nan}, "score: expected a finite number, got nan"),
            ({"segmentation": None}, "segmentation: expected polygons or run lengths"),
            ({"score": "0.9"}, "score: expected a finite number, got '0.9'"),
            ({"segmentation": []}, "segmentation: expected polygons or run lengths"),
            ({"segmentation": [[1, 1, 2, 2]]}, "segmentation: .* three points"),
            ({"image_id": "1"}, "image_id: expected one that is known, got '1'"),
            ({"bbox": [0, 0, -1, 5]}, "bbox: expected"),
            ({"bbox": [0, 0, 5]}, "bbox: expected"),
            ({"bbox": "0055"}, "bbox: expected"),
            ({"bbox": [1e308, 0, 1e308, 5]}, "bbox: expected"),
            ({"file_name": "2.png"}, "file_name: expected '1.png', as image 1 is called, got '2."),
            ({"category": "sign"}, "category: expected 'car', as category 1 is called, got 'sign'"),
        ],
    )
    def test_bad_entries_are_named(self, change, message, tmp_path):
        path, instances, _ = self.write(tmp_path, [(image_of(1, A, [1]), found((A, 1, 0.9)))])
        (entry,) = json.loads(path.read_text())
        path.write_text(json.dumps([entry, entry | change]))
        with pytest.raises(DetectionsError, match=rf"detections\.json: entry 2: .*{message}"):
            read_detections(path, instances)

    @pytest.mark.parametrize(
        ("text", "message"),
        [("", "expected JSON"), ("{}", "expected a list"), ("[3]", "entry 1: image_id")],
    )
    def test_files_of_something_else(self, text, message, tmp_path):
        path = tmp_path / "detections.json"
        with pytest.raises(DetectionsError, match=r"detections\.json: no such file"):
            read_detections(path, InstanceSet(CLASSES, ()))
        path.write_text(text)
        with pytest.raises(DetectionsError, match=message):
            read_detections(path, InstanceSet(CLASSES, ()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": torch.tensor([math.nan])}, "scores: expected finite numbers, got nan"),
        ({"boxes": torch.full((1, 4), math.inf)}, "boxes: expected finite numbers, got inf"),
        ({"scores": torch.ones(2)}, r"scores: expected shape \[1\] for 1 masks, got \[2\]"),
        ({"boxes": torch.ones(4)}, r"boxes: expected shape \[1, 4\] for 1 masks, got \[4\]"),
        ({"masks": []}, r"boxes: expected shape \[0, 4\] for 0 masks, got \[1, 4\]"),
        ({"labels": torch.tensor([0])}, "labels: expected 1 or more, got 0"),
    ],
)
def test_detections_that_can_not_be(change, message):
    with pytest.raises(ValueError, match=message):
        replace(found((A, 1, 0.9)), **change)


def test_figures_follow_what_is_absorbed():
    evaluation = InstanceEvaluation(CLASSES)
    evaluation.absorb(image_of(1, A, [1]), found((A, 1, 0.9)))
    assert evaluation.errors().recall == evaluation.average_precision()["mask"].scores["AP"] == 1
    evaluation.absorb(image_of(2, A, [1]), Detections.none())
    assert evaluation.errors().recall == 0.5
    assert evaluation.average_precision()["mask"].scores["AP"] < 1
    crowded = image_of(3, torch.cat([A, B]), [1, 2], crowd=[True, False])
    evaluation.absorb(crowded, Detections.none())
    result = evaluation.to_dict()
    assert (result["instances"], result["crowds"]) == (3, 1)
    assert [row["instances"] for row in result["classes"]] == [2, 1, 0]


def test_counts_add_up_on_random_cases():
    for seed in range(4):
        images, detections = random_case(seed)
        result = summary(*zip(images, detections, strict=True))
        real = [i for image in images for i in image.instances if not i.crowd]
        assert sum(result.counts["found"]) + sum(result.counts["missed"]) == len(real)
        shown = sum(int((d.scores >= np.float32(result.threshold)).sum()) for d in detections)
        crowded = sum(
            kind == "ignored" and score >= np.float32(result.threshold)
            for image, one in zip(images, detections, strict=True)
            for kind, score in zip(match_instances(image, one).kinds, one.scores, strict=True)
        )
        named = sum(sum(n) for key, n in result.counts.items() if key != "missed")
        assert named == shown - crowded
