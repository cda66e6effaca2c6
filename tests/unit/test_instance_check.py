"""What is found by looking through a data set with instances."""

import contextlib
import json

import numpy as np
import pytest
from PIL import Image

from dealias.data import DataError, Splits, write_picture
from dealias.files import OutputError
from dealias.instance import (
    AnnotationError,
    Dark,
    InstanceDataModule,
    check_instances,
    instance_contact_sheet,
)
from dealias.labels import LabelFileError, spread_colors
from image_folders import cut_short, write_image
from squares import SIZE, write_squares

# A page: rows of two pairs of two pictures of 270 x 360, captions of 16, gaps of 4; a legend.
ROW, WIDTH, LEGEND = 270 + 16 + 2 * 4, 2 * (2 * 360 + 3 * 4), 18 + 4


@pytest.fixture
def options(tmp_path):
    return write_squares(tmp_path)


@pytest.fixture
def camvid_like(tmp_path):
    """Two images of a car and a pedestrian each, in the layout of CamVid."""
    for name in ("a", "b"):
        labels = np.full((20, 30), 11, np.uint8)
        labels[2:6, 3:8], labels[10:18, 20:25] = 8, 9
        write_image(tmp_path / "val" / f"{name}.png", np.zeros((20, 30, 3)))
        write_image(tmp_path / "valannot" / f"{name}.png", labels)
    return {"name": "camvid", "root": tmp_path, "workers": 0}


def change(folder, split="train"):
    """The annotations of a split, to be changed; they are written when the context ends."""

    @contextlib.contextmanager
    def changing():
        path = folder / f"{split}.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        yield content
        path.write_text(json.dumps(content), encoding="utf-8")

    return changing()


def counts(split):
    return {
        row.name: (row.instances, row.images, row.crowds, row.small, row.medium, row.large)
        for row in split.classes
    }


class TestCounts:
    def test_of_the_squares(self, options):
        found = check_instances(InstanceDataModule(**options))
        assert found.ok
        assert (found.data_set, found.shared) == ("coco", [])
        assert [(s.part, s.split, s.images, s.sizes, s.empty) for s in found.splits] == [
            ("train", "train", 6, {SIZE: 6}, 0),
            ("val", "val", 6, {SIZE: 6}, 0),
        ]
        for split in found.splits:  # a red and a blue one in each image, 23 pixels wide at most
            assert counts(split) == dict.fromkeys(("red", "blue"), (6, 6, 0, 6, 0, 0))
            assert (split.instances, split.unseen, split.ignored) == (12, [], {})

    @pytest.mark.parametrize("workers", [0, 2])
    def test_by_hand(self, options, tmp_path, workers):
        with change(tmp_path) as content:
            red = content["annotations"][::2]
            for annotation, area in zip(red, (1023.5, 1024, 9215.5, 9216), strict=False):
                annotation["area"] = area
            red[4]["iscrowd"] = 1
            red[5]["image_id"] = 0  # two red ones in the first image and none in the last
            del content["annotations"][11]  # the blue one of the last image
            content["categories"].append({"id": 7, "name": "green"})
            content["annotations"][1]["category_id"] = 7  # the blue one of the first
        write_image(tmp_path / "train" / "3.png", np.zeros((30, 90, 3)))
        with change(tmp_path) as content:
            content["images"][3] |= {"height": 30, "width": 90}
            content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 3]
        found = check_instances(InstanceDataModule(**options), parts=["train"], workers=workers)
        (train,) = found.splits
        assert found.ok
        assert (train.images, train.empty) == (6, 2)  # the one made anew, and the last
        assert list(train.sizes.items()) == [(SIZE, 5), ((30, 90), 1)]
        # Of the red ones the large one is gone, one is a crowd, one is as it was.
        assert counts(train) == {"red": (4, 3, 1, 2, 2, 0), "blue": (3, 3, 0, 3, 0, 0)}
        assert train.ignored == {"green": 1}

    def test_areas_are_parted_as_in_the_average_precision(self, options, tmp_path):
        with change(tmp_path) as content:
            areas = (1023.5, 1024, 9215.5, 9216, 40_000, 1)
            for annotation, area in zip(content["annotations"][::2], areas, strict=True):
                annotation["area"] = area
        (train,) = check_instances(InstanceDataModule(**options), parts=["train"]).splits
        assert counts(train)["red"] == (6, 6, 0, 2, 2, 2)

    def test_an_image_with_a_crowd_alone_is_empty(self, options, tmp_path):
        with change(tmp_path) as content:
            for annotation in content["annotations"][:2]:
                annotation["iscrowd"] = 1
        (train,) = check_instances(InstanceDataModule(**options), parts=["train"]).splits
        assert train.empty == 1
        assert counts(train) == dict.fromkeys(("red", "blue"), (5, 5, 1, 5, 0, 0))

    def test_a_class_without_an_instance(self, options, tmp_path):
        with change(tmp_path) as content:
            for annotation in content["annotations"]:
                annotation["iscrowd"] = int(annotation["category_id"] == 2)
        found = check_instances(InstanceDataModule(**options), parts=["train"])
        assert found.splits[0].unseen == ["blue"]
        assert found.ok

    def test_limit_and_progress(self, options):
        opened, ticks = [], []

        @contextlib.contextmanager
        def progress(total):
            opened.append(total)
            yield lambda: ticks.append(1)

        found = check_instances(InstanceDataModule(**options, limit=2), progress=progress)
        assert [split.images for split in found.splits] == [2, 2]
        assert (opened, len(ticks)) == ([4], 4)

    def test_a_split_that_is_two_parts_is_read_once(self, options):
        found = check_instances(InstanceDataModule(**options), parts=["val", "test", "train"])
        assert [split.part for split in found.splits] == ["val", "train"]
        assert found.ok

    @pytest.mark.parametrize("parts", [[], ["train", "valid"]])
    def test_bad_parts(self, options, parts):
        with pytest.raises(ValueError, match=r"^parts: expected at least one of train, val, test"):
            check_instances(InstanceDataModule(**options), parts=parts)

    def test_json(self, options, tmp_path):
        with change(tmp_path) as content:
            content["annotations"][0]["bbox"] = [0, 0, 0, 0]
        result = check_instances(InstanceDataModule(**options)).to_dict()
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        (train, val) = result["splits"]
        assert result["ok"] is False
        assert train["sizes"] == [{"height": 48, "width": 64, "samples": 6}]
        assert (train["images"], train["instances"], val["instances"]) == (6, 11, 12)
        assert train["classes"][0]["small"] == 5
        assert (len(train["problems"]), val["problems"]) == (1, [])


class TestProblems:
    def test_annotations_are_listed_and_the_rest_counted(self, options, tmp_path):
        (tmp_path / "train" / "5.png").unlink()
        with change(tmp_path) as content:
            first, second, third = content["annotations"][:3]
            first["bbox"] = [3, 3, 0, 7]
            second["segmentation"] = [[1, 1, 2, 2]]
            third["category_id"] = 9
        data = InstanceDataModule(**options)  # listed, whatever skip_bad says
        found = check_instances(data)
        train, val = found.splits
        assert not found.ok
        assert (train.images, train.empty) == (5, 1)
        assert counts(train) == {"red": (3, 3, 0, 3, 0, 0), "blue": (4, 4, 0, 4, 0, 0)}
        image, *annotations = train.problems
        assert image == f"image 5: no such file: {tmp_path / 'train/5.png'}"
        assert annotations[0].startswith("annotation 1: bbox: expected a positive width and height")
        assert annotations[1].startswith("annotation 2: segmentation: expected a polygon of three")
        assert annotations[2] == "annotation 3: category_id: expected the id of a category, got 9"
        assert val.problems == []
        with pytest.raises(AnnotationError, match="4 entries can't be used"):
            data.instances("train")

    @pytest.mark.parametrize("workers", [0, 1])
    def test_images_that_can_not_be_used(self, options, tmp_path, workers):
        cut_short(tmp_path / "train" / "1.png")
        write_image(tmp_path / "train" / "4.png", np.zeros((20, 30, 3)))
        found = check_instances(InstanceDataModule(**options), workers=workers)
        train = found.splits[0]
        assert not found.ok
        assert (train.images, train.sizes) == (6, {SIZE: 4})
        assert counts(train) == dict.fromkeys(("red", "blue"), (4, 4, 0, 4, 0, 0))
        first, second = train.problems
        assert first.startswith(f"{tmp_path / 'train/1.png'}: can't be read")
        assert second.endswith("expected 64x48 pixels, as its annotations say, got 30x20")

    def test_images_in_two_splits(self, options):
        options["images"]["val"] = "train"
        found = check_instances(InstanceDataModule(**options, limit=1))
        assert [path.name for path in found.shared] == ["0.png"]
        assert not found.ok

    def test_an_image_twice_in_one_split_is_a_problem_but_not_in_two(self, options, tmp_path):
        with change(tmp_path) as content:
            content["images"][1]["file_name"] = "0.png"
        found = check_instances(InstanceDataModule(**options), parts=["train"])
        assert found.shared == []
        (problem,) = found.splits[0].problems
        assert problem.endswith("another has the file name '0.png'")
        with pytest.raises(AnnotationError, match="another has the file name"):
            InstanceDataModule(**options).instances("train")

    def test_annotations_of_which_nothing_is_left_say_why(self, options, tmp_path):
        for path in (tmp_path / "train").iterdir():
            path.unlink()
        with pytest.raises(AnnotationError, match=r"no instance of red, blue .* no such file"):
            check_instances(InstanceDataModule(**options))

    def test_no_split(self, options):
        with pytest.raises(DataError, match="nowhere"):
            check_instances(InstanceDataModule(**options, splits=Splits(val="nowhere")))


class TestLabelMaps:
    def test_counts(self, camvid_like):
        (val,) = check_instances(InstanceDataModule(**camvid_like), parts=["val"]).splits
        assert (val.images, val.sizes, val.problems) == (2, {(20, 30): 2}, [])
        assert counts(val)["Car"] == counts(val)["Pedestrian"] == (2, 2, 0, 2, 0, 0)
        assert val.unseen == ["Bicyclist", "SignSymbol"]

    def test_files_that_can_not_be_used(self, camvid_like, tmp_path):
        write_image(tmp_path / "val" / "c.png", np.zeros((20, 30, 3)))
        (tmp_path / "valannot" / "a.png").write_bytes(b"")
        found = check_instances(InstanceDataModule(**camvid_like), parts=["val"])
        (val,) = found.splits
        assert not found.ok
        assert (val.images, val.instances) == (1, 2)
        assert val.problems[0] == f"{tmp_path / 'val/c.png'}: no partner"
        assert val.problems[1].startswith(f"{tmp_path / 'valannot/a.png'}: ")
        data = InstanceDataModule(**camvid_like, skip_bad=True)
        assert len(data.instances("val")) == 1
        assert data.skipped == [f"val: {problem}" for problem in val.problems]

    def test_none_that_can_be_used(self, camvid_like, tmp_path):
        for path in (tmp_path / "valannot").iterdir():
            path.write_bytes(b"")
        with pytest.raises(LabelFileError, match=r"a\.png"):
            check_instances(InstanceDataModule(**camvid_like), parts=["val"])


class TestContactSheet:
    def test_size(self, options):
        for samples, rows in ((12, 3), (3, 2), (0, 1)):
            page = instance_contact_sheet(InstanceDataModule(**options), samples=samples)
            assert page.shape == (rows * ROW + LEGEND, WIDTH, 3)
            assert page.dtype == np.uint8

    def test_outlines_are_on_the_left_in_the_colours_of_the_classes(self, options):
        data = InstanceDataModule(**options)
        page = instance_contact_sheet(data, samples=1)
        left, right = (page[20 : 20 + 270, x : x + 360] for x in (4, 4 + 360 + 4))
        record = data.instances("train").images[0]
        colors = spread_colors(len(data.classes)).astype(int)
        for instance, color in zip(record.instances, colors, strict=True):
            x, y, _, _ = instance.box
            corner = int((y + 0.5) * 5.625), int((x + 0.5) * 5.625)  # of 48 x 64 pixels
            assert np.abs(left[corner] - color).max() < 5  # it is resized smoothly
            assert np.abs(right[corner] - color).max() > 20
        assert (page[ROW + 8, [13, 240 + 13]] == colors).all()  # the legend

    def test_what_training_sees_is_resized_and_dark(self, options):
        def seen(**changed):
            data = InstanceDataModule(**options | changed)
            return instance_contact_sheet(data, samples=1)[20 : 20 + 270, 368 : 368 + 360]

        assert not np.array_equal(seen(), seen(size=(16, 12)))
        dark = seen(dark=Dark())
        assert dark.mean() < 0.9 * seen().mean()
        assert np.array_equal(dark, seen(dark=Dark()))
        assert not np.array_equal(dark, seen(dark=Dark(), seed=1))

    def test_bad_images_are_left_out(self, options, tmp_path):
        expected = instance_contact_sheet(InstanceDataModule(**options, limit=None), samples=6)
        cut_short(tmp_path / "train" / "0.png")
        page = instance_contact_sheet(InstanceDataModule(**options), samples=1)  # 1 in place of 0
        assert np.array_equal(page[:ROW, : WIDTH // 2], expected[:ROW, WIDTH // 2 :])
        for path in (tmp_path / "train").iterdir():
            path.write_bytes(b"")
        assert (instance_contact_sheet(InstanceDataModule(**options))[:ROW] == 255).all()

    def test_the_file(self, options, tmp_path):
        data, path = InstanceDataModule(**options, dark=Dark()), tmp_path / "sheet.png"
        sheet = instance_contact_sheet(data, part="val", samples=2)
        write_picture(sheet, path)
        with Image.open(path) as image:
            assert np.array_equal(image, sheet)
        with pytest.raises(OutputError, match="nowhere"):
            write_picture(sheet, tmp_path / "nowhere" / "sheet.png")
