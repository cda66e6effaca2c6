"""Agreement with the results of the published evaluator, for its three readings of the labels."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dealias.cli import main
from dealias.labels import load_class_set, read_label_map
from dealias.metrics import HardPixelErrors
from dealias.metrics.functional import HardPixelCounts, count_hard_pixels, scores

READINGS = ["camvid_ignore11", "reduce_zero_label", "ignore255"]
TOLERANCE = 1e-5
VOID = 11


@pytest.fixture(scope="module")
def expected(official_evaluation):
    return json.loads((official_evaluation / "metrics_expected.json").read_text())


@pytest.fixture(scope="module")
def maps(official_evaluation):
    with np.load(official_evaluation / "metrics_inputs.npz") as file:
        return [(file[f"pred{i}"], file[f"gt{i}"]) for i in range(6)]


def stored(target, reading):
    """The target as each reading stores it."""
    if reading == "reduce_zero_label":
        return np.where(target == VOID, 0, target + 1).astype(np.uint8)
    return np.where(target == VOID, 255, target) if reading == "ignore255" else target


@pytest.fixture(params=READINGS)
def data(request, maps, tmp_path):
    """Folders of PNG files, and the class set that reads them."""
    reading = request.param
    folders = [tmp_path / "predictions", tmp_path / "targets"]
    for folder in folders:
        folder.mkdir()
    for index, (preds, target) in enumerate(maps):
        for folder, labels in zip(folders, (preds, stored(target, reading)), strict=True):
            Image.fromarray(labels).save(folder / f"{index}.png")
    content = {
        "names": list(load_class_set("camvid").names),
        "ignore_index": VOID if reading == "camvid_ignore11" else 255,
        "reduce_zero_label": reading == "reduce_zero_label",
    }
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(content))
    return reading, *folders, tmp_path / "classes.yaml"


def tensors(data):
    _, predictions, targets, class_file = data
    classes = load_class_set(class_file)
    for path in sorted(predictions.iterdir()):
        preds = read_label_map(path, classes, "prediction")
        target = read_label_map(targets / path.name, classes, "target")
        yield torch.from_numpy(preds), torch.from_numpy(target), classes.ignore_index


def assert_agrees(found, expected, reading):
    for name, value in expected[reading].items():
        assert float(found[name]) == pytest.approx(value, abs=TOLERANCE), name
    iou = [float(value) for value in found["IoU_per_class"]]
    assert iou == pytest.approx(expected[f"{reading}_IoU"], abs=TOLERANCE)


def test_the_function_agrees(data, expected, device):
    total = HardPixelCounts.zeros(11, device)
    for preds, target, void in tensors(data):
        total += count_hard_pixels(
            preds.to(device), target.to(device), num_classes=11, ignore_index=void
        )
    assert_agrees(scores(total), expected, data[0])


def test_the_class_agrees(data, expected, device):
    void = load_class_set(data[3]).ignore_index
    metric = HardPixelErrors(11, ignore_index=void).to(device)
    for preds, target, _ in tensors(data):
        metric.update(preds[None].to(device), target[None].to(device))
    assert_agrees(metric.compute() | metric.compute_per_class(), expected, data[0])


def test_the_command_agrees(data, expected, tmp_path):
    reading, predictions, targets, class_file = data
    output = tmp_path / "result.json"
    arguments = ["evaluate", "--predictions", predictions, "--targets", targets]
    arguments += ["--classes", class_file, "--output", output, "--workers", 2]
    assert main([str(argument) for argument in arguments]) == 0
    result = json.loads(output.read_text())
    per_class = [row["IoU"] for row in result["classes"]]
    assert_agrees(result["metrics"] | {"IoU_per_class": per_class}, expected, reading)
