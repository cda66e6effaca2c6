import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import masks_to_boxes

from dealias.instance import (
    InstanceDataset,
    connected_components,
    label_maps_to_coco,
    read_annotations,
)
from dealias.labels import LabelFileError, load_class_set

CAMVID = load_class_set("camvid")
CLASSES = ("Car", "Pedestrian", "Bicyclist", "SignSymbol")

PICTURE = """
8 8 . . 9
8 . . 9 9
. 8 . . .
. . 8 8 .
6 . . . 9
"""


def picture(text=PICTURE):
    rows = [[11 if mark == "." else int(mark) for mark in row.split()] for row in text.split("\n")]
    return np.array([row for row in rows if row], dtype=np.uint8)


def flood(labels, classes):
    """Parts by walking from pixel to pixel."""
    parts = set()
    for label in classes:
        left = {tuple(at) for at in np.argwhere(labels == label).tolist()}
        while left:
            part, edge = set(), {left.pop()}
            while edge:
                row, column = edge.pop()
                part.add((row, column))
                near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                edge |= near
            parts.add((label, frozenset(part)))
    return parts


class TestComponents:
    def test_by_hand(self):
        found = connected_components(torch.from_numpy(picture()), [9, 8])
        assert found.labels.tolist() == [9, 9, 8]  # corners join all cars
        assert found.boxes.tolist() == [[3, 0, 5, 2], [4, 4, 5, 5], [0, 0, 4, 4]]
        assert found.masks[1].nonzero().tolist() == [[4, 4]]
        assert found.masks.sum((1, 2)).tolist() == [3, 1, 6]

    def test_min_area(self):
        found = connected_components(picture(), [8, 9], min_area=3)
        assert found.masks.sum((1, 2)).tolist() == [6, 3]

    @pytest.mark.parametrize("seed", range(3))
    def test_is_a_flood_fill(self, seed):
        labels = np.random.default_rng(seed).integers(4, size=(12, 15))
        found = connected_components(labels, [1, 3])
        parts = {
            (label, frozenset(map(tuple, mask.nonzero().tolist())))
            for label, mask in zip(found.labels.tolist(), found.masks, strict=True)
        }
        assert parts == flood(labels, [1, 3])
        assert len(parts) == len(found.masks)
        edges = masks_to_boxes(found.masks) + torch.tensor([0, 0, 1, 1])
        assert torch.equal(edges.long(), found.boxes)

    def test_nothing_there(self):
        found = connected_components(picture(), [1])
        assert found.masks.shape == (0, 5, 5)
        assert found.boxes.shape == (0, 4)
        assert found.labels.shape == (0,)

    def test_errors(self):
        with pytest.raises(ValueError, match="labels: expected integers"):
            connected_components(torch.zeros(3, 4), [1])
        with pytest.raises(ValueError, match="labels: expected integers"):
            connected_components(np.zeros((1, 3, 4), np.uint8), [1])
        with pytest.raises(ValueError, match="min_area: expected at least 1"):
            connected_components(picture(), [1], min_area=0)


@pytest.fixture
def sample(tmp_path):
    image, label = tmp_path / "images" / "sub" / "x.jpg", tmp_path / "x.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (5, 5)).save(image)
    Image.fromarray(picture()).save(label)
    return SimpleNamespace(image=image, label=label, folder=tmp_path / "images")


def convert(sample, **options):
    options = {"images": sample.folder, "class_set": CAMVID, "classes": CLASSES} | options
    return label_maps_to_coco([sample], **options)


class TestConversion:
    def test_the_annotations_are_the_components(self, sample):
        content = json.loads(json.dumps(convert(sample)))
        assert content["images"] == [{"id": 1, "file_name": "sub/x.jpg", "height": 5, "width": 5}]
        found = read_annotations(content, images=sample.folder, classes=CLASSES)
        expected = connected_components(picture(), [8, 9, 10, 6])
        target = InstanceDataset(found)[0]["target"]
        assert target["labels"].tolist() == [1, 2, 2, 4]
        assert torch.equal(target["boxes"].long(), expected.boxes)
        assert torch.equal(target["masks"].bool(), expected.masks)
        assert target["area"].tolist() == expected.masks.sum((1, 2)).tolist()

    def test_min_area_is_passed_on(self, sample):
        assert len(convert(sample, min_area=2)["annotations"]) == 2

    def test_errors(self, sample, tmp_path):
        with pytest.raises(ValueError, match=r"classes: expected some of Sky, .*, got Bus"):
            convert(sample, classes=["Car", "Bus"])
        with pytest.raises(ValueError, match=r"classes: .*, got none"):
            convert(sample, classes=[])
        with pytest.raises(ValueError, match=r"x\.jpg: expected an image in .*other"):
            convert(sample, images=tmp_path / "other")
        unknown = picture()
        unknown[0, :2] = 30, 200
        Image.fromarray(unknown).save(sample.label)
        with pytest.raises(LabelFileError, match=r"x\.png: .*got 30 \(1 px\), 200 \(1 px\)"):
            convert(sample)
        sample.label.write_bytes(b"")
        with pytest.raises(LabelFileError, match=r"x\.png"):
            convert(sample)


def test_camvid_becomes_instances(camvid):
    names = [path.stem for path in sorted((camvid / "valannot").glob("*.png"))[:3]]
    samples = [
        SimpleNamespace(
            image=camvid / "val" / f"{name}.jpg", label=camvid / "valannot" / f"{name}.png"
        )
        for name in names
    ]
    content = label_maps_to_coco(
        samples, images=camvid / "val", class_set=CAMVID, classes=CLASSES, min_area=50
    )
    found = read_annotations(content, images=camvid / "val", classes=CLASSES)
    assert len(found) == 3
    for image in found.images:
        labels = np.asarray(Image.open(camvid / "valannot" / f"{image.path.stem}.png"))
        target = InstanceDataset(found)[found.images.index(image)]["target"]
        assert len(target["labels"]) > 0
        assert target["area"].min() >= 50
        for label, mask in zip(target["labels"].tolist(), target["masks"], strict=True):
            assert set(labels[mask.numpy() > 0].tolist()) == {(8, 9, 10, 6)[label - 1]}
