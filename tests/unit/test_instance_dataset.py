import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes

from dealias.data import SampleError
from dealias.data.instances.transforms import resizing
from dealias.images import ImageError
from dealias.instance import (
    Instance,
    InstanceDataset,
    collate_instances,
    encode_masks,
    instance_transform,
    read_annotations,
)
from dealias.lowlight import LowLight

SIZE = (30, 40)


def box(image, left, top, right, bottom, category=1):
    corners = [left, top, right, top, right, bottom, left, bottom]
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "segmentation": [corners],
    }


@pytest.fixture
def instances(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(*SIZE, 3)).astype(np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    images = [
        {"id": id_, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for id_, name in ((5, "a.png"), (6, "b.png"))
    ]
    content = {
        "images": images,
        "annotations": [box(5, 2, 3, 12, 8), box(5, 20, 10, 39, 30, 2) | {"iscrowd": 1}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
    }
    return read_annotations(content, images=tmp_path)


class TestItems:
    def test_are_what_torchvision_takes(self, instances):
        item = InstanceDataset(instances)[0]
        assert (item["name"], item["skipped"]) == ("a.png", [])
        expected = np.asarray(Image.open(instances.images[0].path))
        assert isinstance(item["image"], tv_tensors.Image)
        assert torch.equal(item["image"], torch.from_numpy(expected.copy()).permute(2, 0, 1))
        target = item["target"]
        assert target["boxes"].tolist() == [[2, 3, 12, 8], [20, 10, 39, 30]]
        assert target["boxes"].dtype == torch.float32
        assert target["labels"].tolist() == [1, 2]
        assert target["labels"].dtype == torch.int64
        assert target["masks"].dtype == torch.uint8
        assert target["masks"].shape == (2, *SIZE)
        assert torch.equal(
            masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1]), target["boxes"]
        )
        assert target["area"].tolist() == [50, 380]
        assert target["iscrowd"].tolist() == [0, 1]
        assert target["image_id"] == 5

    def test_an_image_may_be_empty(self, instances):
        target = InstanceDataset(instances, transform=instance_transform(flip=1))[1]["target"]
        assert target["boxes"].shape == (0, 4)
        assert target["masks"].shape[0] == 0
        assert target["labels"].shape == target["area"].shape == target["iscrowd"].shape == (0,)

    def test_an_image_of_another_size_is_an_error(self, instances):
        Image.new("RGB", (41, 30)).save(instances.images[0].path)
        message = r"a\.png: expected 40x30 pixels, as its annotations say, got 41x30"
        with pytest.raises(SampleError, match=message):
            InstanceDataset(instances)[0]

    def test_a_corrupt_image_is_an_error_or_skipped(self, instances):
        path = instances.images[0].path
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ImageError, match=r"a\.png: can't be read"):
            InstanceDataset(instances)[0]
        item = InstanceDataset(instances, skip_bad=True, transform=instance_transform())[0]
        assert item["image"] is item["target"] is None
        assert "a.png: can't be read" in item["skipped"][0]

    def test_errors_survive_pickling(self, instances):
        error = SampleError(instances.images[0].path, "broken")
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


class TestTransforms:
    def test_flip_turns_image_boxes_and_masks(self, instances):
        plain = InstanceDataset(instances)[0]
        flipped = InstanceDataset(instances, transform=instance_transform(size=None, flip=1))[0]
        assert torch.equal(flipped["image"], plain["image"].flip(-1))
        assert torch.equal(flipped["target"]["masks"], plain["target"]["masks"].flip(-1))
        assert flipped["target"]["boxes"].tolist() == [[28, 3, 38, 8], [1, 10, 20, 30]]

    @pytest.mark.parametrize(
        ("size", "expected"),
        [((600, 400), (400, 533)), ((600, 500), (450, 600)), ((80, 80), (60, 80))],
    )
    def test_resize_fits_into_longer_and_shorter_side(self, instances, size, expected):
        item = InstanceDataset(instances, transform=instance_transform(size=size))[0]
        target = item["target"]
        assert item["image"].shape == (3, *expected)
        assert target["masks"].shape == (2, *expected)
        assert set(target["masks"].unique().tolist()) == {0, 1}
        scale = torch.tensor([expected[1] / 40, expected[0] / 30] * 2)
        original = torch.tensor([[2.0, 3, 12, 8], [20, 10, 39, 30]])
        torch.testing.assert_close(target["boxes"].as_subclass(torch.Tensor), original * scale)
        edges = masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1])
        assert (edges - original * scale).abs().max() <= 1

    @pytest.mark.parametrize("size", [(256, 192), (300, 200), (600, 400), (900, 700)])
    def test_masks_lie_where_their_boxes_do(self, size):
        rng = np.random.default_rng(0)
        corners = rng.integers((0, 0), (300, 200), (200, 2))
        boxes = np.hstack([corners, corners + rng.integers(30, 150, (200, 2))])
        masks = torch.zeros(200, 360, 480, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
            mask[top:bottom, left:right] = 1
        resized = resizing(size)(tv_tensors.Mask(masks)).as_subclass(torch.Tensor)
        scale = torch.tensor([*resized.shape[-2:]]) / torch.tensor([360, 480])
        found = torch.stack([mask.nonzero().float().mean(0) + 0.5 for mask in resized])
        expected = torch.from_numpy(boxes.reshape(-1, 2, 2).mean(1)).flip(1) * scale
        assert (found - expected).mean(0).abs().max() < 0.1

    def test_instances_that_get_too_small_go_with_all_that_is_theirs(self, instances):
        item = InstanceDataset(instances, transform=instance_transform(size=(6, 5)))[0]
        target = item["target"]
        assert target["labels"].tolist() == [2]
        assert target["area"].tolist() == [380]
        assert target["iscrowd"].tolist() == [1]
        assert len(target["boxes"]) == len(target["masks"]) == 1

    def test_instances_go_whose_mask_vanishes(self, instances):
        record = instances.images[0]
        thin = torch.zeros(1, *SIZE, dtype=torch.uint8)
        thin[0, torch.arange(0, 29, 2), torch.arange(0, 29, 2)] = 1  # a line of dots
        line = Instance(1, (1.0, 1.0, 30.0, 30.0), encode_masks(thin)[0], 15.0)
        record = replace(record, instances=(line, *record.instances))
        dataset = InstanceDataset(replace(instances, images=(record,)))
        whole = dataset[0]["target"]
        small = instance_transform(size=(20, 15))(dataset[0])["target"]
        assert len(whole["labels"]) == 3
        assert small["masks"].flatten(1).any(1).all()
        assert {len(small[key]) for key in ("boxes", "labels", "masks", "area", "iscrowd")} == {2}
        assert small["area"].tolist() == whole["area"][1:].tolist()
        assert isinstance(small["masks"], tv_tensors.Mask)
        assert isinstance(small["boxes"], tv_tensors.BoundingBoxes)

    def test_boxes_that_reach_out_are_clipped(self, instances):
        wide = instances.images[0].instances[0]
        object.__setattr__(wide, "box", (-3.0, 3.0, 12.0, 8.0))
        item = InstanceDataset(instances, transform=instance_transform(size=None))[0]
        assert item["target"]["boxes"][0].tolist() == [0, 3, 12, 8]

    @pytest.mark.parametrize("size", [(2, 900), (900, 2)])
    def test_a_thin_image_keeps_two_pixels(self, instances, size):
        path = instances.images[0].path
        Image.new("RGB", size[::-1]).save(path)
        mask = encode_masks(torch.ones(1, *size))[0]
        one = Instance(1, (0.0, 0.0, float(size[1]), float(size[0])), mask, 1800.0)
        thin = replace(instances.images[0], size=size, instances=(one,))
        instances = replace(instances, images=(thin,))
        transform = instance_transform(size=(256, 192))
        item = InstanceDataset(instances, transform=transform, darken=LowLight(seed=0))[0]
        expected = (256, 2) if size[0] > 2 else (2, 256)
        assert item["image"].shape[1:] == item["target"]["masks"].shape[1:] == expected
        assert item["target"]["boxes"].tolist() == [[0, 0, *expected[::-1]]]
        assert item["target"]["masks"].all()

    @pytest.mark.parametrize("options", [{"flip": 1.1}, {"size": (400, 600)}, {"size": (4, 0)}])
    def test_bad_options(self, options):
        with pytest.raises(ValueError, match=next(iter(options))):
            instance_transform(**options)


class TestDark:
    def test_darkens_the_image_alone(self, instances):
        transform = instance_transform(size=None, flip=1)
        bright = InstanceDataset(instances, transform=transform)[0]
        dark = InstanceDataset(instances, transform=transform, darken=LowLight(seed=0))[0]
        assert "bright" not in dark
        assert torch.equal(dark["image"], LowLight(seed=0)(bright["image"]))
        assert torch.equal(dark["target"]["masks"], bright["target"]["masks"])

    def test_keeps_the_bright_image_if_asked_to(self, instances):
        dataset = InstanceDataset(instances, darken=LowLight(seed=0), keep_bright=True)
        assert torch.equal(dataset[0]["bright"], InstanceDataset(instances)[0]["image"])
        assert not torch.equal(dataset[0]["image"], dataset[0]["bright"])

    def test_an_image_of_one_row_is_an_error_or_skipped(self, instances):
        path = instances.images[0].path
        Image.new("RGB", (40, 1)).save(path)
        row = replace(instances.images[0], size=(1, 40), instances=())
        instances = replace(instances, images=(row,))
        with pytest.raises(SampleError, match=r"a\.png: .*at least 2x2 pixels"):
            InstanceDataset(instances, darken=LowLight(seed=0))[0]
        item = InstanceDataset(instances, darken=LowLight(seed=0), skip_bad=True)[0]
        assert item["image"] is None
        assert "a.png" in item["skipped"][0]

    def test_bright_without_dark_is_an_error(self, instances):
        with pytest.raises(ValueError, match="keep_bright: expected a darken"):
            InstanceDataset(instances, keep_bright=True)


def test_batches_are_lists_without_what_was_skipped(instances):
    instances.images[0].path.write_bytes(b"")
    dataset = InstanceDataset(instances, skip_bad=True)
    batch = collate_instances([dataset[0], dataset[1]])
    assert batch["name"] == ["b.png"]
    assert len(batch["image"]) == len(batch["target"]) == 1
    assert len(batch["skipped"]) == 1
    assert collate_instances([dataset[0]])["image"] == []
