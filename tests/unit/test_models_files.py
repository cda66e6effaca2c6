"""Networks written to folders and read back."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from dealias.files import OutputError
from dealias.models import (
    ModelError,
    WeightsError,
    WrappedNetwork,
    create_model,
    load,
    save,
    save_pretrained,
)

pytest.importorskip("timm")
pytest.importorskip("safetensors")


def small(**options):
    return create_model("upernet", **{"num_classes": 5, "backbone": "test_resnet", **options})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "network"
    save(small(channels=8, aux_channels=8), folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "network")


@pytest.mark.parametrize("options", [{}, {"dealias": {"cutoff": {"maxpool": (0.2, 0.3)}}}])
def test_what_is_read_is_what_was_written_bit_by_bit(tmp_path, options):
    model = small(channels=8, mean=(0.1, 0.2, 0.3), **options)
    model.classes = {"names": ["sky", "Straße", "c", "d", "e"], "palette": None}
    save(model, tmp_path / "network")
    again = load(tmp_path / "network")
    assert not again.training
    assert model.training
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert (again.config, again.classes, again.mean) == (model.config, model.classes, model.mean)
    x = torch.randn(1, 3, 64, 96)
    assert torch.equal(again(x)["out"], model.eval()(x)["out"])
    assert names(tmp_path / "network") == [".dealias-manifest", "config.json", "model.safetensors"]


def test_half_precision_is_read_as_float32(tmp_path):
    model = small(channels=8).half()
    save(model, tmp_path / "network")
    state = load(tmp_path / "network").state_dict()
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float32}
    assert all(torch.equal(v.to(state[k].dtype), state[k]) for k, v in model.state_dict().items())


def test_a_network_that_nothing_could_build_again_is_not_written(tmp_path):
    model = WrappedNetwork(torch.nn.Conv2d(3, 5, 1), num_classes=5, mean=(0.5,) * 3, std=(0.5,) * 3)
    message = "model: expected a network of create_model, got a WrappedNetwork without"
    for write in (save, save_pretrained):
        with pytest.raises(ValueError, match=message):
            write(model, tmp_path / "network")
    assert names(tmp_path) == []


def test_weights_of_the_backbone_are_not_needed_again(tmp_path):
    model = small(channels=8)
    model.config["backbone_weights"] = "gone.pth"
    save(model, tmp_path / "network")
    assert load(tmp_path / "network").config["backbone_weights"] is None


def test_a_folder_with_something_in_it_is_left_alone_unless_asked(copied):
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    other = small(channels=12)
    with pytest.raises(OutputError, match="network: is not empty; --overwrite replaces it"):
        save(other, copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    save(other, copied, overwrite=True)
    assert load(copied).config["channels"] == 12


@pytest.mark.parametrize("when", ["new", "there"])
def test_a_full_disk_leaves_what_was_there(copied, tmp_path, monkeypatch, when):
    folder = copied if when == "there" else tmp_path / "new"
    before = {path.name: path.read_bytes() for path in copied.iterdir()}

    write = Path.write_bytes

    def full(path, content):
        if path.name == "model.safetensors":
            write(path, content[:100])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="can't be written: No space left on device"):
        save(small(channels=12), folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    assert names(tmp_path) == ["network"]


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        ({"num_classes": 19}, WeightsError, r"expected 19 classes, the checkpoint has 5: 4 of ano"),
        ({"channels": 12}, WeightsError, "weights of another network than this"),
        (
            {"dealias": {"place": "before", "mixing": True}},
            WeightsError,
            "of one without frequency mixing: 30 missing",
        ),
        ({"backbone": "resnet18z"}, ModelError, "backbone 'resnet18z': timm has no such network"),
        ({"colour": 1}, ModelError, "config.json: .*unexpected keyword argument 'colour'"),
        ({"name": 3}, ModelError, "config.json: name: expected 'upernet', 'smp:...', .*, got 3"),
        ({"dropout": "much"}, ModelError, r"dropout: expected a share in \[0, 1\), got 'much'"),
        ({"dealias": {"sites": ["x"]}}, ModelError, "config.json: sites: no site 'x'"),
        ({"dealias": 3}, ModelError, "config.json: dealias: expected a mapping, got 3"),
    ],
)
def test_a_configuration_that_does_not_fit(copied, network, error, message):
    path = copied / "config.json"
    content = json.loads(path.read_text())
    content["network"].update(network)
    path.write_text(json.dumps(content))
    with pytest.raises(error, match=message):
        load(copied)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "config.json: no such file; dealias.models.save writes one"),
        ("config.json", b"{", "config.json: expected JSON: "),
        ("config.json", b"\xff", "config.json: expected JSON: "),
        ("config.json", b"[1]", 'config.json: expected an object with "network", got none'),
        ("config.json", b'{"network": 1}', 'expected an object with "network", got none'),
        ("model.safetensors", None, "model.safetensors: no such file"),
        ("model.safetensors", b"", "model.safetensors: can't be read: "),
        ("model.safetensors", b"\x80\x04", "model.safetensors: can't be read: "),
    ],
)
def test_files_that_are_missing_or_spoilt(copied, name, content, message):
    (copied / name).unlink()
    if content is not None:
        (copied / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load(copied)


@pytest.mark.parametrize("classes", [3, [1], {"names": 5}, {"names": ["a"]}, {"names": [1] * 5}])
def test_classes_that_are_none(copied, classes):
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": classes}))
    with pytest.raises(WeightsError, match=r"config\.json: classes: expected 5 names"):
        load(copied)


def test_weights_that_are_cut(copied):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors: can't be read: "):
        load(copied)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json: no such file"):
        load(tmp_path / "none")
