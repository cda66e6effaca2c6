import itertools
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dealias.data import (
    Augmentation,
    DataError,
    SampleError,
    SegmentationDataModule,
    SegmentationDataset,
    Splits,
    TrainingStream,
)
from dealias.data.batches import Batches, TrainingPositions, collate
from dealias.data.reading import read_image, read_target
from dealias.data.segmentation.datasets import FileSamples
from dealias.data.streams import index_at
from dealias.images import ImageError
from dealias.labels import LabelFileError
from image_folders import cut_short, write_classes, write_image, write_samples

COUNT = 10


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    write_samples(folder, COUNT)
    write_samples(folder, 5, split="val", seed=1)
    write_classes(folder / "two.yaml", ["a", "b"])
    return folder


@pytest.fixture
def broken(tmp_path):
    """Seven images, of which two can't be read and one does not fit its label map."""
    write_samples(tmp_path, 7)
    write_classes(tmp_path / "two.yaml", ["a", "b"])
    cut_short(tmp_path / "images/train/01.png")
    write_image(tmp_path / "labels/train/03.png", np.full((20, 28), 2))
    write_image(tmp_path / "images/train/05.png", np.zeros((20, 27, 3)))
    return tmp_path


def module(root, **options):
    fixed = {
        "name": "folder",
        "root": root,
        "classes": root / "two.yaml",
        "augmentation": Augmentation(crop_size=(12, 16)),
        "batch_size": 3,
        "workers": 0,
    }
    return SegmentationDataModule(**fixed | options)


def at(datamodule, *, step=0, rank=0, processes=1, accumulate=1):
    """The data module as a trainer at a step, or one of several processes, has it."""
    datamodule.trainer = SimpleNamespace(
        global_step=step,
        global_rank=rank,
        world_size=processes,
        num_devices=processes,
        accumulate_grad_batches=accumulate,
    )
    return datamodule


def training(datamodule, count):
    return list(itertools.islice(datamodule.train_dataloader(), count))


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert one["name"] == other["name"]
        assert one["skipped"] == other["skipped"]
        for key in ("image", "target"):
            assert torch.equal(one[key], other[key])


class TestTraining:
    def test_a_batch(self, root):
        (batch,) = training(module(root), 1)
        assert batch["image"].shape == (3, 3, 12, 16)
        assert batch["target"].shape == (3, 12, 16)
        assert batch["image"].dtype == batch["target"].dtype == torch.uint8
        assert set(batch["target"].unique().tolist()) <= {0, 1, 255}
        assert len(batch["name"]) == 3
        assert batch["skipped"] == []
        assert type(batch["image"]) is torch.Tensor

    def test_the_same_batches_whatever_the_workers(self, root):
        expected = training(module(root), 8)
        for workers in (1, 2):
            assert_same(training(module(root, workers=workers), 8), expected)

    def test_every_sample_comes_once_an_epoch_in_new_orders(self, root):
        names = [
            name for batch in training(module(root, batch_size=5), 8) for name in batch["name"]
        ]
        epochs = [names[start : start + COUNT] for start in range(0, 40, COUNT)]
        assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 4
        assert len(set(epochs[0])) == COUNT

    def test_the_seed_decides(self, root):
        first = training(module(root, seed=1), 2)
        assert_same(training(module(root, seed=1), 2), first)
        other = training(module(root, seed=2), 2)
        assert [batch["name"] for batch in first] != [batch["name"] for batch in other]

    def test_a_sample_is_augmented_anew_each_time(self, root):
        batches = training(module(root, limit=1, batch_size=2), 2)
        crops = [crop for batch in batches for crop in batch["image"]]
        assert not any(torch.equal(a, b) for a, b in itertools.combinations(crops, 2))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_going_on_from_a_step(self, root, workers):
        expected = training(at(module(root)), 7)
        for step in (1, 5):
            datamodule = at(module(root, workers=workers), step=step)
            assert_same(training(datamodule, 7 - step), expected[step:])

    def test_going_on_with_accumulation(self, root):
        expected = training(at(module(root), accumulate=2), 8)
        assert_same(training(at(module(root), step=3, accumulate=2), 2), expected[6:])

    def test_each_pass_asks_where_training_is(self, root):
        datamodule = at(module(root, workers=1))
        loader = datamodule.train_dataloader()
        expected = list(itertools.islice(loader, 4))
        datamodule.trainer.global_step = 2
        assert_same(list(itertools.islice(loader, 2)), expected[2:])

    def test_processes_share_a_step_of_one(self, root):
        whole = training(module(root, batch_size=6), 4)
        ranks = [training(at(module(root), rank=rank, processes=2), 4) for rank in (0, 1)]
        for step, batch in enumerate(whole):
            for rank in (0, 1):
                assert ranks[rank][step]["name"] == batch["name"][rank::2]
                assert torch.equal(ranks[rank][step]["image"], batch["image"][rank::2])
        later = training(at(module(root), rank=1, processes=2, step=2), 2)
        assert_same(later, ranks[1][2:])

    def test_random_numbers_of_torch_are_left_as_they_are(self, root):
        before = torch.get_rng_state()
        for workers in (0, 1):
            datamodule = module(root, workers=workers)
            training(datamodule, 2)
            list(datamodule.val_dataloader())
        assert torch.equal(torch.get_rng_state(), before)

    def test_threads_are_left_as_they_are(self, root):
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            training(module(root), 1)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(threads)


class TestEvaluation:
    @pytest.mark.parametrize("workers", [0, 1, 2])
    def test_images_one_by_one_as_they_are(self, root, workers):
        batches = list(module(root, workers=workers).val_dataloader())
        classes = module(root).classes
        assert [batch["name"] for batch in batches] == [[f"{n:02d}"] for n in range(5)]
        for batch in batches:
            (name,) = batch["name"]
            image = read_image(root / f"images/val/{name}.png")
            target = read_target(root / f"labels/val/{name}.png", classes)
            assert torch.equal(batch["image"], image[None])
            assert torch.equal(batch["target"], target[None])
            assert batch["skipped"] == []

    def test_a_loader_can_be_used_again(self, root):
        loader = module(root, workers=1).val_dataloader()
        assert len(loader) == 5
        assert_same(list(loader), list(loader))

    @pytest.mark.parametrize("processes", [1, 2, 3, 5])
    def test_processes_take_each_image_once(self, root, processes):
        names = []
        for rank in range(processes):
            loader = at(module(root), rank=rank, processes=processes).val_dataloader()
            share = [name for batch in loader for name in batch["name"]]
            assert len(share) == len(loader)
            names += share
        assert sorted(names) == [f"{number:02d}" for number in range(5)]

    def test_more_processes_than_images_are_refused(self, root):
        with pytest.raises(DataError, match="at least one image a process, got 5 images for 7"):
            at(module(root), rank=0, processes=7).val_dataloader()

    def test_prediction_has_no_targets(self, root):
        datamodule = module(root, predict_images=root / "images/val")
        batches = list(datamodule.predict_dataloader())
        assert len(batches) == 5
        assert all(batch.keys() == {"image", "name", "skipped"} for batch in batches)


class TestBadFiles:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_training_names_the_file(self, broken, workers):
        with pytest.raises((ImageError, SampleError, LabelFileError), match=r"0[135]\.png: "):
            training(module(broken, workers=workers), 10)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_training_goes_on_with_others_when_asked_to(self, broken, workers):
        batches = training(module(broken, workers=workers, skip_bad=True), 14)
        assert_same(training(module(broken, skip_bad=True), 14), batches)
        names = [name for batch in batches for name in batch["name"]]
        assert len(names) == 42
        assert set(names) == {"00", "02", "04", "06"}
        skipped = [message for batch in batches for message in batch["skipped"]]
        for bad, problem in {
            "images/train/01.png": "can't be read: ",
            "labels/train/03.png": "expected classes 0..1 of 'two' or void 255, got 2 (560 px)",
            "images/train/05.png": "expected 28x20 pixels like its label map",
        }.items():
            found = [message for message in skipped if f"{broken / bad}: {problem}" in message]
            assert len(found) >= 6  # once an epoch, and when drawn as a replacement

    def test_good_positions_do_not_change_when_others_are_bad(self, broken, tmp_path_factory):
        whole = tmp_path_factory.mktemp("whole")
        write_samples(whole, 7)
        write_classes(whole / "two.yaml", ["a", "b"])
        pairs = zip(
            training(module(broken, skip_bad=True, batch_size=1), 14),
            training(module(whole, batch_size=1), 14),
            strict=True,
        )
        same = [pair for pair in pairs if not pair[0]["skipped"]]
        assert len(same) == 8
        for found, expected in same:
            assert_same([found], [expected])

    def test_training_without_a_good_file_ends(self, broken):
        for path in (broken / "images/train").iterdir():
            cut_short(path)
        with pytest.raises(SampleError, match=r"21 samples in a row can't be used, the last for: "):
            training(module(broken, skip_bad=True), 1)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_evaluation_names_the_file(self, broken, workers):
        loader = module(broken, splits=Splits(val="train"), workers=workers).val_dataloader()
        with pytest.raises(ImageError, match=r"images/train/01\.png: can't be read: ") as raised:
            list(loader)
        assert raised.value.path == broken / "images/train/01.png"

    @pytest.mark.parametrize("workers", [0, 1])
    def test_evaluation_lists_what_it_skips(self, broken, workers):
        options = {"splits": Splits(val="train"), "workers": workers, "skip_bad": True}
        batches = list(module(broken, **options).val_dataloader())
        assert [batch["name"] for batch in batches] == [[f"{n:02d}"] for n in range(7)]
        for number, batch in enumerate(batches):
            bad = number in (1, 3, 5)
            assert (batch["image"] is None) == (batch["target"] is None) == bad
            assert len(batch["skipped"]) == bad
            assert not bad or f"{number:02d}.png: " in batch["skipped"][0]

    def test_prediction(self, broken):
        options = {"predict_images": broken / "images/train"}
        with pytest.raises(ImageError, match=r"01\.png"):
            list(module(broken, **options).predict_dataloader())
        batches = list(module(broken, skip_bad=True, **options).predict_dataloader())
        assert [batch["image"] is None for batch in batches] == [n == 1 for n in range(7)]
        assert batches[1].keys() == {"image", "name", "skipped"}
        assert "01.png" in batches[1]["skipped"][0]

    def test_a_file_that_vanishes(self, broken):
        datamodule = module(broken, splits=Splits(val="train"), skip_bad=True)
        loader = datamodule.val_dataloader()
        (broken / "images/train/00.png").unlink()
        (broken / "labels/train/02.png").unlink()
        skipped = [batch["skipped"] for batch in loader]
        assert skipped[0] == [f"{broken / 'images/train/00.png'}: no such file"]
        assert skipped[2] == [f"{broken / 'labels/train/02.png'}: no such file"]

    def test_other_errors_are_not_passed_over(self):
        dataset = _Failing(OSError("disk"))
        with pytest.raises(OSError, match="disk"):
            list(Batches(dataset, workers=0, sampler=range(2)))
        with pytest.raises(ValueError, match=r"^plain$"):  # as it was raised, of a worker too
            list(Batches(_Failing(ValueError("plain")), workers=1, sampler=range(2)))

    def test_training_without_label_maps(self, root):
        datamodule = module(root, predict_images=root / "images/val")
        samples = FileSamples(datamodule._images_to_predict(), datamodule.classes)
        stream = TrainingStream(datamodule.augmented(samples, skip_bad=True), seed=0)
        with pytest.raises(ValueError, match="expected a label map to train on, got none"):
            stream[0]


class _Failing(torch.utils.data.Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise self.error


class TestParts:
    def test_positions(self):
        positions = TrainingPositions(lambda: 12, 2, rank=1, processes=3)
        assert list(itertools.islice(positions, 3)) == [[13, 16], [19, 22], [25, 28]]

    def test_orders_do_not_depend_on_where_one_starts(self):
        order = [index_at(3, position, 4) for position in range(12)]
        assert [index_at(3, position, 4) for position in reversed(range(12))] == order[::-1]

    def test_stacking(self):
        items = [
            {"image": torch.full((3, 2, 2), n), "name": str(n), "skipped": [f"{n}!"] * n}
            for n in range(3)
        ]
        batch = collate(items)
        assert batch["image"][:, 0, 0, 0].tolist() == [0, 1, 2]
        assert batch["name"] == ["0", "1", "2"]
        assert batch["skipped"] == ["1!", "2!", "2!"]
        assert "target" not in batch
        first, second = ValueError("first"), ValueError("second")
        assert collate([items[0], first, second]) is first

    def test_errors_cross_processes(self, tmp_path):
        error = pickle.loads(pickle.dumps(SampleError(tmp_path / "a\nb", "broken")))
        assert error.path == tmp_path / "a\nb"
        assert str(error).endswith("a\\nb: broken")

    def test_length(self, root):
        datamodule = module(root)
        assert len(SegmentationDataset(datamodule.samples("val"))) == 5
