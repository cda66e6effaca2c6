"""Label maps of more classes than a byte holds."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dealias.cli import main
from dealias.engine.segmentation import SegmentationTask
from dealias.labels import ClassSet, read_label_map, write_label_map
from dealias.models.upernet import Classifier
from dealias.report import page_examples

SIZE = (40, 60)


def class_set(count, void):
    return ClassSet("many", tuple(f"thing {k}" for k in range(count)), ignore_index=void)


def some_maps(count, void, seed=0):
    """A target with void, and a prediction that is right but for two columns of blocks."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, count, (4, 6)).repeat(10, 0).repeat(10, 1)
    target[-1, -1] = count - 1
    prediction = target.copy()
    prediction[:, :20] = rng.integers(0, count, (4, 2)).repeat(10, 0).repeat(10, 1)
    target = target.astype(np.int64)
    target[:3, :4] = void
    return prediction, target


def mean_iou(pairs, count, void):
    table = np.zeros((count, count), np.int64)
    for prediction, target in pairs:
        known = target != void
        np.add.at(table, (target[known], prediction[known]), 1)
    right = table.diagonal()
    union = table.sum(0) + table.sum(1) - right
    return float(np.mean(right[union > 0] / union[union > 0]))


@pytest.mark.parametrize(("count", "void"), [(255, 255), (256, 65535), (257, 999), (300, 65535)])
class TestLabelMaps:
    def test_from_files_to_the_page(self, count, void, tmp_path):
        classes = class_set(count, void)
        pairs = [some_maps(count, void, seed) for seed in range(2)]
        for folder in ("preds", "targets"):
            (tmp_path / folder).mkdir()
        for k, (prediction, target) in enumerate(pairs):
            write_label_map(tmp_path / "preds" / f"{k}.png", prediction, classes)
            Image.fromarray(target.astype(np.uint16)).save(tmp_path / "targets" / f"{k}.png")
            for folder, role, labels in (
                ("preds", "prediction", prediction),
                ("targets", "target", target),
            ):
                stored = read_label_map(tmp_path / folder / f"{k}.png", classes, role)
                assert np.array_equal(stored, labels)
        (tmp_path / "many.yaml").write_text(
            json.dumps({"names": list(classes.names), "ignore_index": void})
        )
        names = ("predictions", "targets", "classes", "error-maps", "report", "output")
        files = ("preds", "targets", "many.yaml", "maps", "page", "out.json")
        options = [f"--{name}={tmp_path / file}" for name, file in zip(names, files, strict=True)]
        assert main(["evaluate", *options, "--workers=0"]) == 0
        result = json.loads((tmp_path / "out.json").read_bytes())
        assert result["metrics"]["mIoU"] == pytest.approx(mean_iou(pairs, count, void), abs=1e-9)
        page = page_examples(tmp_path / "page")
        for k, (prediction, target) in enumerate(pairs):
            shown = page.load(str(k))
            assert np.array_equal(shown.preds, prediction)
            assert np.array_equal(shown.target, target)
            wrong = np.asarray(Image.open(tmp_path / "maps" / f"{k}.png")).std(-1) > 0
            assert np.array_equal(wrong, (prediction != target) & (target != void))

    def test_a_network_writes_them(self, count, void, tmp_path):
        classes = class_set(count, void)
        network = {"name": "upernet", "backbone": "test_resnet", "channels": 16}
        task = SegmentationTask(network, classes).eval()
        with torch.no_grad():
            for layer in task.network.modules():
                if isinstance(layer, Classifier):
                    layer[-1].bias[count - 1] += 1e3
        image = torch.zeros(1, 3, *SIZE, dtype=torch.uint8)
        with torch.no_grad():
            found = task.predict_labels(image)
        assert (found == count - 1).all()
        task.write_prediction(tmp_path, "a", found)
        stored = read_label_map(tmp_path / "a.png", classes, "prediction")
        assert np.array_equal(stored, np.full(SIZE, count - 1))
        target = torch.full((1, *SIZE), count - 1)
        target[:, :5] = void
        picture = task.picture({"image": image, "target": target}, found)
        drawn = picture[:, SIZE[1] : 2 * SIZE[1]]
        assert (drawn[:5] == 0).all()
        assert (drawn[5:] == classes.colors()[-1]).all()


def test_a_class_set_says_that_it_needs_another_void():
    with pytest.raises(ValueError, match=r"an ignore_index outside 0\.\.255, got 255.*65535"):
        ClassSet("many", tuple(map(str, range(256))))


def test_void_is_painted_black_whatever_holds_the_labels():
    classes = class_set(256, 999)
    first, last = classes.colors()[[0, 255]].tolist()
    assert classes.paint(np.array([[0, 255]], np.uint8)).tolist() == [[first, last]]
    for kind in (np.uint16, np.int64):
        painted = classes.paint(np.array([[0, 999, 255]], kind))
        assert painted.dtype == np.uint8
        assert painted.tolist() == [[first, [0, 0, 0], last]]
