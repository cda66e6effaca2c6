"""Data sets of the library datasets in commands: the same figures as from folders."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from dealias.cli import main
from image_folders import write_classes, write_image
from runs import CONFIG, command

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from datasets import DatasetDict

    from image_tables import data_set, samples

NAMES = [f"{letter}.jpg" for letter in "bacd"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The same data as folders, as Parquet files and as save_to_disk writes them."""
    monkeypatch.chdir(tmp_path)
    pairs = {
        split: list(samples(4, size=(64, 96), seed=seed))
        for seed, split in enumerate(("train", "validation"))
    }
    held = DatasetDict({split: data_set(rows, NAMES) for split, rows in pairs.items()})
    held.save_to_disk("saved")
    (tmp_path / "files").mkdir()
    for split, rows in pairs.items():
        held[split].to_parquet(f"files/{split}-00000-of-00001.parquet")
        for name, (image, labels) in zip(NAMES, rows, strict=True):
            write_image(tmp_path / f"folder/images/{split}/{name[0]}.png", image)
            write_image(tmp_path / f"folder/labels/{split}/{name[0]}.png", labels)
    for index, (_, labels) in enumerate(pairs["validation"]):
        preds = np.where(labels == 255, 0, labels).astype(np.uint8)
        preds[index : index + 9, 5:30] ^= 1
        write_image(tmp_path / f"preds/{NAMES[index][0]}.png", preds)
    predicted = [
        (image, np.array(Pillow.open(f"preds/{name[0]}.png")))
        for name, (image, _) in zip(NAMES, pairs["validation"], strict=True)
    ]
    data_set(predicted, NAMES, label="prediction").to_parquet("preds.parquet")
    write_classes(tmp_path / "two.yaml", ["a", "b"])
    return tmp_path


def evaluate(predictions, targets, *more):
    options = ["--predictions", predictions, "--targets", targets, "--classes", "two.yaml"]
    arguments = ["evaluate", *options, "--workers", "0", "--output", "r.json", "--overwrite", *more]
    assert main(arguments) == 0
    return json.loads(Path("r.json").read_text(encoding="utf-8"))


def test_evaluation(place, capsys):
    expected = evaluate("preds", "folder/labels/validation")
    assert 0.5 < expected["metrics"]["mIoU"] < 1
    for predictions, targets in (
        ("preds", "files/validation-*.parquet"),
        ("preds.parquet", "saved/validation"),
        ("preds.parquet#prediction", "files/validation-00000-of-00001.parquet#annotation"),
    ):
        found = evaluate(predictions, targets)
        assert found["metrics"] == expected["metrics"]
        assert [row["name"] for row in found["per_image"]] == list("abcd")
    assert found["sources"]["targets"] == str(
        place / "files/validation-00000-of-00001.parquet#annotation"
    )
    files = "files/validation-*.parquet"
    evaluate("preds", files, "--images", files, "--error-maps", "maps", "--report", "page")
    assert len(list((place / "maps").glob("*.png"))) == 4
    capsys.readouterr()
    assert main(["figures", "r.json", "--output", "drawn"]) == 0
    assert (
        main(["evaluate", "--predictions", "preds", "--targets", "saved", "--classes", "two.yaml"])
        == 2
    )
    assert "saved: expected the folder of a split, got one of several" in capsys.readouterr().err


def test_training_and_test(place, capsys):
    text = CONFIG.replace("name: scenes", "{data}\n  classes: two.yaml").replace(
        "  scenes: {train: 6, val: 3, size: [64, 96]}\n", ""
    )
    assert "{data}" in text
    splits = "name: folder\n  root: folder\n  splits: {train: train, val: validation}"
    (place / "folder.yaml").write_text(text.replace("{data}", splits))
    found = {}
    for name in ("files", "saved"):
        data = f"name: huggingface\n  root: {name}"
        (place / f"{name}.yaml").write_text(text.replace("{data}", data))
    few = ["--trainer.max_steps", "2", "--data.workers", "1"]
    assert command("fit", "files.yaml", "run", *few) == 0
    for name in ("folder", "files", "saved"):
        more = ["--ckpt_path", "run/last.ckpt", "--results", f"test/{name}", "--label_maps", "true"]
        assert command("test", f"{name}.yaml", "run", *more) == 0
        found[name] = json.loads((place / f"test/{name}/result.json").read_text())["metrics"]
    page = ["--ckpt_path", "run/last.ckpt", "--results", "drawn", "--report", "page"]
    assert command("test", "files.yaml", "run", *page) == 0
    assert len(list((place / "page/assets/images").iterdir())) == 4
    assert found["files"] == found["saved"] == found["folder"]
    assert evaluate("test/saved/predictions", "saved/validation")["metrics"] == found["saved"]
    capsys.readouterr()
    assert main(["data", "check", "--config", "saved.yaml", "--sheet", "sheet.png"]) == 0
    assert main(["data", "check", "--config", "files.yaml", "--data.splits.val", "nope"]) == 2
    assert "got those of train, validation" in capsys.readouterr().err
