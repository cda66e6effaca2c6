"""fit, test and predict for instances, as a person runs them."""

import json
import re
import shutil
from html import unescape

import pytest
import torch
import yaml
from PIL import Image

from dealias.cli import main
from dealias.instance import read_annotations, read_detections
from detectors import SMALL
from processes import in_two
from reports import script_arguments, unpacked
from squares import SIZE, write_squares

CATEGORY_IDS = (8, 3)
NETWORK = {
    "name": "mask_rcnn",
    "backbone": "test_resnet",
    "dealias": {"mixing": True},
    "options": SMALL["mask_rcnn"],
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    data = write_squares(folder / "data", category_ids=CATEGORY_IDS) | {
        "dark": {"keep_bright": True},
    }
    content = {
        "task": "instance",
        "model": {
            "network": NETWORK,
            "consistency": 0.01,
            "optimization": {"lr": 0.01, "lr_floor": 0.0, "drops": [0.5]},
        },
        "data": data,
        "trainer": {
            "accelerator": "cpu",
            "deterministic": "warn",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "max_steps": 4,
            "val_check_interval": 2,
        },
        "checkpoint_every": 2,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def command(name, config, output, *options):
    return main([name, "--config", str(config), "--output", str(output), *options])


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    assert command("fit", config, run) == 0
    return run


def state_of(path):
    return torch.load(path, weights_only=True)


def test_a_run_leaves_checkpoints_and_logs(trained):
    assert {"last.ckpt", "best.ckpt", "config.yaml"} <= {path.name for path in trained.iterdir()}
    (log,) = trained.glob("csv/*/metrics.csv")
    columns = set(log.read_text(encoding="utf-8").splitlines()[0].split(","))
    assert {"train/masks", "train/consistency", "val/mask_AP", "val/boundary_AP"} <= columns


def test_training_resumed_ends_with_the_same_weights(trained, config, tmp_path):
    stop = ["--trust", "--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=2"]
    assert command("fit", config, tmp_path / "run", *stop) == 0
    assert state_of(tmp_path / "run" / "last.ckpt")["global_step"] == 2
    assert command("fit", config, tmp_path / "run", "--ckpt_path", "last") == 0
    first, second = (state_of(run / "last.ckpt") for run in (trained, tmp_path / "run"))
    assert first["global_step"] == second["global_step"] == 4
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


def test_test_writes_and_prints_average_precision(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    assert command("test", config, tmp_path / "run", *checkpoint) == 0
    said = capsys.readouterr().out
    assert "boundary" in said
    assert "red" in said
    result = json.loads((tmp_path / "run" / "test" / "result.json").read_bytes())
    assert result["images"] == 6
    assert set(result["metrics"]) == {"box", "mask", "boundary"}
    path = tmp_path / "run" / "test" / "detections.json"
    detections = json.loads(path.read_bytes())
    assert len(detections) == result["detections"]
    named = {(entry["category_id"], entry["category"]) for entry in detections}
    assert named <= set(zip(CATEGORY_IDS, ("red", "blue"), strict=True))
    data = config.parent / "data"
    instances = read_annotations(data / "val.json", images=data / "val", classes=["red", "blue"])
    assert read_detections(path, instances).to_dict()["metrics"] == result["metrics"]


@pytest.mark.slow
def test_two_processes_find_what_one_finds(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    assert command("test", config, tmp_path / "one", *checkpoint) == 0
    page = ["--report", tmp_path / "page"]
    arguments = ["--config", config, "--output", tmp_path / "two", *checkpoint, *page]
    code, said, errors = in_two("test", *arguments)
    assert code == 0, errors
    assert said.count("6 images") == 1
    assert len([*tmp_path.glob("page/assets/maps/*.js")]) == 6
    one, two = (
        (tmp_path / name / "test" / "detections.json").read_bytes() for name in ("one", "two")
    )
    assert one == two
    results = [
        json.loads((tmp_path / name / "test" / "result.json").read_bytes())
        for name in ("one", "two")
    ]
    for key in ("images", "instances", "metrics", "classes", "errors"):
        assert results[0][key] == results[1][key], key


def test_validation_draws_pictures(trained):
    drawn = sorted(trained.glob("samples/*/*.png"))
    assert drawn
    with Image.open(drawn[0]) as picture:
        assert picture.size == (3 * SIZE[1], SIZE[0])


def test_a_test_writes_a_page(trained, config, tmp_path):
    run, page = tmp_path / "run", tmp_path / "page"
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt"), "--report", str(page)]
    checkpoint += ["--data.size", "[44, 33]"]  # of images of 64x48
    assert command("test", config, run, *checkpoint) == 0
    result = json.loads((run / "test" / "result.json").read_bytes())
    assert result["report"] == "../../page"
    assert result["errors_against_aliasing"]["site"]
    assert "Average precision" in (page / "index.html").read_text("utf-8")
    for folder in ("images", "originals", "thumbs"):
        pictures = list(page.glob(f"assets/{folder}/*.webp"))
        assert len(pictures) == result["images"]
        for path in pictures:
            with Image.open(path) as picture:
                assert picture.size == SIZE[::-1]
    script = next(page.glob("assets/maps/*.js")).read_text("ascii")
    _, content = script_arguments("dealias.maps.receive", script)
    assert unpacked(content)["aliasing"].shape == SIZE
    assert command("test", config, run, *checkpoint) == 2  # there already


def test_predict_finds_in_images_as_they_are_what_a_bright_test_finds(trained, config, tmp_path):
    folder = config.parent / "data" / "val"
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    run = tmp_path / "run"
    bright = ["--data.dark", "null"]
    assert command("test", config, run, *checkpoint, *bright) == 0
    images = ["--data.predict_images", str(folder)]
    assert command("predict", config, run, *checkpoint, *images) == 0
    found = sorted(run.glob("predictions/[!.]*.json"))
    assert [path.stem for path in found] == [str(index) for index in range(6)]
    predicted = [one for path in found for one in json.loads(path.read_bytes())]
    tested = json.loads((run / "test" / "detections.json").read_bytes())
    key = ("file_name", "category", "score", "bbox")
    assert [[one[k] for k in key] for one in predicted] == [[one[k] for k in key] for one in tested]


def test_other_tasks_and_missing_bright_images(config, tmp_path, capsys):
    assert command("fit", config, tmp_path / "run", "--task", "panoptic") == 2
    assert "expected segmentation or instance, got 'panoptic'" in capsys.readouterr().err
    assert command("fit", config, tmp_path / "run", "--data.dark.keep_bright", "false") == 2
    assert "data.dark.keep_bright" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.size", "[33, 44]"], r"size: expected \(longer side, shorter side\)"),
        (["--noise", "20"], "--noise: is for images that are tested on"),
    ],
)
def test_what_a_run_can_not_have_leaves_no_folder(config, tmp_path, capsys, options, message):
    assert command("fit", config, tmp_path / "run", *options) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_file_where_the_folder_is_to_be(config, tmp_path, capsys):
    file = tmp_path / "run"
    file.write_text("mine")
    for output in (file, file / "deeper"):
        assert command("fit", config, output) == 2
        assert "run: expected a folder, got a file" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["test", "predict", "fit"])
def test_a_checkpoint_of_other_classes_is_refused(trained, config, tmp_path, capsys, name):
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--data.classes", "[blue, red]"]
    options += ["--data.predict_images", str(config.parent / "data" / "val")]
    assert command(name, config, tmp_path / "run", *options) == 2
    said = capsys.readouterr().err
    assert "last.ckpt: expected the classes of the data in their order" in said
    assert "the first that differs is 'blue', which it has 'red' for" in said
    options[3] = "[red]"
    assert command(name, config, tmp_path / "run", *options) == 2
    said = capsys.readouterr().err
    assert "expected 1 classes, as the data has, got weights for 2: red, blue" in said
    assert not (tmp_path / "run").exists()


def test_predictions_of_a_test_have_the_ids_of_the_annotations(trained, config, tmp_path):
    run = tmp_path / "run"
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt"), "--label_maps", "true"]
    assert command("test", config, run, *checkpoint) == 0
    tested = json.loads((run / "test" / "detections.json").read_bytes())
    files = sorted(
        (run / "test" / "predictions").glob("[!.]*.json"), key=lambda path: int(path.stem)
    )
    assert [one for path in files for one in json.loads(path.read_bytes())] == tested
    assert {one["category_id"] for one in tested} <= set(CATEGORY_IDS)


def test_what_is_left_out_is_in_the_result_and_on_the_page(trained, config, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(config.parent / "data", data)
    content = json.loads((data / "val.json").read_bytes())
    content["annotations"][0]["bbox"] = [1, 1, 0, 4]
    (data / "val.json").write_text(json.dumps(content))
    (data / "val" / "3.png").write_bytes(b"no image")
    run, page = tmp_path / "run", tmp_path / "page"
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--data.root", str(data)]
    options += ["--data.skip_bad", "true", "--report", str(page), "--noise", "5"]
    assert command("test", config, run, *options) == 1
    said = capsys.readouterr().out
    skipped = json.loads((run / "test" / "result.json").read_bytes())["skipped"]
    assert len(skipped) == 2
    assert skipped[0].startswith("val: annotation 1: bbox: expected a positive width")
    assert "3.png: not an image" in skipped[1]
    html = (page / "index.html").read_text("utf-8")
    dark = "in the dark (exposure ratio 10 to 100, raw)"
    assert f"Instances of run {dark} and under noise, sigma 5 of 255" in html
    for message in ("val: annotation 1: bbox", "3.png: not an image"):
        assert said.count(message) == 1
        assert message in html
    assert f"results of {trained / 'last.ckpt'}: {run / 'test'}" in said
    assert "APs, APm and APl of mask and boundary: by the area of a detection's mask" in said
    plain = re.sub(r"\s+", " ", html)
    area = "that of its box where boxes are compared, otherwise of its mask."
    assert f"the area of a detection is {area}" in plain


def test_what_is_used_otherwise_is_in_the_result_and_on_the_page(trained, config, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(config.parent / "data", data)
    content = json.loads((data / "val.json").read_bytes())
    content["annotations"][3]["segmentation"].append([1, 2, 3, 4])
    content["annotations"][4]["area"] = content["annotations"][6]["area"] = 0
    content["categories"].append({"id": 99, "name": "Red"})
    (data / "val.json").write_text(json.dumps(content))
    run, page = tmp_path / "run", tmp_path / "page"
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--data.root", str(data)]
    options += ["--report", str(page), "--model.detection_area", "box"]
    assert command("test", config, run, *options) == 0
    said = capsys.readouterr().out
    result = json.loads((run / "test" / "result.json").read_bytes())
    assert result["skipped"] == []
    assert result["notes"] == [
        "val: category 99, 'Red', is no class; category 8, 'red', is",
        "val: broken polygons that are left out of a segmentation with others: 1, the first of "
        "annotation 4",
        "val: instances without an area, or with 0, that have the area of their mask: 2, the first "
        "of annotation 5",
    ]
    html = unescape((page / "index.html").read_text("utf-8"))
    for note in result["notes"]:
        assert said.count(note) == 1
        assert note in html
    assert result["detection_area"] == "box"
    assert "APs, APm and APl of mask and boundary: by the area of a detection's box" in said
    assert "the area of a detection is that of its box." in re.sub(r"\s+", " ", html)
    instances = read_annotations(data / "val.json", images=data / "val", classes=["red", "blue"])
    path = run / "test" / "detections.json"
    found = read_detections(path, instances, detection_area="box")
    assert found.to_dict()["metrics"] == result["metrics"]


def test_images_that_differ_in_suffix_alone_have_predictions_of_their_own(
    trained, config, tmp_path
):
    data = tmp_path / "data"
    shutil.copytree(config.parent / "data", data)
    content = json.loads((data / "val.json").read_bytes())
    with Image.open(data / "val" / "1.png") as image:
        image.save(data / "val" / "0.bmp")
    content["images"][1]["file_name"] = "0.bmp"
    (data / "val.json").write_text(json.dumps(content))
    run = tmp_path / "run"
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--label_maps", "true"]
    assert command("test", config, run, *options, "--data.root", str(data)) == 0
    found = sorted(path.name for path in run.glob("test/predictions/[!.]*.json"))
    assert found == ["0.bmp.json", *(f"{i}.png.json" for i in (0, 2, 3, 4, 5))]


def test_a_checkpoint_is_not_one_to_convert(trained, tmp_path, capsys):
    output = tmp_path / "converted"
    assert main(["convert", str(trained / "last.ckpt"), "--output", str(output)]) == 2
    assert "expected a network for semantic segmentation" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_refused(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    plain = ["--model.network.dealias", "null"]
    assert command("test", config, tmp_path / "run", *checkpoint, *plain) == 2
    assert "without frequency mixing" in capsys.readouterr().err


def test_shifts_are_for_label_maps(config, trained, tmp_path, capsys):
    """A network that finds instances gives none."""
    photographs = tmp_path / "images"
    photographs.mkdir()
    Image.new("RGB", (96, 96)).save(photographs / "one.png")
    maps = ["--unstable_maps", str(tmp_path / "maps"), "--data.predict_images", str(photographs)]
    for name, more in (("test", []), ("predict", maps)):
        options = ["--ckpt_path", str(trained / "last.ckpt"), "--shifts", "2", *more]
        assert command(name, config, tmp_path / name, *options) == 2
        said = capsys.readouterr().err
        assert "shifts: expected the task segmentation, whose output is a label map" in said
        assert said.count("\n") == 1
        assert not list(tmp_path.glob("*/test/*")) + list(tmp_path.glob("maps*"))
