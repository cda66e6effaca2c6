"""The configurations for COCO 2017, trained and tested on a few images as a person runs them."""

import json
import math

import pytest
import torch

from coco2017 import CATEGORY_IDS, IMAGES, write_coco
from coco_files import judge
from dealias.cli import main
from dealias.engine import find_config
from dealias.engine.configs import read_config
from dealias.instance import COCO_CLASSES, InstanceDataModule
from detectors import SMALL

CONFIGS = ["coco/mask_rcnn_r50", "coco/mask_rcnn_r50_dealiased"]


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("data") / "coco")


@pytest.fixture(autouse=True)
def _found(coco, monkeypatch):
    monkeypatch.setenv("DEALIAS_COCO", str(coco))


def test_data_check_reads_what_is_published(tmp_path, capsys):
    options = ["--config", CONFIGS[0], "--data.workers", "0", "--output", str(tmp_path / "c.json")]
    options += ["--sheet", str(tmp_path / "sheet.png")]
    assert main(["data", "check", *options]) == 0
    train, val = json.loads((tmp_path / "c.json").read_bytes())["splits"]
    for split in (train, val):
        assert (split["images"], split["empty"], split["instances"]) == (IMAGES, 2, 14)
        rows = {row["name"]: row for row in split["classes"]}
        assert list(rows) == list(COCO_CLASSES)
        found = {name: row["instances"] for name, row in rows.items() if row["instances"]}
        assert found == {"person": 4, "stop sign": 4, "book": 2, "toothbrush": 4}
        assert rows["person"]["crowds"] == 2
        assert split["problems"] == []
        assert split["notes"] == [
            "instances whose polygons cover no pixel, which no mask can match: 2, the first of "
            "annotation 907"
        ]
    assert "2 of them without an instance" in capsys.readouterr().out


def test_steps_are_those_of_twelve_epochs():
    """117,266 images, 16 a step."""
    config = read_config(find_config(CONFIGS[0]))
    steps = config["trainer"]["max_epochs"] * -(-117_266 // config["data"]["batch_size"])
    assert steps == 87_960
    drops = config["model"]["optimization"]["drops"]
    assert [round(share * steps) for share in drops] == [8 * 7_330, 11 * 7_330]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_fit_and_test_give_the_scores_of_pycocotools(name, coco, tmp_path, capsys):
    small = SMALL["mask_rcnn"] | {"score_threshold": 0.0, "detections": 30}
    options = ["--config", name, "--output", str(tmp_path / "run"), "--data.workers", "0"]
    options += ["--data.size", "[96, 64]", "--data.batch_size", "2"]
    options += ["--model.network.backbone_weights", "null", "--trainer.accelerator", "cpu"]
    options += [f"--model.network.options.{key}={value}" for key, value in small.items()]
    options += ["--trainer.enable_progress_bar", "false"]
    epochs = ["--trainer.max_epochs", "2", "--model.optimization.warmup_steps", "2"]
    assert main(["fit", *options, *epochs]) == 0
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 4  # of the four images with an instance, 2 a step
    mixed = any("frequency_mixing" in key for key in state["state_dict"])
    assert mixed == name.endswith("dealiased")
    assert main(["test", *options, "--report", str(tmp_path / "page")]) == 0
    result = json.loads((tmp_path / "run" / "test" / "result.json").read_bytes())
    assert (result["images"], result["instances"]) == (IMAGES, 14)
    found = json.loads((tmp_path / "run" / "test" / "detections.json").read_bytes())
    assert {entry["category_id"] for entry in found} <= {*CATEGORY_IDS}
    assert len({entry["image_id"] for entry in found}) == IMAGES
    content = json.loads((coco / "annotations/instances_val2017.json").read_bytes())
    keys = ("image_id", "category_id", "score", "bbox", "segmentation")
    plain = [{key: entry[key] for key in keys} for entry in found]
    boxes, _ = judge(content, plain, "bbox")
    masks = [{key: entry[key] for key in keys if key != "bbox"} for entry in plain]
    for overlap, expected in (("box", boxes), ("mask", judge(content, masks, "segm")[0])):
        values = result["metrics"][overlap].values()
        scores = [math.nan if value is None else value for value in values]
        assert scores == pytest.approx(expected, abs=1e-6, nan_ok=True), overlap
    assert "book" in capsys.readouterr().out


def test_images_without_an_instance_are_not_trained_on():
    data = InstanceDataModule(name="coco", size=None, workers=0, batch_size=4, skip_empty=True)
    data.setup("fit")
    assert len(data.prepare("train")) == 4
    assert len(data.prepare("val")) == IMAGES
    assert "train: images without an instance, which are not trained on: 2" in data.notes
    batch = next(iter(data.train_dataloader()))
    # Three squares each, and a crowd, which the loss leaves out; none without a pixel.
    assert sorted(len(target["labels"]) for target in batch["target"]) == [3, 3, 3, 4]
    assert len(InstanceDataModule(name="coco", workers=0).prepare("train")) == IMAGES
