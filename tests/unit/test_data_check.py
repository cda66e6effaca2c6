import contextlib
import json
import math

import numpy as np
import pytest
from PIL import Image

from dealias.data import (
    Augmentation,
    DataError,
    Scenes,
    SegmentationDataModule,
    Splits,
    check_data,
    contact_sheet,
    write_picture,
)
from dealias.files import OutputError
from dealias.labels import ClassSet
from image_folders import cut_short, write_classes, write_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# A page: rows of three pairs of two pictures of 180 x 240, captions of 16, gaps of 4; a legend.
ROW, WIDTH, LINE = 180 + 16 + 2 * 4, 3 * (2 * 240 + 3 * 4), 18


@pytest.fixture
def root(tmp_path):
    """Three images to train on and one to validate, with labels counted by hand; class c unseen."""
    images = {
        "train/a": [[0, 0, 0, 1], [0, 0, 1, 255]],
        "train/b": [[1, 1, 1, 1], [1, 1, 1, 1]],
        "train/c": [[0, 0], [0, 0], [255, 255]],
        "val/d": [[0, 1, 2]],
    }
    for name, labels in images.items():
        labels = np.array(labels, np.uint8)
        colors = np.zeros((*labels.shape, 3), np.uint8)
        colors[:] = [200, 100, 50]
        write_image(tmp_path / f"labels/{name}.png", labels)
        write_image(tmp_path / f"images/{name}.png", colors)
    palette = [list(RED), list(GREEN), list(BLUE)]
    write_classes(tmp_path / "three.yaml", ["a", "b", "c"], palette=palette)
    return tmp_path


def module(root, **options):
    fixed = {
        "name": "folder",
        "root": root,
        "classes": root / "three.yaml",
        "workers": 0,
        "augmentation": Augmentation(crop_size=(4, 4), photometric=False),
    }
    return SegmentationDataModule(**fixed | options)


class TestCounts:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_by_hand(self, root, workers):
        found = check_data(module(root), workers=workers)
        train, val = found.splits
        assert found.ok
        assert (found.data_set, found.shared) == ("folder", [])
        assert train.classes == val.classes == ("a", "b", "c")
        assert (train.part, train.split, train.samples) == ("train", "train", 3)
        assert list(train.sizes.items()) == [((2, 4), 2), ((3, 2), 1)]
        assert train.pixels == [5 + 4, 2 + 8, 0]
        assert train.images == [2, 2, 0]
        assert train.void_pixels == 3
        assert train.unseen == [2]
        assert train.shares == [9 / 19, 10 / 19, 0]
        assert train.void_share == 3 / 22
        assert (val.part, val.samples, val.pixels, val.unseen) == ("val", 1, [1, 1, 1], [])
        assert train.unpaired == train.problems == []

    def test_limit(self, root):
        (train,) = check_data(module(root, limit=2), parts=["train"]).splits
        assert train.samples == 2
        assert train.pixels == [5, 10, 0]

    def test_labels_of_many_classes(self, root):
        write_classes(root / "three.yaml", [f"c{n}" for n in range(400)], ignore_index=-1)
        np.save(root / "labels/val/d.npy", np.array([[399, -1, 399]]))
        (root / "labels/val/d.png").unlink()
        (val,) = check_data(module(root), parts=["val"]).splits
        assert val.pixels == [0] * 399 + [2]
        assert val.void_pixels == 1

    def test_progress(self, root):
        opened, ticks = [], []

        @contextlib.contextmanager
        def progress(total):
            opened.append(total)
            yield lambda: ticks.append(1)

        check_data(module(root), progress=progress)
        assert (opened, len(ticks)) == ([4], 4)

    def test_scenes_of_each_part_are_read(self):
        scenes = Scenes(train=2, val=1, size=(64, 96))
        datamodule = SegmentationDataModule(name="scenes", scenes=scenes, workers=0)
        found = check_data(datamodule, parts=["train", "val", "test"])
        assert [(s.part, s.split, s.samples) for s in found.splits] == [
            ("train", "train", 2),
            ("val", "val", 1),
            ("test", "test", 1),
        ]
        for split in found.splits:
            assert sum(split.pixels) + split.void_pixels == split.samples * 64 * 96
        assert found.splits[1].pixels != found.splits[2].pixels
        assert found.ok

    def test_a_split_that_is_two_parts_is_read_once(self, root):
        found = check_data(module(root), parts=["val", "test", "train"])
        assert [split.part for split in found.splits] == ["val", "train"]
        assert found.ok

    @pytest.mark.parametrize("parts", [[], ["train", "valid"]])
    def test_bad_parts(self, root, parts):
        with pytest.raises(ValueError, match=r"^parts: expected at least one of train, val, test"):
            check_data(module(root), parts=parts)

    def test_no_split(self, root):
        with pytest.raises(DataError, match="nowhere"):
            check_data(module(root, splits=Splits(val="nowhere")))


class TestProblems:
    @pytest.mark.parametrize("workers", [0, 1])
    def test_each_is_listed_and_the_rest_counted(self, root, workers):
        cut_short(root / "images/train/a.png")
        write_image(root / "labels/train/c.png", [[0, 0], [0, 0]])
        write_image(root / "labels/val/d.png", [[0, 1, 7]])
        found = check_data(module(root), workers=workers)
        train, val = found.splits
        assert not found.ok
        assert (train.samples, train.pixels, train.sizes) == (3, [0, 8, 0], {(2, 4): 1})
        first, second = train.problems
        assert first.startswith(f"{root / 'images/train/a.png'}: ")
        assert second.startswith(f"{root / 'images/train/c.png'}: expected 2x2 pixels like")
        assert second.endswith("got 2x3")
        (third,) = val.problems
        assert third.startswith(f"{root / 'labels/val/d.png'}: expected classes 0..2")
        assert math.isnan(val.void_share)
        assert all(math.isnan(share) for share in val.shares)

    def test_files_without_a_partner(self, root):
        (root / "labels/train/b.png").unlink()
        found = check_data(module(root))  # listed, whatever skip_bad says
        assert not found.ok
        assert found.splits[0].samples == 2
        assert found.splits[0].unpaired == [root / "images/train/b.png"]

    def test_images_in_two_splits(self, root):
        for path in (root / "images/train/a.png", root / "labels/train/a.png"):
            path.rename(path.parents[1] / path.name)
        (root / "first.txt").write_text("a\ntrain/b\n", encoding="utf-8")
        (root / "second.txt").write_text("a\nval/d\n", encoding="utf-8")
        found = check_data(module(root, splits=Splits("first", "second")))
        assert found.shared == [root / "images/a.png"]
        assert not found.ok


class TestJson:
    def test_it_is_strict_and_whole(self, root):
        for path in (root / "images/val").iterdir():
            cut_short(path)
        found = check_data(module(root)).to_dict()
        again = json.loads(json.dumps(found, allow_nan=False))
        assert again == found
        train, val = again["splits"]
        assert again["ok"] is False
        assert train["sizes"][0] == {"height": 2, "width": 4, "samples": 2}
        assert train["classes"][1] == {"name": "b", "pixels": 10, "images": 2, "share": 10 / 19}
        assert train["unseen"] == ["c"]
        assert val["void_share"] is None
        assert [row["share"] for row in val["classes"]] == [None] * 3
        assert len(val["problems"]) == 1


class TestContactSheet:
    def test_size(self, root):
        for samples, crops, rows in ((12, 6, 3), (3, 0, 1), (2, 2, 2), (0, 0, 1)):
            page = contact_sheet(module(root), samples=samples, crops=crops)
            assert page.shape == (rows * ROW + LINE + 4, WIDTH, 3)
            assert page.dtype == np.uint8

    def test_pictures_and_colours(self, root):
        page = contact_sheet(module(root), samples=3, crops=0)
        top, left = 4 + 16, 4
        image, labels = (page[top : top + 180, x : x + 240] for x in (left, left + 240 + 4))
        # 4 x 2 pixels fill the width of a cell: 240 x 120.
        assert (image[:120] == [200, 100, 50]).all()
        assert (image[120:] == 255).all()
        centres = labels[30:120:60, 30:240:60]
        black = (0, 0, 0)
        assert centres.tolist() == [
            [list(c) for c in (RED, RED, RED, GREEN)],
            [list(c) for c in (RED, RED, GREEN, black)],
        ]
        # 2 x 3 pixels fill the height: 120 x 180; the third pair of the row.
        labels = page[top : top + 180, 2 * WIDTH // 3 + 2 * left + 240 :][:, :240]
        assert labels[30::60, 30:120:60].tolist() == [[list(RED)] * 2] * 2 + [[[0, 0, 0]] * 2]
        assert (labels[:, 120:] == 255).all()

    def test_the_legend(self, root):
        legend = contact_sheet(module(root), samples=1, crops=0)[ROW:]
        for number, color in enumerate((RED, GREEN, BLUE)):
            assert legend[8, number * 240 + 4 + 9].tolist() == list(color)

    def test_crops_are_those_of_training(self, root):
        still = Augmentation(crop_size=(4, 4), photometric=False, scale_range=(1.0, 1.0))
        datamodule = module(root, augmentation=still, batch_size=1)
        target = next(iter(datamodule.train_dataloader()))["target"][0]
        page = contact_sheet(datamodule, samples=0, crops=1)
        labels = page[20 : 20 + 180, 4 + 240 + 4 :][:, :180]
        colors = {0: RED, 1: GREEN, 2: BLUE, datamodule.classes.ignore_index: (0, 0, 0)}
        expected = [[list(colors[label]) for label in row] for row in target.tolist()]
        assert labels[22::45, 22::45].tolist() == expected

    def test_bad_samples_are_left_out(self, root):
        cut_short(root / "images/train/a.png")
        page = contact_sheet(module(root), samples=1, crops=0)  # b in place of a
        assert (page[20 : 20 + 120, 248 : 248 + 240] == GREEN).all()
        for path in (root / "images/train").iterdir():
            path.write_bytes(b"")
        assert (contact_sheet(module(root))[:ROW] == 255).all()

    def test_long_and_hostile_names(self, root):
        name = "ä\n\x1b[31m" + "x" * 200
        for folder in ("images", "labels"):
            (root / folder / "val/d.png").rename(root / folder / f"val/{name}.png")
        assert contact_sheet(module(root), part="val").shape == (2 * ROW + ROW + LINE + 4, WIDTH, 3)

    def test_the_file(self, root):
        path = root / "sheet.png"
        path.write_bytes(b"before")
        sheet = contact_sheet(module(root), samples=2, crops=1)
        write_picture(sheet, path)
        with Image.open(path) as image:
            assert np.array_equal(image, sheet)
        with pytest.raises(DataError):
            contact_sheet(module(root, splits=Splits(val="nowhere")), part="val")
        with pytest.raises(OutputError, match="nowhere"):
            write_picture(sheet, root / "nowhere" / "sheet.png")
        assert not list(root.glob(".*"))

    @pytest.mark.parametrize("void", [255, -1, 1000])
    def test_colours_of_void(self, void):
        classes = ClassSet("two", ("a", "b"), palette=(RED, BLUE), ignore_index=void)
        colored = classes.paint(np.array([[0, 1, void]]))
        assert colored.tolist() == [[list(RED), list(BLUE), [0, 0, 0]]]
