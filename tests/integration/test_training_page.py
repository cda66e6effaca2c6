"""docs/training.md, followed word for word."""

import re
from pathlib import Path

import pytest
import yaml

from dealias.cli import main
from dealias.data import write_scenes
from dealias.labels import load_class_set
from runs import command

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--data.workers=0"]


def blocks():
    """Blocks of the page that name a file in their first line."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", text, re.DOTALL))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in blocks().items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    for split in ("train", "val"):
        write_scenes(tmp_path / split, 2, size=(96, 96), seed=int(split == "val"))
        for kind in ("images", "labels"):
            (tmp_path / "street" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / split / kind).rename(tmp_path / "street" / kind / split)
    names = [*load_class_set("scenes").names]
    classes = yaml.safe_load((tmp_path / "classes.yaml").read_text()) | {"names": names}
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(classes))
    return tmp_path


def test_the_files_of_the_page_are_all_there(folder):
    assert {"classes.yaml", "mine.yaml", "unet.py", "own.yaml"} == set(blocks())


def test_a_folder_of_ones_own(folder):
    config = folder / "mine.yaml"
    assert main(["data", "check", "--config", str(config), "--output", "check.json"]) == 0
    few = ["--trainer.max_epochs=1", "--data.augmentation.crop_size=[64, 64]"]
    weights = ["--model.class_weights=check.json", "--data.batch_size=2"]
    assert command("fit", config, folder / "run", *QUICK, *few, *weights) == 0
    assert command("test", config, folder / "run", *QUICK) == 0


def test_a_network_of_ones_own_from_other_weights(folder):
    few = ["--trainer.max_epochs=1", "--data.augmentation.crop_size=[64, 64]"]
    own = [*QUICK, *few, "--trust", "--data.batch_size=1"]
    assert command("fit", folder / "own.yaml", folder / "plain", *own) == 0
    begin = ["--init_from", str(folder / "plain" / "best.ckpt")]
    assert command("fit", folder / "own.yaml", folder / "more", *own, *begin) == 0
