"""dealias data check for instances, as a person runs it."""

import json
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from dealias.cli import main
from squares import write_squares


@pytest.fixture
def root(tmp_path):
    content = {"task": "instance", "model": {"network": {"name": "mask_rcnn"}}}
    content["data"] = write_squares(tmp_path)
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return tmp_path


def check(root, *more):
    return main(["data", "check", "--config", str(root / "data.yaml"), *map(str, more)])


def break_annotations(root, count=1):
    """Give annotations of the training split boxes without area."""
    path = root / "train.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for annotation in content["annotations"][:count]:
        annotation["bbox"] = [1, 1, 0, 4]
    path.write_text(json.dumps(content), encoding="utf-8")


def splits(path):
    return json.loads(path.read_text(encoding="utf-8"))["splits"]


def test_a_good_data_set(root, capsys):
    assert check(root, "--output", root / "r.json", "--sheet", root / "s.png") == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    assert "train: split train, 6 images of 64x48; 0 of them without an instance" in said
    assert "val: split val, 6 images of 64x48; 0 of them without an instance" in said
    rows = [line.replace("│", " ").split() for line in said.splitlines()]
    for name in ("red", "blue"):
        assert rows.count([name, "6", "6", "6", "0", "0", "0"]) == 2
    assert "every file can be used, and none is in two splits" in said
    assert [split["instances"] for split in splits(root / "r.json")] == [12, 12]
    with Image.open(root / "s.png") as sheet:
        assert sheet.size == (1464, 3 * 294 + 22)


def test_what_can_not_be_used_is_listed(root, capsys):
    break_annotations(root)
    (root / "train" / "3.png").write_bytes(b"no image")
    (root / "val" / "2.png").unlink()
    assert check(root, "--output", root / "r.json", "--sheet", root / "s.png") == 1
    said = capsys.readouterr().out
    assert "annotations or images that can't be used: 2" in said
    assert "  annotation 1: bbox: expected a positive width and height" in said
    assert f"  {root / 'train/3.png'}: not an image" in said
    assert "annotations or images that can't be used: 1" in said
    assert f"  image 2: no such file: {root / 'val/2.png'}" in said
    assert "not every file is as it should be" in said
    assert [len(split["problems"]) for split in splits(root / "r.json")] == [2, 1]
    assert (root / "s.png").exists()


def test_what_is_used_otherwise_is_said(root, capsys):
    content = json.loads((root / "train.json").read_bytes())
    content["annotations"][2]["segmentation"].insert(0, [1, 2])
    (root / "train.json").write_text(json.dumps(content))
    assert check(root, "--output", str(root / "out.json")) == 0
    note = (
        "broken polygons that are left out of a segmentation with others: 1, the first of "
        "annotation 3"
    )
    assert capsys.readouterr().out.count(note) == 1
    assert [split["notes"] for split in splits(root / "out.json")] == [[note], []]


def test_long_lists_are_cut_on_the_terminal_alone(root, capsys):
    break_annotations(root, 11)
    assert check(root, "--output", root / "r.json", "--parts=[train]") == 1
    said = capsys.readouterr().out
    assert "annotations or images that can't be used: 11" in said
    assert "annotation 10:" in said
    assert "annotation 11:" not in said
    assert "and 1 more" in said
    assert len(splits(root / "r.json")[0]["problems"]) == 11


def test_categories_that_are_no_classes_are_counted(root, capsys):
    assert check(root, "--data.classes=[blue]") == 0
    assert "left out, as they are no classes: red 6" in capsys.readouterr().out


def test_hostile_names(root, capsys):
    path = root / "train.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["categories"].append({"id": 3, "name": "\x1b[31m"})
    content["annotations"][0]["category_id"] = 3
    content["images"][1]["file_name"] = "\x1b[32m\n[red].png"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert check(root) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "no classes: \\x1b[31m 1" in said
    assert "\\x1b[32m\\n[red].png" in said


def test_images_in_two_splits(root, capsys):
    assert check(root, '--data.images={"train": "train", "val": "train"}') == 1
    said = capsys.readouterr().out
    assert "6 images are in more than one split:" in said
    assert str(root / "train/0.png") in said


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--data.root=nowhere"], "nowhere"),
        (["--data.splits.val=other"], "images: expected a path for split 'other'"),
        (["--data.dark=true"], "data.dark: is now a mapping, {} for its defaults"),
        (["--data.keep_bright", "true"], "data.keep_bright: is now data.dark.keep_bright"),
        (["--data.batch_size=0"], "batch_size: expected at least 1, got 0"),
        (["--data.classes=[green]"], "class 'green': no category of this name"),
        (["--parts=[]"], "parts: expected at least one of train, val, test, got []"),
        (["--task=panoptic"], "task: expected segmentation or instance, got 'panoptic'"),
        (["--output=nowhere/r.json"], "nowhere"),
    ],
)
def test_what_can_not_be_done(root, capsys, options, problem):
    assert check(root, *options) == 2
    said = capsys.readouterr().err
    assert said.startswith("dealias data: error: ")
    assert problem in said


@pytest.mark.parametrize("text", ["", "{", '{"images": []}'])
def test_annotations_that_are_none(root, capsys, text):
    (root / "val.json").write_text(text, encoding="utf-8")
    assert check(root) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dealias data: error: {root / 'val.json'}: expected ")


def test_outputs_are_not_replaced_unasked(root, capsys):
    (root / "s.png").write_text("mine", encoding="utf-8")
    assert check(root, "--sheet", root / "s.png") == 2
    assert "s.png" in capsys.readouterr().err
    assert (root / "s.png").read_text(encoding="utf-8") == "mine"
    assert check(root, "--sheet", root / "s.png", "--overwrite") == 0
    with Image.open(root / "s.png") as sheet:
        assert sheet.width == 1464


def test_the_option_goes_before_the_task_of_the_configuration(root, capsys):
    assert check(root, "--task", "segmentation") == 2  # a class set is no list
    assert "data.classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", ["--data.crop_size=[8, 8]", "--data.dark.ratio=x", "--parts=[all]"]
)
def test_options_that_are_none(root, capsys, option):
    assert check(root, option) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_label_maps_need_no_libraries_for_instances():
    code = (
        "import sys; sys.modules['faster_coco_eval'] = None\n"
        "from dealias.cli import main\n"
        "start = ['data', 'check', '--data.name']\n"
        "scenes = [f'--data.{key}={n}' for key, n in "
        "(('scenes.train', 1), ('scenes.val', 1), ('workers', 0))]\n"
        "assert main([*start, 'scenes', '--data.scenes.size=[64, 64]', *scenes]) == 0\n"
        "assert not any(name.startswith('dealias.instance') for name in sys.modules)\n"
        "sys.exit(main([*start, 'coco', '--task', 'instance']))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("dealias data: error: the package faster_coco_eval is not there")


def test_camvid(camvid, tmp_path, capsys):
    options = ["--task", "instance", "--data.name", "camvid", "--data.root", str(camvid)]
    options += ["--data.limit", "4", "--data.dark", "{}", "--data.workers", "0"]
    options += ["--parts", "[val]", "--sheet", str(tmp_path / "s.png")]
    assert main(["data", "check", *options, "--output", str(tmp_path / "r.json")]) == 0
    (val,) = splits(tmp_path / "r.json")
    assert val["sizes"] == [{"height": 360, "width": 480, "samples": 4}]
    names = [row["name"] for row in val["classes"]]
    assert names == ["Car", "Pedestrian", "Bicyclist", "SignSymbol"]
    for row in val["classes"]:
        assert row["instances"] == row["small"] + row["medium"] + row["large"] >= row["images"] > 0
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (1464, 2 * 294 + 22)
    assert "val: split val, 4 images of 480x360" in capsys.readouterr().out


def test_a_configuration_that_comes_with_the_library(camvid, monkeypatch, capsys):
    monkeypatch.setenv("DEALIAS_CAMVID", str(camvid))
    options = ["--config", "camvid_dark/mask_rcnn_lite", "--data.limit", "2", "--data.workers", "0"]
    assert main(["data", "check", *options]) == 0
    assert "train: split train, 2 images of 480x360" in capsys.readouterr().out
