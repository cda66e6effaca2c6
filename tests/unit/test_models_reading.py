"""Files of weights as other tools write them, read by every command that takes one."""

import os
import shlex
import subprocess
import sys

import pytest
import torch
from torch import nn

from dealias.models import WeightsError, create_model, read_weights
from dealias.models.weight_files import read_checkpoint, read_state_dict
from dealias.probe import NetworkError, load_network

timm = pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")

BACKBONE = "test_resnet"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return timm.create_model(BACKBONE)


def renamed(state, prefix="", drop=""):
    return {f"{prefix}{k}": v for k, v in state.items() if not (drop and k.endswith(drop))}


def compiled(network):
    return torch.compile(network).state_dict()  # nothing is compiled before the first call


def parallel(network):
    return nn.DataParallel(network).state_dict()


FORMS = {
    "bare": lambda net: net.state_dict(),
    "DDP": parallel,
    "torch.compile": compiled,
    "DDP of torch.compile": lambda net: renamed(compiled(net), "module."),
    "torch.compile of DDP": lambda net: renamed(parallel(net), "_orig_mod."),
    "Lightning": lambda net: {
        "state_dict": renamed(net.state_dict(), "model.") | {"loss.weight": torch.ones(3)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}],
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
    },
    "Lightning of torch.compile": lambda net: {"state_dict": renamed(compiled(net), "net.")},
    "MMSegmentation": lambda net: {"meta": {"CLASSES": ["a"]}, "state_dict": net.state_dict()},
    "model": lambda net: {"model": net.state_dict(), "optimizer": {"state": {}}, "epoch": 1},
    "model_state_dict": lambda net: {
        "model_state_dict": net.state_dict(),
        "model_ema": renamed(timm.create_model(BACKBONE).state_dict()),
    },
    "DINO": lambda net: {
        "student": renamed(timm.create_model(BACKBONE).state_dict(), "module.backbone."),
        "teacher": renamed(net.state_dict(), "backbone.") | {"head.last.weight": torch.ones(2)},
    },
    "another key": lambda net: {"generator": renamed(net.state_dict(), "module."), "step": 7},
    "below two keys": lambda net: {"ema": {"decay": 0.9, "shadow": net.state_dict()}},
    "a teacher beside": lambda net: net.state_dict() | renamed(net.state_dict(), "teacher."),
    "without counters": lambda net: renamed(net.state_dict(), "module.", "num_batches_tracked"),
}


def assert_same(found, expected):
    assert all(torch.equal(found[k], v) for k, v in expected.items() if "num_batches" not in k)


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_by_every_reader(form, network, tmp_path):
    path, expected = tmp_path / "weights.pth", network.state_dict()
    torch.save(FORMS[form](network), path)
    assert_same(read_weights(path, expected), expected)
    if form != "a teacher beside":  # of which the backbone's reader knows no use
        built = create_model(
            "upernet", num_classes=3, backbone=BACKBONE, backbone_weights=str(path)
        )
        own = built.backbone.state_dict()
        assert_same(own, {k: v for k, v in expected.items() if not k.startswith("fc.")})
        probed = load_network(f"timm:{BACKBONE}", path).model
        assert_same(probed.state_dict(), expected)


def test_a_network_whose_own_names_begin_like_a_wrapper(network, tmp_path):
    wrapped, path = nn.DataParallel(network), tmp_path / "weights.pth"
    for content in (wrapped.state_dict(), network.state_dict()):
        torch.save(content, path)
        found = read_weights(path, wrapped.state_dict())
        assert found.keys() == content.keys()
    made = torch.compile(network)
    assert read_weights(path, made.state_dict()).keys() == made.state_dict().keys()


def test_weights_that_are_there_twice_are_refused(network, tmp_path):
    path, state = tmp_path / "weights.pth", network.state_dict()
    torch.save(renamed(state, "student.") | renamed(state, "teacher."), path)
    with pytest.raises(WeightsError, match=r"weights.pth: .* once, got it below each of student"):
        read_weights(path, state)
    torch.save({"one": state, "two": state}, path)
    with pytest.raises(
        NetworkError, match=r"weights.pth: expected one state dict, .* got one, two"
    ):
        load_network(f"timm:{BACKBONE}", path)


def test_what_does_not_fit_is_named_without_the_wrapping(network, tmp_path):
    path, state = tmp_path / "weights.pth", dict(network.state_dict())
    state["extra"] = state.pop("layer1.0.conv1.weight")
    torch.save({"state_dict": renamed(state, "module.")}, path)
    with pytest.raises(WeightsError, match=r"1 missing \(layer1.0.conv1.weight\); 1 unexp.*extra"):
        create_model("upernet", num_classes=3, backbone=BACKBONE, backbone_weights=str(path))
    with pytest.raises(
        NetworkError, match=r"Missing .*\"layer1.0.conv1.weight\". Unexp.*\"extra\""
    ):
        load_network(f"timm:{BACKBONE}", path)


@pytest.mark.parametrize("ending", ["pth", "safetensors", "ckpt", "bin"])
@pytest.mark.parametrize("write", [safetensors.save_file, torch.save])
def test_the_content_says_what_a_file_is(ending, write, network, tmp_path):
    path = tmp_path / f"weights.{ending}"
    write(network.state_dict(), path)
    assert_same(read_state_dict(path), network.state_dict())
    assert_same(load_network(f"timm:{BACKBONE}", path).model.state_dict(), network.state_dict())


class Held:
    pass


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*is deprecated")
def test_messages_do_not_pass_on_advice_to_run_what_a_file_holds(network, tmp_path):
    torch.jit.save(torch.jit.script(nn.ReLU()), tmp_path / "script.pth")
    torch.export.save(torch.export.export(nn.ReLU(), (torch.ones(1),)), tmp_path / "export.pth")
    torch.save({"held": Held()}, tmp_path / "held.pth")
    torch.save(network, tmp_path / "whole.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "json.pth").write_text('{"a": 1}')
    (tmp_path / "cut.pth").write_bytes(safetensors.save(network.state_dict())[:500])
    (tmp_path / "empty.pth").touch()
    for path in tmp_path.glob("*.pth"):
        with pytest.raises(NetworkError) as caught:
            load_network(f"timm:{BACKBONE}", path)
        said = str(caught.value)
        assert said.startswith(f"{path}: "), said
        assert "weights_only" not in said
        assert "torch.load" not in said
        assert "\n" not in said
        with pytest.raises(WeightsError, match=r"refused: |expected |can't be read"):
            read_state_dict(path)
    with pytest.raises(WeightsError, match=r"refused: it holds a TorchScript program"):
        read_checkpoint(tmp_path / "script.pth")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", 'it\'s "$HOME" é.pth'])
def test_what_the_hint_says_makes_the_file(name, tmp_path):
    """Run as it stands, but for the download."""
    (tmp_path / "sitecustomize.py").write_text(
        "import functools, timm\n"
        "create = timm.create_model\n"
        "def offline(name, pretrained):\n"
        "    assert pretrained\n"
        "    return create(name)\n"
        "timm.create_model = offline\n"
    )
    path = tmp_path / "weights" / name
    with pytest.raises(WeightsError, match=r"no such file; .*this makes one: ") as caught:
        create_model("upernet", num_classes=3, backbone=BACKBONE, backbone_weights=str(path))
    command = str(caught.value).split("this makes one: ")[1]
    assert shlex.split(command)[:2] == ["python", "-c"]
    (tmp_path / "python").symlink_to(sys.executable)
    places = os.pathsep.join([str(tmp_path), *sys.path])
    environment = os.environ | {"PYTHONPATH": places, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(command, shell=True, check=True, env=environment, cwd=tmp_path)
    assert path.is_file()
    create_model("upernet", num_classes=3, backbone=BACKBONE, backbone_weights=str(path))
    if path.suffix == ".safetensors":
        safetensors.load_file(path)
    else:
        torch.load(path, weights_only=True)
