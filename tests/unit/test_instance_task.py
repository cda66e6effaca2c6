"""How a network for instances is trained."""

import json
import warnings

import pytest
import pytorch_lightning as pl
import torch

from dealias.instance import InstanceDataModule, InstanceTask, feature_consistency
from detectors import SMALL
from squares import write_squares

NETWORK = {
    "name": "mask_rcnn",
    "backbone": "test_resnet",
    "options": SMALL["mask_rcnn"],
    "mean": [0.2, 0.4, 0.6],
    "std": [0.1, 0.2, 0.5],
}


@pytest.fixture
def batch():
    images = [torch.randint(256, (3, *size), dtype=torch.uint8) for size in ((48, 64), (40, 70))]
    none = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "iscrowd": torch.zeros(0, dtype=torch.int64),
    }
    return {
        "image": images,
        "bright": [image.clone().clamp_min(90) for image in images],
        "target": [
            none | {"masks": torch.zeros(0, *x.shape[1:], dtype=torch.uint8)} for x in images
        ],
        "name": ["a", "b"],
        "skipped": ["c.png: not an image"],
    }


def task(monkeypatch, **options):
    """A task, and the terms of its losses, which it would log to a trainer."""
    made, seen = InstanceTask(NETWORK, ["red", "blue"], **options).eval(), []
    monkeypatch.setattr(made, "add_up", lambda terms, names: seen.append((terms, names)))
    return made, seen


def test_images_are_scaled_as_the_network_takes_them(monkeypatch):
    made, _ = task(monkeypatch)
    images, sizes = made.stack([torch.tensor([51, 102, 255], dtype=torch.uint8)[:, None, None]])
    assert sizes == [(1, 1)]
    # (0.2 - 0.2) / 0.1, (0.4 - 0.4) / 0.2, (1 - 0.6) / 0.5
    torch.testing.assert_close(images[0, :, 0, 0], torch.tensor([0.0, 0.0, 0.8]))


def test_dark_features_are_held_to_the_bright_ones(monkeypatch, batch):
    made, seen = task(monkeypatch, consistency=0.01)
    made.training_step(batch, 0)
    ((terms, names),) = seen
    dark, bright = (made.network.features(made.stack(batch[key])[0]) for key in ("image", "bright"))
    torch.testing.assert_close(terms["consistency"], 0.01 * feature_consistency(bright, dark))
    assert terms["consistency"] > 0
    assert names == ["a", "b"]
    assert made.skipped == batch["skipped"]
    with pytest.raises(ValueError, match="consistency: expected bright images"):
        made.training_step({key: batch[key] for key in batch if key != "bright"}, 0)
    assert made.skipped == batch["skipped"]  # once, though met twice


def test_without_its_weight_there_is_no_such_term(monkeypatch, batch):
    made, seen = task(monkeypatch)
    made.training_step(batch, 0)
    assert "consistency" not in seen[0][0]


def test_a_plain_trainer_predicts_with_numbers_for_classes(tmp_path):
    data = InstanceDataModule(
        **write_squares(tmp_path, category_ids=(8, 3)), predict_images=tmp_path / "val"
    )
    network = NETWORK | {"options": NETWORK["options"] | {"score_threshold": 0.0}}
    made = InstanceTask(network, data.classes)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, of workers and the like
        trainer.test(made, data, verbose=False)
        found = trainer.predict(made, data)
    assert len(found) == 6
    image, detections = found[0]
    assert (image.name, len(detections) > 0) == ("0.png", True)
    made.write_prediction(tmp_path / "out", "0", found[0])
    written = json.loads((tmp_path / "out" / "0.json").read_bytes())
    assert len(written) == len(detections)
    assert {one["category_id"] for one in written} <= {1, 2}


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_other_weights_are_refused(weight):
    with pytest.raises(ValueError, match="consistency: expected a weight from 0 on"):
        InstanceTask(NETWORK, ["red"], consistency=weight)
