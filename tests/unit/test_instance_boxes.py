"""Detections and annotations with boxes alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coco_files import SIZE, case, judge, read, scores_of, without, write_images
from dealias.evaluation.instances import coco_results, draw_outlines
from dealias.instance import (
    AnnotatedImage,
    AnnotationError,
    Detections,
    DetectionsError,
    Instance,
    InstanceEvaluation,
    InstanceExample,
    InstanceReportWriter,
    average_precision,
    match_instances,
    read_annotations,
    read_detections,
)
from reports import script_arguments

# pycocotools' own, when it decodes a mask.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def instance(label, *box, crowd=False):
    left, top, right, bottom = box
    return Instance(label, box, None, (right - left) * (bottom - top), crowd)


def image_of(*instances):
    return AnnotatedImage(1, "1.png", Path("1.png"), (100, 100), instances)


def found(*entries):
    """Detections (label, left, top, right, bottom), the surest first."""
    boxes = torch.tensor([entry[1:] for entry in entries], dtype=torch.float64).reshape(-1, 4)
    labels = torch.tensor([entry[0] for entry in entries], dtype=torch.int64)
    return Detections(boxes, labels, torch.linspace(0.9, 0.5, len(entries)), None)


class TestAgainstPycocotools:
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("missing", [None, [], "absent"])
    def test_scores(self, seed, missing, folder, tmp_path):
        content, results = case(seed)
        expected, by_category = judge(content, without(results, "segmentation"), "bbox")
        for entries in (content["annotations"], results):
            for entry in entries:
                entry["segmentation"] = missing
                if missing == "absent":
                    del entry["segmentation"]
        _, evaluation = read(tmp_path, content, results, images=folder, boxes_alone=True)
        assert scores_of(evaluation, "box") == pytest.approx(expected, abs=1e-6, nan_ok=True)
        result = evaluation.to_dict()
        assert [*result["metrics"]] == ["box"]
        assert result["detection_area"] == result["errors"]["overlap"] == "box"
        for row, theirs in zip(result["classes"], by_category.values(), strict=True):
            assert row.keys() == {"name", "instances", "box", "counts"}
            assert row["box"] == pytest.approx(theirs, abs=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_found_and_false_are_those_of_ap50(self, seed, folder, tmp_path):
        """The precision of the errors' own matching is that of COCO's."""
        content, results = case(seed)
        results = without(results, "segmentation")
        _, evaluation = read(tmp_path, content, results, images=folder)
        gains = evaluation.errors().gains
        assert len(gains) == 6
        mended = []  # without false detections of nothing, and judged again
        for image, detections, matches in evaluation.matched():
            keep = torch.tensor([kind != "background" for kind in matches.kinds], dtype=torch.bool)
            parts = (detections.boxes, detections.labels, detections.scores)
            mended += coco_results(
                image,
                Detections(*(part[keep] for part in parts), None),
                evaluation.classes,
                dict(enumerate((0, 7, 300), 1)),
            )
        assert not any("segmentation" in entry for entry in mended)
        before = evaluation.average_precision()["box"].scores["AP50"]
        after, _ = judge(content, mended, "bbox")
        assert gains["background"] == pytest.approx(after[1] - before, abs=1e-6)

    def test_boxes_against_annotations_with_masks(self, folder, tmp_path):
        content, results = case(1)
        results = without(results, "segmentation")
        _, evaluation = read(tmp_path, content, results, images=folder)
        assert [*evaluation.average_precision()] == ["box"]
        assert scores_of(evaluation, "box") == pytest.approx(
            judge(content, results, "bbox")[0], nan_ok=True
        )

    def test_masks_against_annotations_with_boxes(self, folder, tmp_path):
        content, results = case(1)
        expected, _ = judge(content, results, "bbox")
        content["annotations"] = without(content["annotations"], "segmentation")
        _, evaluation = read(tmp_path, content, results, images=folder, boxes_alone=True)
        assert [*evaluation.average_precision()] == ["box"]
        assert scores_of(evaluation, "box") == pytest.approx(expected, nan_ok=True)
        assert evaluation.notes == [
            "masks of detections, which are not compared, as annotations have boxes alone: "
            f"{len(results)}, the first of entry 1"
        ]

    def test_areas_that_are_not_there_are_those_of_the_boxes(self, folder, tmp_path):
        content, results = case(2)
        content["annotations"] = without(content["annotations"], "segmentation")
        for entry in content["annotations"]:
            entry["area"] = entry["bbox"][2] * entry["bbox"][3]
        expected, _ = judge(content, without(results, "segmentation"), "bbox")
        content["annotations"] = without(content["annotations"], "area")
        instances, evaluation = read(
            tmp_path, content, without(results, "segmentation"), images=folder, boxes_alone=True
        )
        assert scores_of(evaluation, "box") == pytest.approx(expected, abs=1e-6, nan_ok=True)
        (note,) = instances.notes
        assert note.startswith("instances without an area, or with 0, that have the area of their")


class TestErrors:
    def test_kinds_by_hand(self):
        image = image_of(
            instance(1, 0, 0, 10, 10),
            instance(1, 50, 50, 60, 60),
            instance(2, 0, 50, 10, 60),
            instance(1, 80, 80, 100, 100, crowd=True),
            instance(2, 50, 0, 60, 10),
        )
        detections = found(
            (1, 0, 0, 10, 10),  # right
            (1, 0, 1, 10, 11),  # IoU 9 / 11 with the same
            (1, 53, 54, 63, 64),  # 7 * 6 / (200 - 42) of the second
            (1, 0, 50, 10, 60),  # the third, of class 2
            (1, 2, 56, 12, 66),  # 8 * 4 / (200 - 32) of the third
            (1, 30, 30, 40, 40),
            (1, 82, 82, 86, 86),  # in the crowd
            (2, 50, 0, 60, 5),  # exactly half of the last
        )
        matches = match_instances(image, detections)
        assert matches.kinds == (
            "found",
            "duplicate",
            "localisation",
            "classification",
            "both",
            "background",
            "ignored",
            "found",
        )
        assert matches.overlaps.tolist() == pytest.approx(
            [1, 9 / 11, 42 / 158, 1, 32 / 168, 0, 1, 0.5]
        )
        assert matches.partners.tolist() == [0, 0, 1, 2, 2, -1, 3, 4]
        assert matches.finders.tolist() == [0, -1, -1, -1, 7]

    def test_masks_can_not_be_compared_with_boxes(self):
        image = image_of(instance(1, 0, 0, 10, 10))
        detections = found((1, 0, 0, 10, 10))
        message = "1.png: expected masks of its instances, got boxes alone"
        with pytest.raises(ValueError, match=message):
            match_instances(image, Detections.none())
        message = "overlap: expected box, as detections have no masks, got 'mask'"
        with pytest.raises(ValueError, match=message):
            average_precision([image], [detections], classes=["car"])

    def test_masks_of_some_detections(self):
        rle = {"size": [100, 100], "counts": b"1000"}
        boxed = found((1, 0, 0, 10, 10))
        evaluation = InstanceEvaluation(("car",))
        evaluation.absorb(image_of(), boxed)
        evaluation.absorb(replace(image_of(), id=2), replace(boxed, masks=[rle]))
        with pytest.raises(ValueError, match="found: expected masks of all detections or of none"):
            evaluation.average_precision()

    def test_lengths_that_differ(self):
        message = r"labels: expected shape \[1\] for 1 scores, got \[2\]"
        with pytest.raises(ValueError, match=message):
            replace(found((1, 0, 0, 9, 9)), labels=torch.ones(2))


class TestReading:
    def test_a_mask_that_is_missing_among_others_is_named(self, folder, tmp_path):
        content, results = case()
        del results[4]["segmentation"]
        message = (
            r"results\.json: entry 5: segmentation: expected polygons or run lengths, "
            r"as entry 1 has, got None"
        )
        with pytest.raises(DetectionsError, match=message):
            read(tmp_path, content, results, images=folder)
        content["annotations"][2]["segmentation"] = []
        message = r"annotations\.json: an entry can't be used: annotation 3: segmentation: expected"
        with pytest.raises(AnnotationError, match=message):
            read(tmp_path, content, results, images=folder, boxes_alone=True)

    def test_boxes_alone_are_taken_only_if_asked_for(self, folder):
        """Training needs masks."""
        content, _ = case()
        content["annotations"] = without(content["annotations"], "segmentation")
        with pytest.raises(AnnotationError, match="annotation 1: segmentation: missing"):
            read_annotations(content, images=folder)

    def test_an_annotation_without_either(self, folder):
        content, _ = case()
        content["annotations"] = without(content["annotations"], "segmentation")
        del content["annotations"][0]["bbox"]
        message = "annotation 1: bbox: expected one, as there is no segmentation, got none"
        with pytest.raises(AnnotationError, match=message):
            read_annotations(content, images=folder, boxes_alone=True)

    def test_a_detection_without_either(self, folder):
        content, results = case()
        instances = read_annotations(content, images=folder)
        results = without(results, "segmentation")
        del results[1]["bbox"]
        with pytest.raises(DetectionsError, match=r"entry 2: bbox: expected \[left.*got None"):
            read_detections(results, instances)

    def test_no_detections_at_all(self, folder):
        content, _ = case()
        masks = read_annotations(content, images=folder)
        assert [*read_detections([], masks).average_precision()] == ["box", "mask", "boundary"]
        content["annotations"] = without(content["annotations"], "segmentation")
        boxes = read_annotations(content, images=folder, boxes_alone=True)
        evaluation = read_detections([], boxes)
        assert evaluation.average_precision()["box"].scores["AP"] == 0
        assert sum(evaluation.errors().counts["missed"]) == evaluation.to_dict()["instances"]

    def test_a_box_without_area_is_a_false_detection(self, folder):
        content, results = case()
        instances = read_annotations(content, images=folder)
        results = without(results, "segmentation")
        results[0]["bbox"][2] = 0
        evaluation = read_detections(results, instances)
        assert evaluation.notes == [
            "detections whose box has no area, which are false: 1, the first of entry 1"
        ]
        assert scores_of(evaluation, "box") == pytest.approx(
            judge(content, results, "bbox")[0], nan_ok=True
        )


def test_outlines_of_boxes_lie_inside_them():
    red = (255, 0, 0)
    black = np.zeros((6, 8, 3), np.uint8)
    marked = (draw_outlines(black, [((1.0, 1.0, 6.0, 5.0), red)]) == red).all(2)
    expected = np.zeros((6, 8), bool)
    expected[1:5, 1:6] = True
    expected[2:4, 2:5] = False
    assert np.array_equal(marked, expected)
    small = (draw_outlines(black, [((2.3, 2.4, 2.5, 2.6), red)]) == red).all(2)
    assert np.argwhere(small).tolist() == [[2, 2]]
    wide = (draw_outlines(black, [((-1e9, -5.0, 3.5, 1e9), red)]) == red).all(2)
    assert wide[:, :4].any(0).all()
    assert not wide[:, 4:].any()
    for outside in ((-9, 0, -1, 4), (8, 0, 12, 4), (0, 6, 4, 9)):
        assert not draw_outlines(black, [(outside, red)]).any()


def test_the_page_has_boxes(folder, tmp_path):
    content, results = case(1)
    results = without(results, "segmentation")
    _, evaluation = read(tmp_path, content, results, images=folder)
    with InstanceReportWriter(tmp_path / "page") as writer:
        for image, detections in evaluation.found:
            pixels = np.zeros((*SIZE, 3), np.uint8)
            writer.add(InstanceExample(image, detections, pixels))
        writer.finish(evaluation)
    text = " ".join((tmp_path / "page" / "index.html").read_text("utf-8").split())
    for said in (
        "their boxes, because there are no masks to compare.",
        "if its box has an IoU",
        "AP50 of boxes would rise",
        "Badly placed",
        "Wrong class, badly placed",
    ):
        assert said in text, said
    assert "outlined" not in text
    assert "boundaries" not in text
    (data,) = script_arguments(
        "dealias.start", (tmp_path / "page" / "assets" / "data.js").read_text()
    )
    assert "Badly placed" in [kind["title"] for kind in data["kinds"]]
    image, detections = evaluation.found[0]
    key = next(row[1] for row in data["rows"] if row[0] == image.name)
    script = (tmp_path / "page" / "assets" / "maps" / f"{key}.js").read_text()
    _, maps = script_arguments("dealias.maps.receive", script)
    assert [one[-1] for one in maps["targets"]] == [[*i.box] for i in image.instances]
    assert [one[-1] for one in maps["detections"]] == pytest.approx(
        [pytest.approx(box, abs=0.005) for box in detections.boxes.tolist()]
    )
