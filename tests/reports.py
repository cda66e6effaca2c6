"""Label maps, photographs and results that the tests of reports share."""

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import yaml
from PIL import Image

from dealias.cli import main
from dealias.instance import InstanceEvaluation, InstanceExample, InstanceReportWriter
from dealias.labels import ClassSet
from helpers import random_maps
from instances import CLASSES as INSTANCE_CLASSES
from instances import random_case

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


def object_maps():
    """A prediction, its target, and their marks of objects, worked by hand.

    Of 1 a pair is merged, the 2 has vanished, the 3 is false and the 4 is split.
    """
    preds, target = (np.zeros((8, 16), np.uint8) for _ in range(2))
    marks = np.zeros((8, 16), np.uint8)
    target[1:3, 1:4], marks[1:3, 1:4] = 2, 1
    preds[1:3, 6:12] = 1
    for left in (6, 10):
        target[1:3, left : left + 2], marks[1:3, left : left + 2] = 1, 2
    target[5:7, 8:15], marks[5:7, 8:15] = 4, 4
    preds[5:7, 8:10] = preds[5:7, 13:15] = 4
    preds[5:7, 2:5], marks[5:7, 2:5] = 3, 8
    return preds, target, marks


def evaluate(folder, side, *more):
    """The exit code of `dealias evaluate` on the predictions of one side."""
    fixed = ["--predictions", folder / side, "--targets", folder / "targets"]
    fixed += ["--classes", folder / "five.yaml", "--workers", "0", *more]
    return main(["evaluate", *map(str, fixed)])


def evaluated(folder, side, *more):
    """The result of `dealias evaluate`, by way of its file."""
    assert evaluate(folder, side, "--output", folder / f"{side}.json", *more) == 0
    return json.loads((folder / f"{side}.json").read_text())


def instance_evaluation(seed=0):
    """Images with random instances and detections; one has a name that looks like code."""
    evaluation = InstanceEvaluation((*INSTANCE_CLASSES[:2], HOSTILE_CLASS))
    for image, detections in zip(*random_case(seed), strict=True):
        name = HOSTILE_FILE if image.id == 3 else image.name
        evaluation.absorb(replace(image, name=name), detections)
    return evaluation


def write_instance_page(folder, evaluation, **more):
    """The page of an evaluation, with noise for photographs and for aliasing scores."""
    rng = np.random.default_rng(0)
    with InstanceReportWriter(folder) as writer:
        for image, detections in evaluation.found:
            pictures = rng.integers(0, 256, (2, *image.size, 3), dtype=np.uint8)
            scores = rng.random(image.size)
            writer.add(
                InstanceExample(
                    image, detections, pictures[0], original=pictures[1], aliasing=scores
                )
            )
        return writer.finish(evaluation, **more)


def script_arguments(function, text):
    """The arguments of a script of a page, which calls a function."""
    start, end = f"{function}(", ");\n"
    assert text.startswith(start)
    assert text.endswith(end)
    return json.loads(f"[{text[len(start) : -len(end)]}]")


def unpacked(packed):
    """The planes of an image by name, as the scripts of a page hold them."""
    height, width = packed["height"], packed["width"]
    data, planes = zlib.decompress(base64.b64decode(packed["data"], validate=True)), {}
    for name, size in packed["bytes"].items():
        part, data = data[: height * width * size], data[height * width * size :]
        plane = np.frombuffer(part, f"<u{size}").reshape(height, width)
        planes[name] = np.bitwise_xor.accumulate(plane, axis=0)
    assert not data
    return planes
