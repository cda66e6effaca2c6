"""Label maps, photographs and results that the tests of reports share."""

import json

import numpy as np
import yaml
from PIL import Image

from dealias.cli import main
from dealias.labels import ClassSet
from helpers import random_maps

HOSTILE_FILE = "<img src=x onerror=alert(1)>"
HOSTILE_CLASS = '<b title="x">pole & $x_1$</b>'
CLASSES = ClassSet("five", ("road", HOSTILE_CLASS, "car", "sky", "</script>"))


def write_folders(folder, count=5, size=(40, 56), seed=0):
    """Predictions a and b, targets and images of a few pairs, and the file of their class set."""
    names = [f"image_{index:02d}" for index in range(count - 1)] + [HOSTILE_FILE]
    for part in ("a", "b", "targets", "images"):
        (folder / part).mkdir(parents=True)
    for index, name in enumerate(names):
        first, target = (maps.numpy() for maps in random_maps(seed + index, *size, classes=5))
        rng = np.random.default_rng(index)
        mended = (rng.random(size) < 0.5) & (target != 255)
        second = np.where(mended, target, first)
        photograph = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        for part, pixels in (("a", first), ("b", second), ("targets", target)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / part / f"{name}.png")
        Image.fromarray(photograph).save(folder / "images" / f"{name}.png")
    (folder / "five.yaml").write_text(yaml.safe_dump({"names": list(CLASSES.names)}))
    return names


def evaluate(folder, side, *more):
    """The exit code of `dealias evaluate` on the predictions of one side."""
    fixed = ["--predictions", folder / side, "--targets", folder / "targets"]
    fixed += ["--classes", folder / "five.yaml", "--workers", "0", *more]
    return main(["evaluate", *map(str, fixed)])


def evaluated(folder, side, *more):
    """The result of `dealias evaluate`, by way of its file."""
    assert evaluate(folder, side, "--output", folder / f"{side}.json", *more) == 0
    return json.loads((folder / f"{side}.json").read_text())
