"""Files as other tools write them, against what pycocotools makes of the same files."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from coco_files import (
    SIZE,
    annotation_of,
    case,
    judge,
    read,
    run_lengths,
    scores_of,
    without,
    write_images,
)
from dealias.instance import (
    SCORES,
    InstanceExample,
    InstanceReportWriter,
    average_precision,
    read_annotations,
    read_detections,
)

# pycocotools' own, when it decodes a mask.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


class TestAreasOfDetections:
    @pytest.mark.parametrize("seed", range(6))
    def test_by_mask_and_by_box(self, seed, folder, tmp_path):
        content, results = case(seed)
        instances, by_mask = read(tmp_path, content, results, images=folder)
        by_box = read_detections(tmp_path / "results.json", instances, detection_area="box")
        expected_by_mask, _ = judge(content, without(results, "bbox"), "segm")
        expected_by_box, _ = judge(content, results, "segm")
        assert scores_of(by_mask) == pytest.approx(expected_by_mask, abs=1e-6, nan_ok=True)
        assert scores_of(by_box) == pytest.approx(expected_by_box, abs=1e-6, nan_ok=True)
        assert expected_by_mask[:3] == expected_by_box[:3]
        assert expected_by_mask[3:] != expected_by_box[3:]
        expected_of_boxes, _ = judge(content, results, "bbox")
        for found in (by_mask, by_box):
            assert scores_of(found, "box") == pytest.approx(
                expected_of_boxes, abs=1e-6, nan_ok=True
            )
        assert by_mask.to_dict()["detection_area"] == "mask"
        assert by_box.to_dict()["detection_area"] == "box"

    @pytest.mark.parametrize("seed", range(4))
    def test_of_exactly_32x32_at_any_place(self, seed, folder, tmp_path):
        """Sides survive being added to a place and taken off again."""
        content, results = case(seed)
        rng = np.random.default_rng(seed)
        for entry in results:
            left, top = rng.uniform(0, 90, 2).round(2).tolist()
            entry["bbox"] = [left, top, 32.0, 32.0] if rng.random() < 0.5 else [left, top, 25.6, 40]
        instances, _ = read(tmp_path, content, results, images=folder)
        found = read_detections(results, instances, detection_area="box")
        expected, _ = judge(content, results, "segm")
        assert scores_of(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)

    def test_merging_keeps_it(self, folder, tmp_path):
        content, results = case()
        instances, _ = read(tmp_path, content, results, images=folder)
        found = read_detections(results, instances, detection_area="box")
        assert type(found)(found.classes, detection_area="box").merge(found).to_dict() == (
            found.to_dict()
        )

    def test_another_is_refused(self):
        with pytest.raises(ValueError, match="detection_area: expected one of mask, box, got 'rle"):
            average_precision([], [], classes=["car"], detection_area="rle")


class TestCategories:
    def test_one_name_twice_where_one_is_not_used(self, folder, tmp_path):
        content, results = case(categories={1: "fish", 2: "crab"})
        content["categories"].insert(0, {"id": 0, "name": "fish"})
        expected, by_category = judge(content, results, "segm")
        for classes in (None, ("fish", "crab")):
            instances, found = read(tmp_path, content, results, images=folder, classes=classes)
            assert instances.classes == ("fish", "crab")
            assert instances.labels == {1: 1, 2: 2}
            assert instances.notes == ("category 0, 'fish', is no class; category 1, 'fish', is",)
            assert scores_of(found)[:3] == pytest.approx(expected[:3], abs=1e-6)
            assert found.average_precision()["mask"].classes == pytest.approx(
                {"fish": by_category[1], "crab": by_category[2]}, abs=1e-6
            )
            assert found.to_dict()["notes"] == list(instances.notes)

    def test_detections_of_the_one_that_is_not_used_are_counted(self, folder, tmp_path):
        content, results = case(categories={1: "fish", 2: "crab"})
        content["categories"].insert(0, {"id": 0, "name": "fish"})
        instances, _ = read(tmp_path, content, results, images=folder)
        stray = [results[0] | {"category_id": 0}] * 2
        found = read_detections([*results, *stray], instances)
        assert found.notes[-1] == (
            f"detections of category 0, 'fish', which is no class, left out: 2, "
            f"the first of entry {len(results) + 1}"
        )
        assert scores_of(found) == scores_of(read_detections(results, instances))

    def test_names_that_differ_in_case_are_two_classes(self, folder, tmp_path):
        content, results = case(categories={1: "Car", 2: "car", 3: "CAR"})
        instances, found = read(tmp_path, content, results, images=folder)
        expected, by_category = judge(content, results, "segm")
        assert instances.classes == ("Car", "car", "CAR")
        assert scores_of(found)[:3] == pytest.approx(expected[:3], abs=1e-6)
        classes = found.average_precision()["mask"].classes
        assert list(classes.values()) == pytest.approx(list(by_category.values()), abs=1e-6)

    def test_exactly_comes_first_and_the_others_are_said(self, folder, tmp_path):
        content, results = case(categories={1: "Car", 2: "car"})
        instances, found = read(
            tmp_path, content, results, images=folder, classes=["car"], ignore_other_categories=True
        )
        _, by_category = judge(content, results, "segm")
        assert instances.labels == {2: 1}
        assert instances.ignored == {
            "Car": sum(entry["category_id"] == 1 for entry in content["annotations"])
        }
        assert instances.notes == ("category 1, 'Car', is no class; category 2, 'car', is",)
        assert found.average_precision()["mask"].classes["car"] == pytest.approx(
            by_category[2], abs=1e-6
        )
        others = sum(entry["category_id"] == 1 for entry in results)
        assert f"category 1, 'Car', which is no class, left out: {others}, the" in found.notes[-1]
        assert found.notes[-2] == (
            f"annotations whose category is no class, left out: {instances.ignored['Car']}"
        )

    @pytest.mark.parametrize("classes", [["CAR"], ["cAR"]])
    def test_in_another_case_the_one_in_use_is_meant(self, classes, folder, tmp_path):
        content, results = case(categories={2: "car"})
        content["categories"].append({"id": 5, "name": "Car"})
        instances, _ = read(tmp_path, content, results, images=folder, classes=classes)
        assert instances.labels == {2: 1}

    def test_exactly_comes_first_also_where_it_is_not_used(self, folder, tmp_path):
        content, results = case(categories={2: "car"})
        content["categories"].append({"id": 5, "name": "Car"})
        message = "no instance of Car that can be used; category 2, 'car', is no class; category 5"
        options = {"images": folder, "classes": ["Car"], "ignore_other_categories": True}
        with pytest.raises(ValueError, match=message):
            read(tmp_path, content, results, **options)

    def test_in_another_case_two_in_use_are_refused(self, folder, tmp_path):
        content, results = case(categories={2: "car", 5: "Car"})
        with pytest.raises(ValueError, match="class 'CAR': 2 categories of this name"):
            read(tmp_path, content, results, images=folder, classes=["CAR"])

    def test_one_name_twice_where_both_are_used_is_refused(self, folder, tmp_path):
        content, results = case(categories={2: "car", 5: "car"})
        with pytest.raises(ValueError, match="class 'car': 2 categories of this name"):
            read(tmp_path, content, results, images=folder)

    def test_one_name_twice_where_neither_is_used(self, folder, tmp_path):
        content, results = case(categories={1: "fish"})
        content["categories"] += [{"id": 5, "name": "crab"}, {"id": 6, "name": "crab"}]
        instances, found = read(tmp_path, content, results, images=folder)
        assert instances.labels == {1: 1, 5: 2, 6: 2}
        assert scores_of(found)[:3] == pytest.approx(judge(content, results, "segm")[0][:3])

    def test_classes_of_other_results_are_the_categories_in_use(self, folder, tmp_path):
        content, results = case(categories={1: "fish"})
        instances, found = read(tmp_path, content, results, images=folder)
        other = [entry | {"category_id": 4} for entry in results]
        names = {3: "fish", 4: "fish"}
        assert scores_of(read_detections(other, instances, categories=names)) == scores_of(found)


class TestSegmentations:
    @pytest.mark.parametrize("stray", [[3.5, 4], [3, 4, 90, 80], [3, 4, 90, 80, 7]])
    def test_stray_polygons_change_nothing(self, stray, folder, tmp_path):
        content, results = case(1)
        whole, _ = read(tmp_path, content, results, images=folder)
        for entry in content["annotations"][:3]:
            entry["segmentation"].append(stray)
        instances, found = read(tmp_path, content, results, images=folder)
        assert instances.images == whole.images
        assert instances.skipped == ()
        assert instances.notes == (
            "broken polygons that are left out of a segmentation with others: 3, "
            "the first of annotation 1",
        )
        assert found.notes == list(instances.notes)
        expected, _ = judge(content, without(results, "bbox"), "segm")
        assert scores_of(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)

    @pytest.mark.parametrize(
        "stray", [[], [1, 2], [math.nan, 1, 5, 1, 5, 5], [1, 1, 5, 1, 5, 5, 2]]
    )
    def test_stray_polygons_come_first_too(self, stray, folder, tmp_path):
        """Which pycocotools would take all polygons for boxes by, or fail at."""
        content, results = case(1)
        whole, _ = read(tmp_path, content, results, images=folder)
        content["annotations"][4]["segmentation"].insert(0, stray)
        instances, _ = read(tmp_path, content, results, images=folder)
        assert instances.images == whole.images
        assert "with others: 1, the first of annotation 5" in instances.notes[0]

    def test_an_instance_of_broken_polygons_alone_is_listed(self, folder, tmp_path):
        content, results = case(1)
        broken = content["annotations"][4]["segmentation"] = [[1, 2], [1, 2, 3, 4]]
        with pytest.raises(ValueError, match=r"annotation 5: segmentation: .* three points"):
            read(tmp_path, content, results, images=folder)
        instances, found = read(tmp_path, content, results, images=folder, skip_bad=True)
        assert [problem.entry for problem in instances.skipped] == ["annotation 5"]
        assert found.to_dict()["skipped"] == [str(instances.skipped[0])]
        assert broken == [[1, 2], [1, 2, 3, 4]]
        del content["annotations"][4]
        expected, _ = judge(content, without(results, "bbox"), "segm")
        assert scores_of(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)

    def test_polygons_of_detections(self, folder, tmp_path):
        content, results = case(1)
        instances, _ = read(tmp_path, content, results, images=folder)
        polygon = [10, 10, 50, 10, 50, 60]
        extra = results[0] | {"segmentation": [polygon, [1, 2]], "score": 0.97}
        masked = extra | {"segmentation": run_lengths([polygon])}
        broken = read_detections([*results, extra], instances)
        assert scores_of(broken) == scores_of(read_detections([*results, masked], instances))
        assert broken.notes[0].endswith(f"with others: 1, the first of entry {len(results) + 1}")

    def test_uncompressed_run_lengths_and_crowds_with_polygons(self, folder, tmp_path):
        content, results = case(2)
        for entry in content["annotations"][::2]:
            mask = coco_mask.decode(run_lengths(entry["segmentation"]))
            flat = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=0, append=2))
            entry["segmentation"] = {
                "size": [*SIZE],
                "counts": np.diff(flat, prepend=0).tolist(),
            }
            entry["iscrowd"] = 1
        content["annotations"][1]["iscrowd"] = 1
        _, found = read(tmp_path, content, results, images=folder)
        expected, _ = judge(content, without(results, "bbox"), "segm")
        assert scores_of(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)

    def test_masks_and_bytes_in_memory(self, folder, tmp_path):
        content, results = case(3)
        instances, expected = read(tmp_path, content, results, images=folder)
        kinds = (
            lambda rle: rle | {"counts": rle["counts"].encode()},
            coco_mask.decode,
            lambda rle: coco_mask.decode(rle).astype(bool),
        )
        for make in kinds:
            entries = [
                entry
                | {
                    "segmentation": make(entry["segmentation"]),
                    "score": np.float64(entry["score"]),
                    "image_id": np.int64(entry["image_id"]),
                    "bbox": np.array(entry["bbox"]),
                }
                for entry in results
            ]
            assert read_detections(entries, instances).to_dict() == expected.to_dict()
            annotations = [
                entry | {"segmentation": make(run_lengths(entry["segmentation"]))}
                for entry in content["annotations"]
            ]
            again = read_annotations(content | {"annotations": annotations}, images=folder)
            assert again == instances

    def test_what_is_no_mask_in_memory(self, folder):
        content, results = case(3)
        instances = read_annotations(content, images=folder)
        for mask in (np.zeros((160, 120), bool), np.zeros(SIZE), np.zeros((1, *SIZE), bool)):
            bad = [results[0] | {"segmentation": mask}]
            with pytest.raises(
                ValueError, match=r"detections: entry 1: .* expected a mask of bool"
            ):
                read_detections(bad, instances)


class TestDetectionsWithoutPixels:
    @pytest.mark.parametrize("with_box", [True, False])
    def test_are_false_as_in_pycocotools(self, with_box, folder, tmp_path):
        content, results = case(4)
        before = judge(content, results, "segm")[0]
        empty = coco_mask.encode(np.zeros(SIZE, np.uint8, order="F"))
        nothing = {
            "bbox": [0, 0, 0, 0],
            "segmentation": empty | {"counts": empty["counts"].decode()},
        }
        for k in range(0, len(results), 3):
            results.insert(k + 1, results[k] | nothing | {"score": 0.99})
        if not with_box:
            results = without(results, "bbox")
        _, found = read(tmp_path, content, results, images=folder)
        expected, _ = judge(content, without(results, "bbox"), "segm")
        assert expected[0] < before[0]
        assert scores_of(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)
        boxes, _ = judge(content, results, "bbox")
        # Without boxes, pycocotools has the area of the mask for that of its box.
        last = 6 if with_box else 3
        assert scores_of(found, "box")[:last] == pytest.approx(boxes[:last], abs=1e-6, nan_ok=True)
        number = sum(entry["score"] == 0.99 for entry in results)
        assert found.notes == [
            f"detections without a pixel, which are false: {number}, the first of entry 2"
        ]
        assert sum(found.errors().counts["background"]) >= number
        with InstanceReportWriter(tmp_path / "page") as writer:
            for image, detections in found.found:
                writer.add(InstanceExample(image, detections, np.zeros((*SIZE, 3), np.uint8)))
            writer.finish(found)
        assert found.notes[0] in (tmp_path / "page" / "index.html").read_text("utf-8")


class TestInstancesWithoutPixels:
    def test_count_as_missed_as_in_pycocotools(self, folder, tmp_path):
        content, results = case(4)
        before = judge(content, results, "segm")[0]
        ids = [entry["id"] for entry in content["categories"]]
        for k in range(10):
            corners = [20.1, 9.6 + k, 20.1, 9.6 + k, 20.1 + (k % 2) * 9, 9.6 + k]
            box = [20.1, 9.6 + k, (k % 2) * 9.0, 0.0]
            entry = annotation_of(1000 + k, k, ids[k % len(ids)], [corners], bbox=box)
            assert entry["area"] == 0
            content["annotations"].insert(3 * k, entry)
        instances, found = read(tmp_path, content, results, images=folder)
        masks, classes = judge(content, without(results, "bbox"), "segm")
        assert 0 < masks[0] < before[0]
        assert scores_of(found) == pytest.approx(masks, abs=1e-6, nan_ok=True)
        boxes, _ = judge(content, results, "bbox")
        assert scores_of(found, "box") == pytest.approx(boxes, abs=1e-6, nan_ok=True)
        by_name = found.average_precision()["mask"].classes
        assert [by_name[c["name"]] for c in content["categories"]] == pytest.approx(
            [classes[c["id"]] for c in content["categories"]], abs=1e-6, nan_ok=True
        )
        assert instances.notes == (
            "instances whose polygons cover no pixel, which no mask can match: 10, the first of "
            "annotation 1000",
        )
        assert sum(found.errors().counts["missed"]) >= 10
        with InstanceReportWriter(tmp_path / "page") as writer:
            for image, detections in found.found:
                writer.add(InstanceExample(image, detections, np.zeros((*SIZE, 3), np.uint8)))
            writer.finish(found)
        assert "cover no pixel" in (tmp_path / "page" / "index.html").read_text("utf-8")


class TestAreasOfInstances:
    @pytest.mark.parametrize("area", [0, 0.0, None])
    def test_are_those_of_the_mask_where_there_is_none(self, area, folder, tmp_path):
        content, results = case(5)
        right, _ = judge(content, without(results, "bbox"), "segm")
        for entry in content["annotations"][1::2]:
            entry["area"] = area
        changed = sum(entry["area"] == area for entry in content["annotations"])
        instances, found = read(tmp_path, content, results, images=folder)
        assert scores_of(found) == pytest.approx(right, abs=1e-6, nan_ok=True)
        assert instances.notes == (
            f"instances without an area, or with 0, that have the area of their mask: {changed}, "
            "the first of annotation 2",
        )
        if area is not None:  # which pycocotools can't compare
            theirs, _ = judge(content, without(results, "bbox"), "segm")
            assert scores_of(found)[:3] == pytest.approx(theirs[:3], abs=1e-6)

    def test_boxes_are_those_of_the_mask_where_there_is_none(self, folder, tmp_path):
        content, results = case(5)
        right, _ = judge(content, results, "bbox")
        del content["annotations"][0]["bbox"], content["annotations"][0]["iscrowd"]
        instances, found = read(tmp_path, content, results, images=folder)
        assert scores_of(found, "box") == pytest.approx(right, abs=1e-6, nan_ok=True)
        assert instances.notes == (
            "instances without a box that have the box of their mask: 1, the first of annotation 1",
        )


class TestIdsAndNames:
    def test_ids_written_as_floats(self, folder, tmp_path):
        content, results = case(6)
        expected = read(tmp_path, content, results, images=folder)[1].to_dict()
        for entry in (*content["annotations"], *results):
            entry |= {key: float(entry[key]) for key in ("image_id", "category_id")}
        assert read(tmp_path, content, results, images=folder)[1].to_dict() == expected
        assert judge(content, results, "segm")[0][:3] == pytest.approx(
            list(expected["metrics"]["mask"].values())[:3], abs=1e-6
        )

    def test_a_byte_order_mark(self, folder, tmp_path):
        content, results = case(6)
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content), "utf-8-sig")
        instances = read_annotations(path, images=folder)
        assert instances == read_annotations(content, images=folder)
        (tmp_path / "results.json").write_text(json.dumps(results), "utf-8-sig")
        assert len(read_detections(tmp_path / "results.json", instances).found) == 12

    @pytest.mark.parametrize(
        ("written", "stored"),
        [
            ("a%20b%2Bc.png", "a b+c.png"),
            ("a%20b.png", "a%20b.png"),
            ("sub\\a.png", "sub/a.png"),
            ("sub/%C3%A9.png", "sub/é.png"),
        ],
    )
    def test_names_as_other_systems_write_them(self, written, stored, tmp_path):
        (tmp_path / stored).parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(tmp_path / stored)
        content, _ = case(6, images=1)
        content["images"][0]["file_name"] = written
        (image,) = read_annotations(content, images=tmp_path).images
        assert (image.name, image.path) == (written, tmp_path / stored)

    @pytest.mark.parametrize("name", ["%2e%2e/0.png", "%2Fetc%2Fpasswd", "..%5C0.png"])
    def test_quoted_names_that_lead_out_are_refused(self, name, folder):
        content, _ = case(6, images=1)
        content["images"][0]["file_name"] = name
        with pytest.raises(ValueError, match="image 0: file_name: expected a name inside"):
            read_annotations(content, images=folder, skip_bad=True)


def test_order_of_scores():
    assert SCORES == ("AP", "AP50", "AP75", "APs", "APm", "APl")  # as pycocotools has them
