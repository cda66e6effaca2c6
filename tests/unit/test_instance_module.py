"""Batches of instances, and what tests of networks for instances find."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dealias.data import DataError, Splits
from dealias.evaluation.instances.evaluation import coco_results
from dealias.files import write_json
from dealias.instance import (
    AnnotationError,
    Dark,
    Detections,
    InstanceAugmentation,
    InstanceDataModule,
    InstanceEvaluation,
    LisError,
)
from dealias.lowlight import LowLight
from squares import SIZE, write_squares

STILL = InstanceAugmentation(flip=0.0)


@pytest.fixture
def options(tmp_path):
    return write_squares(tmp_path)


def batches(data, count):
    loader = iter(data.train_dataloader())
    return [next(loader) for _ in range(count)]


def assert_same(first, second):
    assert first["name"] == second["name"]
    for a, b in zip(first["image"], second["image"], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first["target"], second["target"], strict=True):
        assert torch.equal(a["boxes"], b["boxes"])
        assert torch.equal(a["masks"], b["masks"])


def test_files_are_those_of_images_and_annotations(options):
    data = InstanceDataModule(**options)
    *images, annotations = data.files("test")
    assert images == [image.path for image in data.prepare("test")]
    root = Path(options["root"])
    assert annotations == root / options["annotations"][data.source.splits["test"]]


def test_files_of_label_maps_are_these(tmp_path):
    for split in ("val", "valannot"):
        (tmp_path / split).mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "val" / "a.png")
    labels = np.full((64, 64), 8, np.uint8)  # a car
    Image.fromarray(labels).save(tmp_path / "valannot" / "a.png")
    data = InstanceDataModule(name="camvid", root=tmp_path, workers=0)
    files = [tmp_path / split / "a.png" for split in ("val", "valannot")]
    assert data.files("test") == files


class TestTraining:
    @pytest.mark.parametrize("dark", [None, Dark()])
    def test_the_same_seed_gives_the_same_batches_and_another_gives_others(self, options, dark):
        drawn = [
            batches(InstanceDataModule(**options, dark=dark, seed=seed), 3) for seed in (5, 5, 6)
        ]
        for first, second in zip(*drawn[:2], strict=True):
            assert_same(first, second)
        assert any(a["name"] != b["name"] for a, b in zip(drawn[0], drawn[2], strict=True))

    def test_workers_change_nothing(self, options):
        alone = batches(InstanceDataModule(**options, dark=Dark()), 3)
        shared = batches(InstanceDataModule(**options | {"workers": 2}, dark=Dark()), 3)
        for first, second in zip(alone, shared, strict=True):
            assert_same(first, second)

    def test_an_epoch_takes_every_image_once(self, options):
        names = [
            name for batch in batches(InstanceDataModule(**options), 3) for name in batch["name"]
        ]
        assert sorted(names) == [f"{index}.png" for index in range(6)]

    @pytest.mark.parametrize("flip", [False, True])
    def test_about_half_of_the_images_are_flipped_if_asked(self, options, flip, tmp_path):
        drawn = batches(
            InstanceDataModule(**options, augmentation=InstanceAugmentation(0.5 * flip)), 30
        )
        turned = 0
        for name, image in (
            pair for batch in drawn for pair in zip(batch["name"], batch["image"], strict=True)
        ):
            with Image.open(tmp_path / "train" / name) as file:
                stored = torch.from_numpy(np.array(file)).permute(2, 0, 1)
            same = torch.equal(image, stored)
            assert same or torch.equal(image, stored.flip(-1))
            turned += not same
        assert 15 < turned < 45 if flip else turned == 0

    def test_an_image_is_dark_in_another_way_at_each_visit(self, options):
        visits = {}
        for batch in batches(InstanceDataModule(**options, dark=Dark(), augmentation=STILL), 6):
            for name, image in zip(batch["name"], batch["image"], strict=True):
                visits.setdefault(name, []).append(image)
        assert [len(images) for images in visits.values()] == [2] * 6
        assert not any(torch.equal(*images) for images in visits.values())

    def test_noise_is_for_tests_alone(self, options):
        quiet, noisy = (
            batches(InstanceDataModule(**options, augmentation=STILL, noise=sigma), 1)[0]
            for sigma in (0.0, 40.0)
        )
        assert_same(quiet, noisy)

    def test_dark_images_come_with_their_bright_copies_if_asked(self, options):
        data = InstanceDataModule(**options, dark=Dark(keep_bright=True), augmentation=STILL)
        (batch,) = batches(data, 1)
        for bright, dark in zip(batch["bright"], batch["image"], strict=True):
            assert bright.shape == dark.shape == (3, *SIZE)
            assert bright.float().mean() > dark.float().mean()
        assert "bright" not in batches(InstanceDataModule(**options, dark=Dark()), 1)[0]

    def test_images_to_test_come_with_what_they_were(self, options):
        small = options | {"size": (32, 24)}
        data = InstanceDataModule(**small, dark=Dark())
        (batch,) = itertools.islice(data.val_dataloader(), 1)
        assert batch["image"][0].shape == (3, 24, 32)
        with Image.open(batch["record"][0].path) as file:
            stored = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
        assert torch.equal(batch["original"][0], stored)
        (batch,) = itertools.islice(InstanceDataModule(**small).val_dataloader(), 1)
        assert "original" not in batch

    def test_bad_images_are_replaced_and_listed_if_asked(self, options, tmp_path):
        (tmp_path / "train" / "2.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"2\.png: not an image"):
            batches(InstanceDataModule(**options), 3)
        found = batches(InstanceDataModule(**options, skip_bad=True), 3)
        assert [len(batch["image"]) for batch in found] == [2, 2, 2]
        (message,) = {message for batch in found for message in batch["skipped"]}
        assert "2.png" in message

    def test_no_image_that_can_be_read(self, options, tmp_path):
        for path in (tmp_path / "train").iterdir():
            path.write_bytes(b"no image")
        with pytest.raises(ValueError, match="21 samples in a row can't be used"):
            batches(InstanceDataModule(**options, skip_bad=True), 1)

    def test_the_last_of_many_bad_images_is_named(self, options, tmp_path):
        for path in (tmp_path / "train").iterdir():
            path.write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"^(.*\.png): 21 samples in a row .* for: \1: not an"):
            batches(InstanceDataModule(**options, skip_bad=True), 1)


class TestEvaluation:
    def test_images_are_resized_and_instances_are_not(self, options):
        data = InstanceDataModule(**options | {"size": [32, 24]})
        found = list(data.val_dataloader())
        assert len(found) == len(data.val_dataloader()) == 6
        assert found[0]["image"][0].shape == (3, 24, 32)
        assert found[0]["record"][0].size == SIZE
        assert len(found[0]["record"][0].instances) == 2

    def test_images_keep_their_size_without_one(self, options):
        (batch, *_) = InstanceDataModule(**options | {"size": None}).val_dataloader()
        assert batch["image"][0].shape == (3, *SIZE)

    def test_they_are_darkened_by_its_options_after_resizing(self, options):
        options = options | {"size": (32, 24)}
        dark = {"dark": Dark(ratio=(60, 70), output="srgb")}
        (plain, *_), (found, *_) = (
            InstanceDataModule(**options, **more).val_dataloader() for more in ({}, dark)
        )
        expected = LowLight(ratio=(60, 70), output="srgb", seed=0)(plain["image"][0])
        assert torch.equal(found["image"][0], expected)

    def test_splits(self, options):
        found = [
            InstanceDataModule(**options, splits=given).source.splits
            for given in (Splits(), Splits(val="a"), Splits(val="a", test="b"))
        ]
        assert [(one["val"], one["test"]) for one in found] == [
            ("val", "val"),
            ("a", "a"),
            ("a", "b"),
        ]
        lis = InstanceDataModule(name="lis").source.splits
        assert lis == {"train": "train", "val": "test", "test": "test"}

    def test_darkness_is_the_same_every_time_whatever_the_seed(self, options):
        data = [InstanceDataModule(**options, dark=Dark(), seed=seed) for seed in (0, 1)]
        for first, second in zip(*(d.val_dataloader() for d in data), strict=True):
            assert torch.equal(first["image"][0], second["image"][0])
        bright = next(iter(InstanceDataModule(**options).val_dataloader()))
        dark = next(iter(data[0].val_dataloader()))
        assert not torch.equal(bright["image"][0], dark["image"][0])

    def test_noise_is_as_strong_as_asked(self, options):
        bright, noisy = (
            next(iter(InstanceDataModule(**options, noise=sigma).val_dataloader()))["image"][0]
            for sigma in (0.0, 10.0)
        )
        assert (noisy.float() - bright.float()).std().item() == pytest.approx(10, rel=0.1)

    def test_a_limit_is_spread_over_the_split(self, options):
        data = InstanceDataModule(**options, limit=2)
        assert [image.name for image in data.instances("val").images] == ["0.png", "3.png"]

    def test_images_without_annotations_to_predict(self, options, tmp_path):
        data = InstanceDataModule(**options, predict_images=tmp_path / "val")
        (first, *_) = found = list(data.predict_dataloader())
        dark = InstanceDataModule(**options, dark=Dark(), predict_images=tmp_path / "val")
        same = next(iter(dark.predict_dataloader()))  # they may be dark already
        assert torch.equal(same["image"][0], first["image"][0])
        assert len(found) == 6
        assert first["record"][0].size == SIZE
        assert first["record"][0].instances == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "cocoa"}, "name: expected one of lis, coco"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected 0"),
        ({"classes": None}, "classes: expected the names of classes for the data set coco"),
        ({"name": "lis", "classes": []}, "classes: expected the names of classes"),
        ({"noise": -1}, "noise: expected a number from 0 on"),
        ({"min_area": 9}, "min_area: expected none for the data set coco, got 9"),
        ({"shot": "RAW-dark"}, "shot: expected none for the data set coco, got 'RAW-dark'"),
        ({"name": "lis"}, "images: expected none for the data set lis, got {'train'"),
        ({"name": "camvid", "images": None}, "annotations: expected none for the data set camvid"),
    ],
)
def test_bad_options(options, changed, message):
    with pytest.raises(ValueError, match=message):
        InstanceDataModule(**options | changed)


@pytest.mark.parametrize(
    ("group", "options", "message"),
    [
        (Dark, {"ratio": (5, 2)}, "ratio: expected"),
        (Dark, {"ratio": 30.0}, r"ratio: expected \(lowest, highest\), got 30\.0"),
        (Dark, {"output": "jpeg"}, "output: expected"),
        (InstanceAugmentation, {"flip": 2.0}, "flip: expected a probability"),
    ],
)
def test_bad_options_of_a_group(group, options, message):
    with pytest.raises(ValueError, match=message):
        group(**options)


def test_what_is_missing_shows_in_setup(options, tmp_path, monkeypatch):
    monkeypatch.delenv("DEALIAS_LIS", raising=False)
    with pytest.raises(DataError, match=r"(?s)variable DEALIAS_LIS, with.*RGB-dark/JPEGImages"):
        InstanceDataModule(name="lis").setup("fit")
    with pytest.raises(LisError, match="RGB-dark/JPEGImages"):
        InstanceDataModule(name="lis", root=tmp_path).setup("test")
    with pytest.raises(DataError, match="expected a path for split 'other'"):
        InstanceDataModule(**options, splits=Splits(val="other")).setup("validate")
    with pytest.raises(DataError, match="predict_images"):
        InstanceDataModule(**options).setup("predict")
    with pytest.raises(AnnotationError, match="green"):
        InstanceDataModule(**options | {"classes": ["green"]}).setup("validate")


def test_what_is_used_otherwise_is_noted(options, tmp_path):
    content = json.loads((tmp_path / "train.json").read_bytes())
    content["annotations"][0]["area"] = 0
    (tmp_path / "train.json").write_text(json.dumps(content))
    data = InstanceDataModule(**options | {"classes": ["red"]})
    data.setup("fit")
    assert data.skipped == []
    assert data.notes == [
        "train: instances without an area, or with 0, that have the area of their mask: 1, the "
        "first of annotation 1",
        "train: annotations whose category is no class, left out: 6",
        "val: annotations whose category is no class, left out: 6",
    ]


def test_lis_takes_the_shot_asked_for(tmp_path):
    write_squares(tmp_path / "all")
    root = tmp_path / "lis"
    (root / "annotations").mkdir(parents=True)
    for shot, dark in (("RGB-dark", "+1"), ("RAW-normal", "")):
        shutil.copytree(tmp_path / "all" / "train", root / shot / "JPEGImages")
        for split in ("train", "test"):
            file = root / "annotations" / f"lis_coco_png_{split}{dark}.json"
            shutil.copy(tmp_path / "all" / "train.json", file)
    for shot in ("RGB-dark", "RAW-normal"):
        data = InstanceDataModule(name="lis", root=root, classes=["red", "blue"], shot=shot)
        paths = [image.path for part in ("train", "test") for image in data.instances(part).images]
        assert {path.parents[1].name for path in paths} == {shot}
        assert len(paths) == 12


def test_camvid_has_instances(camvid):
    data = InstanceDataModule(name="camvid", root=camvid, min_area=48, size=(256, 192), limit=2)
    found = data.instances("val")
    assert found.classes == data.classes == ("Car", "Pedestrian", "Bicyclist", "SignSymbol")
    assert next(iter(data.val_dataloader()))["image"][0].shape == (3, 192, 256)
    assert all(i.area >= 48 for image in found.images for i in image.instances)
    data = InstanceDataModule(name="camvid", root=camvid, min_area=10**6, limit=2)
    with pytest.raises(DataError, match=r"Car, .* with 1,000,000 pixels or more in 2 label maps"):
        data.instances("val")


class TestResult:
    def found(self, options):
        record = InstanceDataModule(**options).instances("val").images[0]
        red, blue = record.instances
        detections = Detections(
            torch.tensor([blue.box, red.box]),
            torch.tensor([2, 1]),
            torch.tensor([0.4, 0.8]),
            [blue.mask, red.mask],
        )
        return record, detections

    def test_parts_add_up(self, options, tmp_path):
        evaluation = InstanceEvaluation(("red", "blue"))
        evaluation.absorb(*self.found(options))
        empty = InstanceEvaluation(("red", "blue"), skipped=["a file"])
        total = empty.merge(evaluation)
        write_json(total.to_dict(), tmp_path / "result.json")
        result = json.loads((tmp_path / "result.json").read_text())
        assert result["metrics"]["mask"]["AP"] == result["metrics"]["box"]["AP"] == 1
        assert result["metrics"]["mask"]["APl"] is None
        assert [row["instances"] for row in result["classes"]] == [1, 1]
        assert result["skipped"] == ["a file"]
        assert empty.to_dict()["metrics"] == {}

    def test_images_come_in_the_order_of_their_ids(self, options):
        images = InstanceDataModule(**options).instances("val").images
        parts = [InstanceEvaluation(("red", "blue")) for _ in range(2)]
        for index, image in enumerate(images):
            parts[index % 2].absorb(image, Detections.none())
        merged = parts[1].merge(parts[0])
        assert [image.id for image, _ in merged.found] == [image.id for image in images]

    def test_detections_as_coco_has_them(self, options):
        record, detections = self.found(options)
        first, second = coco_results(record, detections, ("red", "blue"))
        assert [first["category"], second["category"]] == ["red", "blue"]
        left, top, right, bottom = record.instances[0].box
        assert first["bbox"] == [left, top, right - left, bottom - top]
        assert first["segmentation"]["counts"] == record.instances[0].mask["counts"].decode()


def test_what_is_missing_below_the_root_is_named_by_its_option_and_whole_path(
    options, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = options | {"root": Path(options["root"]).relative_to(tmp_path)}
    InstanceDataModule(**options).setup("fit")
    for name, said in (("images", "not a folder"), ("annotations", "no such file")):
        other = options | {name: dict.fromkeys(options[name], "absent")}
        with pytest.raises(DataError, match=f"{name}: {tmp_path / options['root']}/absent: {said}"):
            InstanceDataModule(**other).setup("fit")
