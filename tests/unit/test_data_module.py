import itertools
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from dealias.data import (
    Augmentation,
    Dark,
    DataError,
    SampleError,
    Scenes,
    SegmentationDataModule,
    Splits,
)
from dealias.labels import ClassSetError, load_class_set
from dealias.lowlight import GaussianNoise, LowLight
from image_folders import write_classes, write_image, write_samples


@pytest.fixture
def root(tmp_path):
    write_samples(tmp_path, 7)
    write_samples(tmp_path, 2, split="val", seed=1)
    write_classes(tmp_path / "two.yaml", ["a", "b"])
    return tmp_path


def module(root, **options):
    fixed = {"name": "folder", "root": root, "classes": root / "two.yaml", "workers": 0}
    return SegmentationDataModule(**fixed | options)


def names(datamodule, part="train"):
    return list(datamodule.samples(part).names)


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "value", "got"),
        [
            ("name", "kitti", "'kitti'"),
            ("augmentation.crop_size", (0, 8), r"\(0, 8\)"),
            ("augmentation.crop_size", (8,), r"\(8,\)"),
            ("augmentation.crop_size", (8, 8, 3), r"\(8, 8, 3\)"),
            ("augmentation.base_size", (8, -1), r"\(8, -1\)"),
            ("augmentation.base_size", (8,), r"\(8,\)"),
            ("scenes.size", (63, 128), r"\(63, 128\)"),
            ("augmentation.scale_range", (0.0, 1.0), r"\(0.0, 1.0\)"),
            ("augmentation.scale_range", (2.0, 1.0), r"\(2.0, 1.0\)"),
            ("augmentation.scale_range", (1.0, math.inf), r"\(1.0, inf\)"),
            ("augmentation.scale_range", (math.nan, 1.0), r"\(nan, 1.0\)"),
            ("augmentation.scale_range", (1.0,), r"\(1.0,\)"),
            ("augmentation.max_class_share", 0.0, "0.0"),
            ("augmentation.max_class_share", 1.01, "1.01"),
            ("augmentation.max_class_share", math.nan, "nan"),
            ("augmentation.flip", 1.5, "1.5"),
            ("augmentation.flip", True, "True"),
            ("batch_size", 0, "0"),
            ("workers", -1, "-1"),
            ("seed", -1, "-1"),
            ("seed", 2**32, str(2**32)),
            ("limit", 0, "0"),
            ("scenes.train", 0, "0"),
            ("scenes.val", 0, "0"),
        ],
    )
    def test_out_of_range(self, option, value, got):
        group, _, name = option.rpartition(".")
        owner = {"augmentation": Augmentation, "scenes": Scenes}.get(group)
        owner = owner or partial(SegmentationDataModule, name="scenes")
        named = option if group == "scenes" else name
        with pytest.raises(ValueError, match=rf"^{named}: expected .*got {got}$"):
            owner(**{name: value})

    def test_ends_of_the_ranges(self):
        data = SegmentationDataModule(
            name="scenes",
            augmentation=Augmentation((1, 1), (1, 1), (1e-3, 1e-3), 1.0, 1.0),
            batch_size=1,
            workers=0,
            seed=2**32 - 1,
            limit=1,
            scenes=Scenes(1, 1, (64, 64)),
        )
        (batch,) = itertools.islice(data.train_dataloader(), 1)
        assert batch["image"].shape == (1, 3, 1, 1)

    @pytest.mark.parametrize("workers", [None, 3])
    def test_workers(self, workers, monkeypatch):
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
        found = SegmentationDataModule(name="scenes", workers=workers).workers
        assert found == (workers or 4)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "100")
        assert SegmentationDataModule(name="scenes").workers == 1
        monkeypatch.delenv("LOCAL_WORLD_SIZE")
        data = SegmentationDataModule(name="scenes")
        assert data.workers == 8
        data.trainer = SimpleNamespace(num_devices=32)  # of Lightning's own launcher
        assert data.workers == 2

    def test_less_images_than_processes(self, root):
        data = module(root)
        data.trainer = SimpleNamespace(global_rank=0, world_size=3, num_devices=1)
        with pytest.raises(DataError, match="one image a process, got 2 images for 3 processes"):
            data.val_dataloader()

    def test_lengths_from_a_file_are_lists(self, root):
        datamodule = module(root, augmentation=Augmentation([12, 16], [20, 40]), batch_size=2)
        batch = next(iter(datamodule.train_dataloader()))
        assert batch["image"].shape == (2, 3, 12, 16)


class TestClassSets:
    @pytest.mark.parametrize(
        ("name", "classes", "void"),
        [
            ("ade20k", 150, 255),
            ("camvid", 11, 11),
            ("cityscapes", 19, 255),
            ("scenes", 11, 255),
            ("voc2012", 21, 255),
        ],
    )
    def test_of_the_data_sets(self, name, classes, void):
        datamodule = SegmentationDataModule(name=name)  # before the data are looked for
        assert datamodule.num_classes == len(datamodule.classes) == classes
        assert datamodule.classes.ignore_index == void

    def test_given(self, root):
        assert module(root).classes.names == ("a", "b")
        assert module(root, classes="camvid").classes == load_class_set("camvid")

    def test_a_folder_needs_one(self, root):
        with pytest.raises(ValueError, match=r"^classes: expected a class set or its YAML file"):
            SegmentationDataModule(name="folder", root=root)

    def test_one_that_is_not_there(self, root):
        with pytest.raises(ClassSetError, match="expected a class set"):
            module(root, classes="kitti")

    def test_the_scenes_have_their_own(self):
        SegmentationDataModule(name="scenes", classes="scenes")
        with pytest.raises(ValueError, match=r"^classes: .*of their own, got 'camvid'"):
            SegmentationDataModule(name="scenes", classes="camvid")

    def test_labels_are_mapped(self, root):
        classes = root / "mapped.yaml"
        write_classes(classes, ["a", "b"], label_map="{5: 0, 7: 1, 9: ignore}", ignore_index=-1)
        for part in ("train", "val"):
            for path in (root / "labels" / part).iterdir():
                write_image(path, [[5, 7, 9]])
            for path in (root / "images" / part).iterdir():
                write_image(path, [[0, 0, 0]])
        still = Augmentation(crop_size=(1, 4), scale_range=(1.0, 1.0))
        datamodule = module(root, classes=classes, augmentation=still)
        (batch, _) = datamodule.val_dataloader()
        assert batch["target"].tolist() == [[[0, 1, -1]]]
        target = next(iter(datamodule.train_dataloader()))["target"]
        assert target.dtype == torch.int64
        assert target.sort().values.unique(dim=0).tolist() == [[[-1, -1, 0, 1]]]


class TestSplits:
    def test_defaults(self):
        assert SegmentationDataModule(name="voc2012").splits["train"] == "train_aug"
        splits = SegmentationDataModule(name="camvid").splits
        assert splits == {"train": "train", "val": "val", "test": "val"}
        splits = SegmentationDataModule(name="camvid", splits=Splits("a", "b")).splits
        assert splits == {"train": "a", "val": "b", "test": "b"}

    def test_limit_is_spread_evenly(self, root):
        for limit, expected in {
            1: ["00"],
            2: ["00", "03"],
            3: ["00", "02", "04"],
            6: ["00", "01", "02", "03", "04", "05"],
            7: [f"{number:02d}" for number in range(7)],
            100: [f"{number:02d}" for number in range(7)],
        }.items():
            assert names(module(root, limit=limit)) == expected

    def test_limit_of_scenes_and_of_predictions(self, root):
        drawn = Scenes(train=5, val=2, size=(64, 64))
        scenes = SegmentationDataModule(name="scenes", scenes=drawn, limit=3)
        assert [len(scenes.samples(part)) for part in ("train", "val")] == [3, 2]
        datamodule = module(root, limit=3, predict_images=root / "images/train")
        found = [batch["name"] for batch in datamodule.predict_dataloader()]
        assert found == [["00"], ["02"], ["04"]]

    def test_stages_need_their_splits(self, root):
        for stage, missing in {"fit": "train", "validate": "val", "test": "test"}.items():
            options = {"train": ".", "val": ".", "test": "."}
            module(root, splits=Splits(**options)).setup(stage)
            with pytest.raises(DataError, match="nowhere"):
                module(root, splits=Splits(**options | {missing: "nowhere"})).setup(stage)
        with pytest.raises(DataError, match="nowhere"):
            module(root, splits=Splits(val="nowhere")).setup("fit")

    def test_files_without_a_partner(self, root):
        (root / "labels/train/03.png").unlink()
        (root / "images/train/05.png").unlink()
        with pytest.raises(DataError, match=r"split 'train': 2 images or label maps without"):
            module(root).setup("fit")
        datamodule = module(root, skip_bad=True, splits=Splits(val="train"))
        datamodule.setup("fit")
        datamodule.setup("test")
        assert names(datamodule) == ["00", "01", "02", "04", "06"]
        assert datamodule.skipped == [  # though three parts are the same split
            f"{root / 'images/train/03.png'}: no partner",
            f"{root / 'labels/train/05.png'}: no partner",
        ]

    def test_scenes_of_the_splits_differ(self):
        datamodule = SegmentationDataModule(name="scenes", scenes=Scenes(1, 1, (64, 64)))
        images = [datamodule.samples(part).read(0)[0] for part in ("train", "val", "test")]
        assert not torch.equal(images[0], images[1])
        assert not torch.equal(images[1], images[2])
        assert not torch.equal(images[0], images[2])


class TestDarkness:
    DARK = Dark(ratio=(60, 70), output="srgb")

    def test_of_images_that_are_not_trained_on(self, root):
        (bright, *_), (dark, *_), (noisy, *_) = (
            list(module(root, **more).val_dataloader())
            for more in ({}, {"dark": self.DARK}, {"dark": self.DARK, "noise": 20.0})
        )
        expected = LowLight(ratio=(60, 70), output="srgb", seed=0)(bright["image"][0])
        assert torch.equal(dark["image"][0], expected)
        assert torch.equal(noisy["image"][0], GaussianNoise(20.0, seed=0)(expected))
        assert torch.equal(dark["target"], bright["target"])

    def test_of_training_crops_is_drawn_anew(self, root):
        still = Augmentation((8, 8), None, (1.0, 1.0), 1.0, 0.0, photometric=False)
        options = {"augmentation": still, "batch_size": 7, "seed": 1}
        bright, dark, same = (
            list(itertools.islice(module(root, **options, **more).train_dataloader(), 2))
            for more in ({}, {"dark": self.DARK}, {"dark": self.DARK})
        )
        assert all(
            torch.equal(*(b["image"] for b in pair)) for pair in zip(dark, same, strict=True)
        )
        for before, after in zip(bright, dark, strict=True):
            assert torch.equal(before["target"], after["target"])
            changed = (before["image"] != after["image"]).flatten(1).any(1)
            assert changed.all()
        by_name = [dict(zip(batch["name"], batch["image"], strict=True)) for batch in dark]
        assert all(not torch.equal(image, by_name[1][name]) for name, image in by_name[0].items())

    def test_padding_stays_as_bright(self, root):
        wide = Augmentation((100, 100), None, (1.0, 1.0), 1.0)
        batch = next(iter(module(root, augmentation=wide, dark=self.DARK).train_dataloader()))
        assert (batch["image"][:, :, -1, -1] == torch.tensor([124, 116, 104])).all()

    def test_images_to_predict_are_left_as_they_are(self, root):
        images = {"predict_images": root / "images/val"}
        bright, dark = (
            next(iter(module(root, **images, **more).predict_dataloader()))["image"]
            for more in ({}, {"dark": self.DARK})
        )
        assert torch.equal(bright, dark)

    def test_an_image_that_is_too_small_is_named_or_left_out(self, root):
        for kind, rows in (("images", [[(0, 0, 0)] * 9]), ("labels", [[0] * 9])):
            write_image(root / kind / "val" / "00.png", rows)
        with pytest.raises(SampleError, match=r"00: images: expected shape .* at least 2x2"):
            list(module(root, dark=self.DARK).val_dataloader())
        found = list(module(root, dark=self.DARK, skip_bad=True).val_dataloader())
        assert [len(batch["skipped"]) for batch in found] == [1, 0]

    def test_bright_images_beside_them_are_for_instances(self, root):
        with pytest.raises(ValueError, match=r"^dark.keep_bright: is for instances"):
            module(root, dark=Dark(keep_bright=True))


class TestPrediction:
    def test_images_of_a_folder_and_its_subfolders(self, root):
        datamodule = module(root, predict_images=root / "images")
        with pytest.raises(DataError, match="predict_images"):
            module(root).setup("predict")
        datamodule.setup("predict")
        loader = datamodule.predict_dataloader()
        found = [name for batch in loader for name in batch["name"]]
        assert found[:2] == ["train/00", "train/01"]  # 00 lies in both folders
        assert len(found) == len(loader) == 9

    @pytest.mark.parametrize(
        ("folder", "problem"), [("nowhere", "no such folder"), ("empty", "it is empty")]
    )
    def test_nothing_to_predict(self, root, folder, problem):
        (root / "empty").mkdir()
        with pytest.raises(DataError, match=rf"^predict_images: .*{folder}: .*{problem}"):
            module(root, predict_images=root / folder).setup("predict")
