"""Weights of classes from what a check of the data counted."""

import json
import os

import numpy as np
import pytest

from dealias.cli import main
from dealias.data import class_weights, read_class_weights
from dealias.labels import ClassSet, load_class_set
from dealias.text import FileError
from image_folders import write_image

CLASSES = ClassSet("abc", ("a", "b", "c"))


@pytest.fixture
def checked(tmp_path):
    """What `dealias data check` writes, of four images of 8 pixels and one of 2."""
    for name, labels in {
        "train/0": [[0, 0, 0, 0], [0, 0, 1, 255]],
        "train/1": [[1, 1, 1, 1], [1, 1, 1, 1]],
        "train/2": [[0, 0], [0, 0], [255, 255], [1, 2]],
        "val/3": [[0, 1]],
    }.items():
        write_image(tmp_path / f"labels/{name}.png", labels)
        write_image(tmp_path / f"images/{name}.png", np.zeros((*np.shape(labels), 3)))
    (tmp_path / "abc.yaml").write_text("names: [a, b, c]")

    def check(*more):
        data = {"name": "folder", "root": tmp_path, "classes": tmp_path / "abc.yaml", "workers": 0}
        options = [part for key, value in data.items() for part in (f"--data.{key}", str(value))]
        output = tmp_path / "check.json"
        main(["data", "check", *options, "--output", str(output), "--overwrite", *more])
        return output

    return check


def test_of_a_check(checked):
    path = checked()
    content = json.loads(path.read_text())
    assert content["class_pixels"] == {"a": 10, "b": 10, "c": 1}
    assert content["class_image_pixels"] == {"a": 16, "b": 24, "c": 8}
    shares = 10 / 16, 10 / 24, 1 / 8
    assert read_class_weights(path, CLASSES) == pytest.approx(
        [shares[1] / share for share in shares]
    )
    turned = ClassSet("cab", ("c", "a", "b"))
    assert read_class_weights(path, turned) == pytest.approx(
        [shares[1] / shares[i] for i in (2, 0, 1)]
    )


def test_the_training_split_counts_by_whatever_part_it_is_read(checked):
    path = checked("--parts", "[val,train]", "--data.splits.val", "train")
    assert json.loads(path.read_text())["class_pixels"] == {"a": 10, "b": 10, "c": 1}
    with pytest.raises(FileError, match=r"class_pixels: expected pixels by class: .* got None$"):
        read_class_weights(checked("--parts", "[val]"), CLASSES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"class_pixels": {"a": 1, "b": 2}},
            r"3 classes of 'abc', got 2, without \['c'\] and with",
        ),
        ({"class_pixels": {"a": 1, "b": 2, "d": 3}}, r"without \['c'\] and with \['d'\]"),
        ({"class_pixels": {"a": 1, "b": 2, "c": 3.0}}, "expected counts of pixels, got 3.0"),
        ({"class_pixels": {"a": 1, "b": 2, "c": True}}, "expected counts of pixels, got True"),
        ({"class_pixels": {"a": 1, "b": 2, "c": -3}}, "expected counts of pixels, got -3"),
        ({"class_pixels": {"a": 99, "b": 2, "c": 3}}, "got 99 of 16"),
        ({"class_pixels": {"a": 0, "b": 2, "c": 3}}, "got 0 of 16"),
        ({"class_image_pixels": [1, 2, 3]}, "class_image_pixels: expected pixels by class"),
        (
            {key: dict.fromkeys("abc", 0) for key in ("class_pixels", "class_image_pixels")},
            "expected a pixel of any class, got none",
        ),
        ({"splits": None}, None),
    ],
)
def test_other_files_are_refused(checked, change, message):
    path = checked()
    content = json.loads(path.read_text()) | change
    path.write_text(json.dumps(content))
    if message is None:
        del content["splits"]
        path.write_text(json.dumps(content))
        message = "expected what `dealias data check --output` writes"
    with pytest.raises(FileError, match=message) as found:
        read_class_weights(path, CLASSES)
    assert str(found.value).startswith(f"{path}: ")


def test_a_class_without_a_pixel_counts_for_nothing():
    assert class_weights([2, 0, 4, 8], [16, 0, 16, 16]) == [2.0, 0.0, 1.0, 0.5]


def test_lengths():
    with pytest.raises(ValueError, match="image_pixels: expected 2 counts, one a class, got 1"):
        class_weights([1, 2], [3])


@pytest.mark.skipif("DEALIAS_CAMVID" not in os.environ, reason="DEALIAS_CAMVID: no CamVid")
def test_of_camvid_as_published_with_segnet(tmp_path):
    """The weights in SegNet's files, for which void is a class, and the labels a little older."""
    with_void = tmp_path / "with_void.yaml"
    names = [*load_class_set("camvid").names, "Void"]
    with_void.write_text(f"names: {json.dumps(names)}")
    output = tmp_path / "check.json"
    options = ["--data.name", "camvid", "--data.classes", str(with_void), "--data.workers", "0"]
    assert main(["data", "check", *options, "--parts", "[train]", "--output", str(output)]) == 0
    found = dict(zip(names, read_class_weights(output, ClassSet("v", tuple(names))), strict=True))
    assert round(found["Void"], 4) == 1.0974
    published = {
        "Sky": 0.2595,
        "Building": 0.1826,
        "Pole": 4.5640,
        "Road": 0.1417,
        "Pavement": 0.9051,
        "Tree": 0.3826,
        "Fence": 1.8418,
        "Car": 0.6823,
        "Pedestrian": 6.2478,
    }
    assert published == pytest.approx({name: found[name] for name in published}, rel=0.07)
