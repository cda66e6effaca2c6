"""``dealias evaluate`` on what public networks predicted, as their repositories show it."""

import json

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main
from dealias.labels import load_class_set

# Worked out apart from this project, in percent.
CAMVID_FIGURES = {
    "camvid_espnet": (69.23, 59.38, 75.31, 24.36, 24.90, 24.72),
    "camvid_espnet_two_shifts": (69.55, 59.71, 75.36, 24.29, 24.80, 24.58),
}


def evaluate(tmp_path, predictions, targets, classes):
    output = tmp_path / "result.json"
    arguments = ["--predictions", predictions, "--targets", targets, "--classes", classes]
    assert main(["evaluate", *map(str, arguments), "--output", str(output)]) == 0
    return json.loads(output.read_text())


@pytest.mark.parametrize("name", CAMVID_FIGURES)
def test_camvid(tmp_path, predictions, camvid, name):
    result = evaluate(tmp_path, predictions / name, camvid / "valannot", "camvid")
    found = [result["metrics"][key] for key in ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")]
    assert tuple(round(100 * value, 2) for value in found) == CAMVID_FIGURES[name]
    assert result["images"] == 101
    assert result["warnings"] == []


def test_voc_in_colours_with_both_in_one_folder(tmp_path, predictions):
    result = evaluate(tmp_path, predictions / "voc", predictions / "voc", "voc2012")
    assert result["images"] == 14
    classes = load_class_set("voc2012")
    codes = (np.array(classes.palette) << (16, 8, 0)).sum(1)
    both, either = np.zeros((2, 21), np.int64)
    for path in (predictions / "voc").glob("*_target.png"):
        other = path.with_name(path.name.replace("_target", "_pred"))
        true, found = ((np.array(Image.open(p)) << (16, 8, 0)).sum(2) for p in (path, other))
        known = np.isin(true, codes)
        for label, code in enumerate(codes):
            mine, theirs = (true == code) & known, (found == code) & known
            both[label] += (mine & theirs).sum()
            either[label] += (mine | theirs).sum()
    with np.errstate(invalid="ignore"):
        expected = np.nanmean(both / either)
    assert result["metrics"]["mIoU"] == pytest.approx(expected, abs=1e-12)
