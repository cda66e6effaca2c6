"""``dealias convert``, as a person runs it."""

import os

import pytest
import torch

from dealias.cli import main
from dealias.evaluation import Options, evaluate_maps
from dealias.files import write_json
from dealias.models import create_model, load
from helpers import random_maps
from official import official
from reports import CLASSES

pytest.importorskip("timm")
pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A network and the file of its tensors by their official names."""
    torch.manual_seed(0)
    model, state = official()
    path = tmp_path_factory.mktemp("theirs") / "theirs.pth"
    torch.save({"meta": {"epoch": 3}, "state_dict": state, "optimizer": {}}, path)
    return model, path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def convert(path, output, *options):
    return main(["convert", str(path), "--output", str(output), *options])


def test_what_it_writes_loads_and_gives_the_same(theirs, tmp_path, capsys):
    model, path = theirs
    assert convert(path, tmp_path / "ours") == 0
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert capsys.readouterr().out == (
        f"upernet on resnet18, plain, 5 classes, {millions:.2f} M parameters: {tmp_path / 'ours'}\n"
    )
    x = torch.randn(1, 3, 65, 97)
    assert torch.equal(load(tmp_path / "ours")(x)["out"], model(x)["out"])


def test_the_filters_are_put_in_if_asked(theirs, tmp_path, capsys):
    assert convert(theirs[1], tmp_path / "ours", "--filtered") == 0
    assert "resnet18, de-aliased, 5 classes" in capsys.readouterr().out
    assert {i.kind for i in load(tmp_path / "ours").dealias_report.inserted} == {"daf"}


def test_it_says_what_it_left_out(theirs, tmp_path, capsys):
    content = torch.load(theirs[1], weights_only=True)
    content["state_dict"]["ema_backbone_conv1_weight"] = torch.zeros(3)
    torch.save(content, tmp_path / "averages.pth")
    assert convert(tmp_path / "averages.pth", tmp_path / "ours") == 0
    assert capsys.readouterr().out.endswith("\nleft out: tensors of moving averages (1)\n")


def test_nothing_is_replaced_unless_asked(theirs, tmp_path, capsys):
    (tmp_path / "note.txt").touch()
    assert convert(theirs[1], tmp_path) == 2
    assert "is not empty; --overwrite replaces it" in capsys.readouterr().err
    assert convert(theirs[1], tmp_path, "--overwrite") == 2
    assert "holds note.txt, which dealias did not write" in capsys.readouterr().err
    assert names(tmp_path) == ["note.txt"]
    (tmp_path / "note.txt").unlink()
    for options in ([], ["--overwrite"]):
        assert convert(theirs[1], tmp_path, *options) == 0
        assert names(tmp_path) == [".dealias-manifest", "config.json", "model.safetensors"]


def test_a_card_if_asked(theirs, tmp_path, capsys):
    assert convert(theirs[1], tmp_path / "ours", "--card", "--license", "mit") == 0
    text = (tmp_path / "ours" / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: dealias\nlicense: mit\n")
    options = Options(CLASSES, "paper", 15)
    found = evaluate_maps("image", *random_maps(0, 40, 56, classes=5), options)
    write_json(found.to_dict(), tmp_path / "result.json")
    more = ("--result", str(tmp_path / "result.json"), "--dataset", "CamVid", "--overwrite")
    assert convert(theirs[1], tmp_path / "ours", *more) == 0
    text = (tmp_path / "ours" / "README.md").read_text(encoding="utf-8")
    assert f"| mIoU ↑ | {100 * found.to_dict()['metrics']['mIoU']:.2f} |" in text
    capsys.readouterr()
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    assert convert(theirs[1], tmp_path / "ours", *more) == 2
    assert "result.json: expected a result for semantic segmentation" in capsys.readouterr().err
    assert (tmp_path / "ours" / "README.md").read_text(encoding="utf-8") == text


class Malicious:
    """Pickled, a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_file_that_would_run_code_is_refused_unrun(theirs, tmp_path, capsys):
    content = torch.load(theirs[1], weights_only=True)
    path = tmp_path / "bad.pth"
    torch.save({**content, "meta": Malicious(tmp_path / "made")}, path)
    assert convert(path, tmp_path / "ours") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dealias convert: error: {path}: refused: it holds ")
    assert error.count("\n") == 1
    assert names(tmp_path) == ["bad.pth"]


def test_another_network_is_refused(tmp_path, capsys):
    model = create_model("upernet", num_classes=5, backbone="test_resnet")
    torch.save(model.state_dict(), tmp_path / "ours.pth")
    assert convert(tmp_path / "ours.pth", tmp_path / "out") == 2
    assert "expected a UPerNet of the published code or of MMSeg" in capsys.readouterr().err
    assert names(tmp_path) == ["ours.pth"]
