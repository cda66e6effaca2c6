import copy
import json
import os
import re

import pytest
import torch
from PIL import Image

from dealias.instance import (
    LIS_CLASSES,
    AnnotationError,
    DetectionsError,
    LisError,
    decode_masks,
    lis_files,
    match_categories,
    read_annotations,
    read_detections,
)

CLASSES = ("car", "person")


def square(id_, image, category, left, top, side, **more):
    corners = [left, top, left + side, top, left + side, top + side, left, top + side]
    return {
        "id": id_,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, side, side],
        "area": side * side,
        "segmentation": [corners],
        "iscrowd": 0,
    } | more


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 10)).save(folder / name)
    return folder


@pytest.fixture
def content():
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 20, "height": 10},
            {"id": 3, "file_name": "b.png", "width": 20, "height": 10},
        ],
        "annotations": [
            square(1, 7, 40, 2, 1, 4),
            square(2, 7, 5, 10, 3, 5, iscrowd=1),
            square(3, 3, 40, 0, 0, 3, area=8.5),
        ],
        "categories": [{"id": 40, "name": "Person"}, {"id": 5, "name": "car"}],
    }


class TestGoodFiles:
    def test_reads_everything(self, images, content, tmp_path):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        found = read_annotations(path, images=images, classes=CLASSES)
        assert found == read_annotations(content, images=images, classes=CLASSES)
        assert found.classes == CLASSES
        assert (found.skipped, found.ignored) == ((), {})
        first, second = found.images
        assert (first.id, first.name, first.path, first.size) == (
            7,
            "a.png",
            images / "a.png",
            (10, 20),
        )
        person, cars = first.instances
        assert (person.label, person.box, person.area, person.crowd) == (2, (2, 1, 6, 5), 16, False)
        assert (cars.label, cars.box, cars.crowd) == (1, (10, 3, 15, 8), True)
        assert second.instances[0].area == 8.5
        mask = decode_masks([person.mask], 10, 20)[0]
        assert torch.equal(mask.nonzero().amin(0), torch.tensor([1, 2]))
        assert mask.sum() == 16

    def test_without_classes_the_categories_are_they_in_order_of_ids(self, images, content):
        found = read_annotations(content, images=images)
        assert found.classes == ("car", "Person")

    def test_images_without_instances_stay(self, images, content):
        del content["annotations"][2]
        found = read_annotations(content, images=images)
        assert [len(image.instances) for image in found.images] == [2, 0]

    def test_area_is_that_of_the_mask_where_the_file_has_none(self, images, content):
        del content["annotations"][0]["area"], content["annotations"][0]["iscrowd"]
        instance = read_annotations(content, images=images).images[0].instances[0]
        assert (instance.area, instance.crowd) == (16, False)

    @pytest.mark.parametrize(
        ("polygon", "box", "area"),
        [
            # Annotation 918 of COCO's instances_train2017.json, moved.
            ([6.65, 8.33, 6.65, 8.33, 7.68, 8.33, 7.68, 8.33], [6.65, 8.33, 1.03, 0.0], 0.0),
            ([5.1, 5.1, 5.4, 5.1, 5.3, 5.4], [5.1, 5.1, 0.3, 0.3], 0.045),
        ],
    )
    def test_polygons_may_cover_no_pixel(self, images, content, polygon, box, area):
        content["annotations"][0] |= {"segmentation": [polygon], "bbox": box, "area": area}
        found = read_annotations(content, images=images)
        instance = found.images[0].instances[0]
        assert decode_masks([instance.mask], 10, 20).sum() == 0
        assert instance.area == area
        left, top, width, height = box
        assert instance.box == (left, top, left + width, top + height)
        assert found.notes == (
            "instances whose polygons cover no pixel, which no mask can match: 1, the first of "
            "annotation 1",
        )
        del content["annotations"][0]["bbox"]
        with pytest.raises(AnnotationError, match="bbox: expected one, as the mask has no pixel"):
            read_annotations(content, images=images)

    def test_a_larger_box_has_pixels(self, images, content):
        outside = [30.0, 1.0, 36.0, 1.0, 36.0, 6.0, 30.0, 6.0]  # of an image of another size
        content["annotations"][0] |= {"segmentation": [outside], "bbox": [2, 1, 6, 5], "area": 30}
        with pytest.raises(AnnotationError, match="segmentation: expected at least one pixel"):
            read_annotations(content, images=images)

    def test_coordinates_that_are_shares_of_the_image(self, images, content):
        share = {"segmentation": [[0.1, 0.2, 0.4, 0.2, 0.4, 0.6]], "bbox": [0.1, 0.2, 0.3, 0.4]}
        for entry in content["annotations"]:
            entry |= share | {"area": 0.06, "iscrowd": 0}
        with pytest.raises(AnnotationError, match="are coordinates shares of the image"):
            read_annotations(content, images=images)

    def test_other_categories_are_counted(self, images, content):
        found = read_annotations(
            content, images=images, classes=["person"], ignore_other_categories=True
        )
        assert found.ignored == {"car": 1}
        assert found.skipped == ()
        assert [[i.label for i in image.instances] for image in found.images] == [[1], [1]]


def breakages():
    """What to change, which entry breaks, and what is said of it."""

    zeros = {"size": [10, 20], "counts": [200]}
    broken = {"size": [10, 20], "counts": "zz"}

    def annotation(**changes):
        return lambda content: content["annotations"][0].update(changes)

    def image(**changes):
        return lambda content: content["images"][0].update(changes)

    def without(kind, key):
        return lambda content: content[kind][0].pop(key)

    def replaced(kind, by):
        return lambda content: content[kind].__setitem__(0, by)

    return [
        (image(file_name="c.png"), "image 7", "no such file: .*c.png"),
        (image(file_name=300 * "c"), "image 7", "no such file: .*ccc"),
        (image(file_name=""), "image 7", "file_name: expected a name"),
        (image(file_name=3), "image 7", "file_name: expected a name"),
        (without("images", "file_name"), "image 7", "file_name: missing"),
        (image(width=0), "image 7", "expected a size in pixels"),
        (image(width=10**9), "image 7", ".* pixels, more than .*; --max-pixels allows"),
        (image(height="10"), "image 7", "height: expected an integer, got '10'"),
        (image(id="7"), "image number 1", "id: expected an integer, got '7'"),
        (replaced("images", []), "image number 1", r"expected a mapping, got \[\]"),
        (annotation(image_id=99), "annotation 1", "image_id: expected the id of an image, got 99"),
        (annotation(image_id=[7]), "annotation 1", "image_id: expected the id of an image"),
        (annotation(category_id=6), "annotation 1", "category_id: expected the id of a category"),
        (annotation(bbox=[2, 1, 0, 4]), "annotation 1", "bbox: expected a positive width"),
        (annotation(bbox=[2, 1, 4, -4]), "annotation 1", "bbox: expected a positive width"),
        (annotation(bbox=[2, 1, 4]), "annotation 1", r"bbox: expected \[x, y, width, height\]"),
        (annotation(bbox=[2, 1, 4, float("inf")]), "annotation 1", r"bbox: expected \[x, y"),
        (annotation(bbox=[10**400, 1, 4, 4]), "annotation 1", r"bbox: expected \[x, y"),
        (
            annotation(bbox=[20, 1, 4, 4]),
            "annotation 1",
            "bbox: expected a box in the image of 20",
        ),
        (annotation(bbox=[2, 1, 1e9, 4]), "annotation 1", "bbox: expected a box in the image"),
        (annotation(bbox=[-5, 1, 4, 4]), "annotation 1", "bbox: expected a box in the image"),
        (annotation(bbox=[2, 10, 4, 4]), "annotation 1", "bbox: expected a box in the image"),
        (annotation(bbox=[2, -5, 4, 4]), "annotation 1", "bbox: expected a box in the image"),
        (annotation(bbox=[-21, 1, 30, 4]), "annotation 1", "bbox: expected a box in the image"),
        (annotation(bbox=[2, 1, 4, 19.5]), "annotation 1", "bbox: expected a box in the image"),
        (annotation(segmentation=[[1, 1, 2, 2]]), "annotation 1", "segmentation: .* three points"),
        (annotation(segmentation=zeros), "annotation 1", "segmentation: .* at least one pixel"),
        (annotation(segmentation=broken), "annotation 1", "segmentation: expected run lengths"),
        (without("annotations", "segmentation"), "annotation 1", "segmentation: missing"),
        (annotation(area=-1), "annotation 1", "area: expected a number from 0 on, .* got -1"),
        (annotation(area="9"), "annotation 1", "area: expected a number from 0 on, .* got '9'"),
        (annotation(area=2e10), "annotation 1", "area: .* at most 1e.10, got 2"),
        (annotation(area=float("nan")), "annotation 1", "area: expected a number from 0 on"),
        (annotation(area=10**400), "annotation 1", "area: expected a number from 0 on"),
        (annotation(segmentation=[[10**400] * 6]), "annotation 1", "segmentation: .* coordinates"),
        (annotation(segmentation=[[[]] * 6]), "annotation 1", "segmentation: .* coordinates"),
        (annotation(segmentation=[{"a": 1}]), "annotation 1", "segmentation: expected a polygon"),
        (
            annotation(segmentation=[[0, 0, 20, 10] * 10**5 * 3]),
            "annotation 1",
            "segmentation: expected an outline of at most 4,194,304 pixels",
        ),
        (annotation(segmentation={"size": []}), "annotation 1", "segmentation: .* of size"),
        (
            annotation(segmentation={"size": [10**9, 10**9], "counts": [10**18]}),
            "annotation 1",
            r"segmentation: expected run lengths of size \[10, 20\]",
        ),
        (
            annotation(segmentation={"size": [10, 20], "counts": [2**70, -(2**70) + 200]}),
            "annotation 1",
            "segmentation: expected run lengths from 0 on",
        ),
        (
            annotation(segmentation={"size": [10, 20], "counts": "o" * 100}),
            "annotation 1",
            "segmentation: expected run lengths of at most 60 bits",
        ),
        (image(file_name="d/" * 10**5), "image 7", "no such file"),
        (image(file_name="\ud800.png"), "image 7", "no such file"),
        (image(height=1, width=70_000), "image 7", "expected sides up to 65,535, got 70000x1"),
        (annotation(iscrowd=2), "annotation 1", "iscrowd: expected 0 or 1, got 2"),
        (replaced("annotations", "x"), "annotation number 1", "expected a mapping, got 'x'"),
    ]


class TestBadEntries:
    @pytest.mark.parametrize(("change", "entry", "reason"), breakages())
    def test_are_an_error_or_skipped_and_listed(self, images, content, change, entry, reason):
        good = read_annotations(content, images=images, classes=CLASSES)
        change(content)
        with pytest.raises(
            AnnotationError, match=f"^annotations: .*can't be used: {entry}: {reason}"
        ):
            read_annotations(content, images=images, classes=CLASSES)
        found = read_annotations(content, images=images, classes=CLASSES, skip_bad=True)
        assert re.match(f"{entry}: {reason}", str(found.skipped[0]))
        # Where an image has no id, what belongs to it can't be told.
        assert len(found.skipped) == (3 if entry == "image number 1" else 1)
        if entry.startswith("image"):
            assert found.images == good.images[1:]
        else:
            assert found.images[0].instances == good.images[0].instances[1:]
            assert found.images[1] == good.images[1]

    def test_a_category_that_is_no_class(self, images, content):
        message = "annotation 2: category 'car': no class"
        with pytest.raises(AnnotationError, match=message):
            read_annotations(content, images=images, classes=["person"])
        found = read_annotations(content, images=images, classes=["person"], skip_bad=True)
        assert [str(problem) for problem in found.skipped] == [message]

    def test_many_are_counted(self, images, content):
        content["annotations"] = [square(k, 7, 6, 0, 0, 3) for k in range(1200)]
        with pytest.raises(AnnotationError, match=r"1,200 entries .*; and 1192 more"):
            read_annotations(content, images=images)

    def test_nothing_left_is_an_error(self, images, content):
        for entry in content["annotations"]:
            entry["bbox"] = [0, 0, 0, 0]
        with pytest.raises(AnnotationError, match="no instance of car, person that can be used"):
            read_annotations(content, images=images, classes=CLASSES, skip_bad=True)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected JSON, got an empty file"),
            (" \n", "expected JSON, got an empty file"),
            ("{", "expected JSON: "),
            ("\xff", "expected JSON: "),
            ("[" * 100_000, "expected JSON, got too many levels"),
            ("[]", "expected a mapping with a list 'images'"),
            ('{"images": {}}', "expected a mapping with a list 'images'"),
            ('{"images": []}', "expected at least one entry of 'images', got none"),
            ('{"images": [1]}', "expected a mapping with a list 'annotations'"),
        ],
    )
    def test_no_annotations(self, tmp_path, images, text, message):
        path = tmp_path / "annotations.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(AnnotationError, match=f"annotations.json: {message}"):
            read_annotations(path, images=images, skip_bad=True)

    def test_lists_without_end(self, tmp_path, images, content):
        path = tmp_path / "a.json"
        path.write_text(f"[{'[],' * 2**21}0]")
        with pytest.raises(AnnotationError, match=r"a\.json: expected JSON of few lists"):
            read_annotations(path, images=images, skip_bad=True)
        with pytest.raises(DetectionsError, match=r"a\.json: expected JSON of few lists"):
            read_detections(path, read_annotations(content, images=images))

    def test_what_does_not_end(self, images, content):
        (images / "zero.json").symlink_to("/dev/zero")
        os.mkfifo(images / "pipe.json")
        for name in ("zero.json", "pipe.json"):
            with pytest.raises(AnnotationError, match=f"{name}: expected a regular file"):
                read_annotations(images / name, images=images)
            with pytest.raises(DetectionsError, match=f"{name}: expected a regular file"):
                read_detections(images / name, read_annotations(content, images=images))

    def test_categories_without_end(self, images, content):
        content["categories"] += [{"id": k, "name": f"{k}"} for k in range(100, 10**5)]
        with pytest.raises(AnnotationError, match="categories: expected at most 65,535"):
            read_annotations(content, images=images)
        content["categories"] = [{"id": k, "name": "aA"[k % 2] * (k // 2)} for k in range(2000)]
        with pytest.raises(AnnotationError, match=r"class 'car': no category .* more") as caught:
            read_annotations(content, images=images, classes=["car"])
        assert len(str(caught.value)) < 5000

    def test_no_file(self, tmp_path, images):
        with pytest.raises(AnnotationError, match=r"none\.json: no such file"):
            read_annotations(tmp_path / "none.json", images=images)

    def test_no_folder_of_images(self, tmp_path, content):
        with pytest.raises(AnnotationError, match=r"expected images in .*none, which is no folder"):
            read_annotations(content, images=tmp_path / "none")

    @pytest.mark.parametrize(
        "name",
        [
            "../b.png",
            "x/../../b.png",
            "/etc/passwd",
            "C:\\b.png",
            "..\\b.png",
            "\\b.png",
            "a\0.png",
        ],
    )
    def test_paths_that_lead_out_are_refused_even_if_asked_to_skip(self, images, content, name):
        (images.parent / "b.png").write_bytes(b"")
        content["images"][0]["file_name"] = name
        with pytest.raises(AnnotationError, match="image 7: file_name: expected a name inside"):
            read_annotations(content, images=images, skip_bad=True)

    def test_names_of_subfolders_are_fine(self, images, content):
        (images / "sub").mkdir()
        (images / "a.png").rename(images / "sub" / "a.png")
        content["images"][0]["file_name"] = "sub/a.png"
        assert read_annotations(content, images=images).images[0].path == images / "sub" / "a.png"

    @pytest.mark.parametrize("kind", ["images", "categories"])
    def test_ids_that_occur_twice(self, images, content, kind):
        content[kind].append(copy.deepcopy(content[kind][0]))
        with pytest.raises(AnnotationError, match=f"{kind}: two have the id"):
            read_annotations(content, images=images, skip_bad=True)

    def test_an_annotation_whose_id_another_has(self, images, content):
        content["annotations"].append(copy.deepcopy(content["annotations"][0]))
        with pytest.raises(AnnotationError, match="annotation 1: another has this id"):
            read_annotations(content, images=images)
        found = read_annotations(content, images=images, skip_bad=True)
        assert [str(problem) for problem in found.skipped] == ["annotation 1: another has this id"]

    def test_one_file_under_two_names(self, images, content):
        content["images"][0]["file_name"] = "./b.png"
        with pytest.raises(AnnotationError, match=r"image 3: another has the file name 'b\.png'"):
            read_annotations(content, images=images)

    def test_categories_without_a_name(self, images, content):
        content["categories"][0].pop("name")
        with pytest.raises(AnnotationError, match="categories: expected an id and a name"):
            read_annotations(content, images=images, skip_bad=True)

    def test_a_class_that_is_no_category(self, images, content):
        with pytest.raises(AnnotationError, match=r"class 'bus': no category .* Person, car"):
            read_annotations(content, images=images, classes=["car", "bus"], skip_bad=True)


class TestCategories:
    def test_coco_names_for_the_classes_of_lis(self):
        coco = {2: "bicycle", 3: "car", 4: "motorcycle", 6: "bus", 44: "bottle", 62: "chair"}
        coco |= {67: "dining table", 72: "tv", 1: "person"}
        labels = match_categories(coco, LIS_CLASSES)
        assert labels == {2: 1, 3: 2, 4: 3, 6: 4, 44: 5, 62: 6, 67: 7, 72: 8}

    def test_names_of_lis_in_another_order(self):
        shuffled = dict(enumerate(reversed(LIS_CLASSES)))
        labels = match_categories(shuffled, LIS_CLASSES)
        assert all(LIS_CLASSES[labels[id_] - 1] == name for id_, name in shuffled.items())

    def test_two_categories_of_one_name(self):
        with pytest.raises(ValueError, match="class 'tv': 2 categories of this name"):
            match_categories({1: "tv", 2: "tv"}, ["tv"])
        with pytest.raises(ValueError, match="class 'TV': 2 categories of this name"):
            match_categories({1: "tv", 2: "TV monitor"}, ["TV"])

    def test_a_class_twice(self):
        with pytest.raises(ValueError, match="classes: expected names that differ"):
            match_categories({1: "tv"}, ["tv", "tvmonitor"])


class TestLisLayout:
    @pytest.fixture
    def root(self, tmp_path):
        for shot, ending in (("RGB-dark", "JPG"), ("RAW-normal", "png")):
            (tmp_path / shot / "JPEGImages").mkdir(parents=True)
            (tmp_path / shot / "JPEGImages" / f"1.{ending}").touch()
        (tmp_path / "annotations").mkdir()
        for name in ("JPG_train+1", "png_test", "JPG_test", "png_train+1"):
            (tmp_path / "annotations" / f"lis_coco_{name}.json").touch()
        return tmp_path

    def test_suffixes_are_in_either_case(self, root):
        images = root / "RGB-dark" / "JPEGImages"
        (images / "1.JPG").rename(images / "1.PNG")
        assert lis_files(root, "RGB-dark", "train").annotations.name == "lis_coco_png_train+1.json"

    def test_dark_images_have_plus_one_and_the_kind_is_that_of_the_images(self, root):
        images, annotations = lis_files(root, "RGB-dark", "train")
        assert images == root / "RGB-dark" / "JPEGImages"
        assert annotations.name == "lis_coco_JPG_train+1.json"
        assert lis_files(root, "RAW-normal", "test").annotations.name == "lis_coco_png_test.json"

    @pytest.mark.parametrize(
        ("shot", "split", "message"),
        [
            ("RGB-normal", "train", "RGB-normal/JPEGImages: not a folder"),
            ("RGB-dark", "traintest", "lis_coco_JPG_traintest.1.json: no such file"),
        ],
    )
    def test_what_is_missing_is_said_with_the_layout(self, root, shot, split, message):
        with pytest.raises(LisError, match=rf"(?s){message}.*Looked in .*annotations/lis_coco_"):
            lis_files(root, shot, split)

    def test_unknown_parts(self, root):
        with pytest.raises(LisError, match="shot: expected one of RGB-normal"):
            lis_files(root, "RGB", "train")
        with pytest.raises(LisError, match="split: expected one of train"):
            lis_files(root, "RGB-dark", "val")
