"""dealias detections, as a person runs it."""

import json

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main

SQUARES = [(8, 8), (40, 24)]  # left and top of squares of 16 pixels


def square(left, top):
    right, bottom = left + 16, top + 16
    return [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture
def folder(tmp_path):
    """Two images of a square each; the second square is not found."""
    (tmp_path / "images").mkdir()
    annotations, images = [], []
    for id_, (left, top) in enumerate(SQUARES, start=1):
        Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / f"images/{id_}.png")
        images.append({"id": id_, "file_name": f"{id_}.png", "height": 64, "width": 96})
        annotations.append(
            {
                "id": id_,
                "image_id": id_,
                "category_id": 7,
                "segmentation": square(left, top),
                "bbox": [left, top, 16, 16],
                "area": 256,
                "iscrowd": 0,
            }
        )
    categories = [{"id": 7, "name": "square"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    write_results(tmp_path, [{"segmentation": square(*SQUARES[0])}])
    return tmp_path


def write_results(folder, parts):
    entries = [{"image_id": 1, "category_id": 7, "score": 0.9, **part} for part in parts]
    (folder / "results.json").write_text(json.dumps(entries), encoding="utf-8")


def detections(folder, *options):
    names = ["--annotations", str(folder / "annotations.json"), "--images", str(folder / "images")]
    return main(["detections", str(folder / "results.json"), *names, *map(str, options)])


def test_the_figures_and_the_page(folder, capsys):
    output, report = folder / "out.json", folder / "page"
    assert detections(folder, "--output", output, "--report", report) == 0
    result = json.loads(output.read_text(encoding="utf-8"))
    # One of two found, without a false one: precision is 1 up to recall 0.5, of 101 points 51.
    assert result["metrics"]["mask"]["AP50"] == pytest.approx(51 / 101)
    assert result["errors"]["kinds"]["missed"]["count"] == 1
    assert (report / "index.html").is_file()
    said = capsys.readouterr().out
    assert "2 images, 2 instances, 1 detections" in said
    assert detections(folder, "--output", output) == 2
    assert "exists already" in capsys.readouterr().err


def test_detections_on_images_that_are_left_out_are_left_out_too(folder, capsys):
    (folder / "images" / "2.png").unlink()
    parts = [{"segmentation": square(*at), "image_id": id_} for id_, at in enumerate(SQUARES, 1)]
    write_results(folder, parts)
    assert detections(folder, "--output", folder / "out.json", "--skip-bad") == 1
    result = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert result["metrics"]["mask"]["AP"] == pytest.approx(1)
    said = capsys.readouterr().out
    assert "1 images, 1 instances, 1 detections" in said
    assert "detections on images that can't be used, left out: 1, the first of entry 2" in said


def test_what_cannot_be_used_is_a_line(folder, capsys):
    write_results(folder, [{"segmentation": square(0, 0), "image_id": 9}])
    assert detections(folder, "--output", folder / "out.json") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "results.json: entry 1: image_id: expected one that is known, got 9" in said
    assert not (folder / "out.json").exists()


def test_missing_images_are_left_out_if_asked(folder, capsys):
    (folder / "images" / "2.png").unlink()
    assert detections(folder) == 2
    assert "2.png" in capsys.readouterr().err
    assert detections(folder, "--skip-bad") == 1
    said = capsys.readouterr().out
    assert "1 images, 1 instances, 1 detections" in said
    assert "2.png" in said


def test_boxes_alone(folder, capsys):
    path, output, report = folder / "annotations.json", folder / "out.json", folder / "page"
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content["annotations"]:
        del entry["segmentation"]
    path.write_text(json.dumps(content), encoding="utf-8")
    write_results(folder, [{"bbox": [8, 8, 16, 16]}, {"bbox": [14, 8, 16, 16], "score": 0.8}])
    assert detections(folder, "--output", output, "--report", report) == 0
    result = json.loads(output.read_text(encoding="utf-8"))
    assert [*result["metrics"]] == ["box"]
    assert result["metrics"]["box"]["AP50"] == pytest.approx(51 / 101)
    said = capsys.readouterr().out
    assert "errors of boxes at IoU 0.5" in said
    assert "badly placed" in said
    assert "mask" not in said
    assert "Badly placed" in (report / "index.html").read_text(encoding="utf-8")
    write_results(folder, [{"bbox": [8, 8, 16, 16]}, {"segmentation": square(8, 8)}])
    assert detections(folder) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "entry 1: segmentation: expected polygons or run lengths, as entry 2 has" in said
