"""dealias data check, as a person runs it."""

import json

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main
from image_folders import cut_short, write_classes, write_samples


@pytest.fixture
def root(tmp_path):
    write_samples(tmp_path, 3)
    write_samples(tmp_path, 2, split="val", seed=1)
    write_classes(tmp_path / "two.yaml", ["a[red]", "b"])
    (tmp_path / "data.yaml").write_text(
        "model: {network: {name: upernet}}\n"  # left to the commands that train
        "data:\n"
        "  name: folder\n"
        f"  root: {tmp_path}\n"
        f"  classes: {tmp_path / 'two.yaml'}\n"
        "  augmentation: {crop_size: [16, 16]}\n"
        "  workers: 0\n",
        encoding="utf-8",
    )
    return tmp_path


def check(root, *more):
    return main(["data", "check", "--config", str(root / "data.yaml"), *map(str, more)])


def strict(path):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_good_data_set(root, capsys):
    outputs = ["--output", root / "r.json", "--sheet", root / "s.png"]
    assert check(root, *outputs) == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    assert "train: split train, 3 images of 28x20; " in said
    assert "val: split val, 2 images of 28x20; " in said
    assert "a[red]" in said
    assert "every file can be used, and none is in two splits" in said
    result = strict(root / "r.json")
    assert result["ok"] is True
    labels = np.stack([Image.open(path) for path in (root / "labels/train").iterdir()])
    counts = [int((labels == label).sum()) for label in (0, 1, 255)]
    (train, _) = result["splits"]
    assert [row["pixels"] for row in train["classes"]] == counts[:2]
    assert train["void_pixels"] == counts[2]
    assert f"{100 * counts[2] / labels.size:.2f} % void" in said
    with Image.open(root / "s.png") as sheet:
        assert sheet.size == (1476, 3 * 204 + 22)  # 3 samples and 6 crops


def test_bad_files(root, capsys):
    cut_short(root / "images/train/01.png")
    (root / "labels/val/00.png").unlink()
    assert check(root, "--output", root / "r.json", "--sheet", root / "s.png") == 1
    said = capsys.readouterr().out
    assert "1 files that can't be used:" in said
    assert f"{root / 'images/train/01.png'}: can't be read" in said
    assert "1 files without a partner:" in said
    assert str(root / "images/val/00.png") in said
    assert "not every file is as it should be" in said
    result = strict(root / "r.json")
    assert result["ok"] is False
    assert len(result["splits"][0]["problems"]) == 1
    assert (root / "s.png").exists()


def test_nothing_that_can_be_used_is_still_json(root, capsys):
    for path in (root / "images/val").iterdir():
        path.write_bytes(b"")
    assert check(root, "--output", root / "r.json") == 1
    assert strict(root / "r.json")["splits"][1]["void_share"] is None
    assert "2 images of no size; - % void" in capsys.readouterr().out


def test_long_lists_are_cut_on_the_terminal_alone(root, capsys):
    write_samples(root, 12)
    for path in (root / "images/train").iterdir():
        path.write_bytes(b"")
    assert check(root, "--output", root / "r.json", "--parts=[train]") == 1
    said = capsys.readouterr().out
    assert "12 files that can't be used:" in said
    assert "and 2 more" in said
    assert len(strict(root / "r.json")["splits"][0]["problems"]) == 12


def test_hostile_names(root, capsys):
    name = "\x1b[31m\n[red]"
    for folder, ending in (("images", "png"), ("images", "jpg"), ("labels", "png")):
        (root / folder / f"val/{name}.{ending}").write_bytes(b"")
    assert check(root) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b[31m\\n[red].jpg" in said
    (root / "images/val" / f"{name}.jpg").unlink()
    assert check(root, "--output", root / "r.json", "--sheet", root / "s.png") == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[31m\\n[red].png: not an image" in said
    assert len(strict(root / "r.json")["splits"][1]["problems"]) == 1


def test_images_in_two_splits(root, capsys):
    (root / "some.txt").write_text("train/00\n", encoding="utf-8")
    assert check(root, "--data.splits.val", "some") == 1
    said = capsys.readouterr().out
    assert "1 images are in more than one split:" in said
    assert str(root / "images/train/00.png") in said


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--data.root=nowhere"], "nowhere: not a folder"),
        (["--data.batch_size=0"], "batch_size: expected at least 1, got 0"),
        (["--data.splits.val=nowhere"], "images/nowhere: no such folder"),
        (["--parts=[]"], "parts: expected at least one of train, val, test, got []"),
        (["--config=nowhere"], "nowhere: no such configuration file"),
        (["--output=nowhere/r.json"], "nowhere"),
    ],
)
def test_what_can_not_be_done(root, capsys, options, problem):
    assert check(root, *options) == 2
    said = capsys.readouterr().err
    assert said.startswith("dealias data: error: ")
    assert problem in said


def test_the_layout_is_shown_where_there_is_no_root(capsys, monkeypatch):
    monkeypatch.delenv("DEALIAS_CITYSCAPES", raising=False)
    assert main(["data", "check", "--data.name", "cityscapes"]) == 2
    said = capsys.readouterr().err
    assert "DEALIAS_CITYSCAPES" in said
    assert "leftImg8bit/" in said


def test_outputs_are_not_replaced_unasked(root, capsys):
    (root / "r.json").write_text("mine", encoding="utf-8")
    assert check(root, "--output", root / "r.json") == 2
    assert "r.json" in capsys.readouterr().err
    assert (root / "r.json").read_text(encoding="utf-8") == "mine"
    assert check(root, "--output", root / "r.json", "--overwrite") == 0
    assert strict(root / "r.json")["ok"] is True


@pytest.mark.parametrize("option", ["--data.batch_size=x", "--data.bach_size=1", "--parts=[all]"])
def test_options_that_are_none(root, capsys, option):
    assert check(root, option) == 2
    said = capsys.readouterr().err
    assert said.startswith("dealias data: error: ")
    assert said.count("\n") == 1


def test_scenes_from_a_configuration_that_comes_with_the_library(capsys):
    options = ["--data.scenes.train", "2", "--data.scenes.val", "1", "--data.workers", "0"]
    assert main(["data", "check", "--config", "scenes/tiny", *options]) == 0
    assert "train: split train, 2 images of 256x128" in capsys.readouterr().out


def test_camvid(camvid, tmp_path, capsys):
    options = ["--data.root", str(camvid), "--output", str(tmp_path / "r.json")]
    assert main(["data", "check", "--config", "camvid/upernet_lite0", *options]) == 0
    train, val = strict(tmp_path / "r.json")["splits"]
    assert (train["samples"], val["samples"]) == (367, 101)
    for split in (train, val):
        (size,) = split["sizes"]
        assert size == {"height": 360, "width": 480, "samples": split["samples"]}
        pixels = sum(row["pixels"] for row in split["classes"]) + split["void_pixels"]
        assert pixels == split["samples"] * 360 * 480
        assert split["unseen"] == []
    assert "367 images of 480x360; " in capsys.readouterr().out


def test_masks_of_0_and_255_are_pointed_out(root, capsys):
    for path in (root / "labels").rglob("*.png"):
        labels = np.array(Image.open(path))
        Image.fromarray((labels == 1).astype(np.uint8) * 255).save(path)
    assert check(root) == 0
    said = capsys.readouterr().out
    assert "warning: no target has b, and " in said
    assert "if 255 stands for b, add label_map: {0: 0, 255: 1} to the class set" in said


def test_large_tiles(root, capsys, monkeypatch):
    monkeypatch.setenv("DEALIAS_MAX_PIXELS", "1")  # to be as it was afterwards
    monkeypatch.delenv("DEALIAS_MAX_PIXELS")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    assert check(root) == 1
    assert "refused as a decompression bomb" in capsys.readouterr().out
    assert check(root, "--max_pixels", "560") == 0
    monkeypatch.delenv("DEALIAS_MAX_PIXELS")
    with (root / "data.yaml").open("a", encoding="utf-8") as file:
        file.write("max_pixels: 560\n")
    assert check(root) == 0


def test_photographs_to_be_turned_beside_upright_label_maps(root, capsys):
    exif = Image.Exif()
    exif[274] = 8
    path = root / "images/train/00.png"
    with Image.open(path) as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.save(path, exif=exif)
    assert check(root) == 1
    assert "00.png: expected pixels stored upright" in capsys.readouterr().out
