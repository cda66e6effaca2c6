"""Training with transforms of one's own, from a module in the working directory."""

import sys

import pytest
import yaml

from dealias.cli import main
from runs import CONFIG, assert_same_state, command

MODULE = """
import random

class Shuffled:
    def __init__(self, most: int = 3) -> None:
        self.most = most
    def __call__(self, image, mask):
        return image.roll(random.randrange(self.most), 2), mask

def worse(image, mask):
    return image, mask + 100
"""
MORE = """
base: run.yaml
data:
  augmentation:
    transforms:
      - class_path: torchvision.transforms.v2.RandomApply
        init_args:
          transforms:
            - {class_path: torchvision.transforms.v2.RandomRotation, init_args: {degrees: 10}}
      - {class_path: lying_here.Shuffled, init_args: {most: 5}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "lying_here.py").write_text(MODULE)
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "more.yaml").write_text(MORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as of the program
    yield tmp_path
    sys.modules.pop("lying_here", None)


def test_a_training_goes_on_with_the_same_random_numbers(folder):
    assert command("fit", "more.yaml", "whole", "--trust", "--data.workers", "1") == 0
    half = ["--trainer.callbacks", "[{class_path: stops.StopAtStep, init_args: {step: 3}}]"]
    assert command("fit", "more.yaml", "parts", "--trust", *half) == 0
    saved = yaml.safe_load((folder / "parts/config.yaml").read_text())
    inner, own = saved["data"]["augmentation"]["transforms"]
    assert inner["init_args"]["transforms"][0]["init_args"]["degrees"] == 10
    assert own == {"class_path": "lying_here.Shuffled", "init_args": {"most": 5}}
    again = ["--trust", "--ckpt_path", "last", "--trainer.callbacks", "null"]
    assert command("fit", "parts/config.yaml", "parts", *again) == 0
    assert_same_state(folder / "whole/last.ckpt", folder / "parts/last.ckpt")
    assert command("fit", "run.yaml", "plain") == 0
    with pytest.raises(AssertionError):
        assert_same_state(folder / "whole/last.ckpt", folder / "plain/last.ckpt")


def test_on_the_command_line_and_without_trust(folder, capsys):
    value = "[{class_path: lying_here.Shuffled}]"
    options = ["--data.augmentation.transforms", value, "--trainer.max_steps", "1"]
    assert command("fit", "run.yaml", "out", *options) == 2
    assert capsys.readouterr().err == (
        "dealias fit: error: data.augmentation.transforms: refused: it names a class to import, "
        "which is a program; --trust allows it\n"
    )
    assert "lying_here" not in sys.modules
    assert command("fit", "run.yaml", "out", *options, "--trust") == 0
    check = ["data", "check", "--config", "more.yaml", "--sheet", "sheet.png"]
    assert main(check) == 2
    assert "data.augmentation.transforms: refused" in capsys.readouterr().err
    assert main([*check, "--trust"]) == 0
    assert (folder / "sheet.png").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_a_transform_does_wrong_is_a_line(workers, capsys):
    value = ["--data.augmentation.transforms", "[lying_here.worse]"]
    more = ["--data.workers", workers, "--trust"]
    assert command("fit", "run.yaml", "out", *value, *more) == 2
    said = capsys.readouterr().err
    assert said.startswith("dealias fit: error: data.augmentation.transforms[0] (worse): expected ")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_study_varies_them(folder, capsys):
    content = {"plain": {}, "turned": yaml.safe_load(MORE)}
    del content["turned"]["base"]
    (folder / "variants.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    arguments = ["study", "--config", "run.yaml", "--variants", "variants.yaml", "--output", "out"]
    arguments += ["--seeds", "2", "--shifts", "0", "--noise", "--cost", "false"]
    assert main(arguments) == 2
    assert "data.augmentation.transforms: refused: it names a class" in capsys.readouterr().err
    assert "lying_here" not in sys.modules
    (folder / "run.yaml").write_text(CONFIG.replace("max_steps: 6", "max_steps: 1"))
    assert main([*arguments, "--trust"]) == 0
    table = (folder / "out/table.md").read_text()
    assert "turned" in table
    assert "missing" not in table
