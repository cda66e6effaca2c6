"""Folders of transformers that bring code of their own, and names of other places."""

import importlib
import json
import os
import socket
import sys

import pytest

from dealias.models import ModelError, create_model, load
from dealias.probe import NetworkError, load_network

transformers = pytest.importorskip("transformers")

SMALL = {
    "model_type": "segformer",
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}
CODE = """
from pathlib import Path
Path({mark!r}).touch()
from transformers import PretrainedConfig
import torch
class Config(PretrainedConfig):
    model_type = {kind!r}
class Net(torch.nn.Module):
    config_class = Config
"""


@pytest.fixture
def deaf(monkeypatch):
    """No terminal and no network: asking or looking up fails."""

    asked = []

    def refuse(*what, **__):
        asked.append(what)
        raise AssertionError("asked")

    monkeypatch.setattr("builtins.input", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # Libraries imported earlier, such as timm, have read the variable of the environment.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield
    assert not asked  # libraries may catch the error


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))

    def write(kind, **more):
        path = tmp_path / "net"
        path.mkdir()
        names = ("AutoConfig", "AutoModel", "AutoModelForSemanticSegmentation")
        classes = {name: f"code.{'Config' if name == 'AutoConfig' else 'Net'}" for name in names}
        config = SMALL | {"model_type": kind, "auto_map": classes} | more
        (path / "config.json").write_text(json.dumps(config))
        (path / "code.py").write_text(CODE.format(mark=str(tmp_path / "mark"), kind=kind))
        return path

    yield write
    assert not (tmp_path / "mark").exists()
    assert not any("transformers_modules" in name for name in sys.modules)


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize("kind", ["strange", "segformer"])
def test_code_of_a_folder_is_neither_asked_for_nor_run(kind, folder, capsys):
    path = folder(kind)
    for build, error in (
        (lambda: load_network(f"hf:{path}"), NetworkError),
        (lambda: create_model(f"hf:{path}", num_classes=3), ModelError),
    ):
        if kind == "segformer":  # of which transformers has its own
            build()
        else:
            with pytest.raises(error, match="trust_remote_code") as caught:
                build()
            assert "\n" not in str(caught.value)
    assert "[y/N]" not in capsys.readouterr().out


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize(
    "name", ["hf-hub:timm/resnet18.a1_in1k", "hf_hub:a/b", "local-dir:/tmp", "https://a.b/c"]
)
def test_names_of_other_places_are_not_looked_up(name):
    pytest.importorskip("timm")
    with pytest.raises(NetworkError):
        load_network(f"timm:{name}")
    with pytest.raises(ModelError, match="timm has no such network"):
        create_model("upernet", num_classes=3, backbone=name)
    with pytest.raises(NetworkError):
        load_network(f"hf:{name}")


def in_folder(path, content):
    path.mkdir()
    (path / "config.json").write_text(json.dumps(content))
    return path


@pytest.mark.usefixtures("deaf")
@pytest.mark.parametrize("kind", ["upernet", "maskformer"])
@pytest.mark.parametrize(
    "name", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp", "a/b", "resnet"]
)
def test_nor_are_those_inside_options(name, kind, tmp_path):
    pytest.importorskip("pytorch_lightning")
    importlib.import_module("dealias.engine")
    part = {"model_type": "timm_backbone", "backbone": name, "out_indices": [1, 2, 3, 4]}
    options = {"backbone_config": part}
    network = {"name": f"hf:{kind}", "num_classes": 3, "options": options}
    saved = in_folder(tmp_path / "saved", {"network": network})
    theirs = in_folder(tmp_path / "theirs", {"model_type": kind, **options})
    for build, error in (
        (lambda: create_model(**network), ModelError),
        (lambda: load(saved), ModelError),
        (lambda: create_model(f"hf:{theirs}", num_classes=3), ModelError),
        (lambda: load_network(f"hf:{theirs}"), NetworkError),
    ):
        with pytest.raises(error, match=f": backbone: expected a name of timm, got '{name}'"):
            build()


@pytest.mark.usefixtures("deaf")
def test_nor_is_a_network_of_timm_in_a_folder_of_transformers(tmp_path):
    content = {"model_type": "timm_wrapper", "architecture": "hf-hub:timm/resnet18.a1_in1k"}
    path = in_folder(tmp_path / "net", content)
    with pytest.raises(NetworkError, match=r"config\.json: architecture: expected a name of timm"):
        load_network(f"hf:{path}")


@pytest.mark.usefixtures("deaf")
def test_a_name_of_timm_is_not_looked_up_as_a_repository(tmp_path):
    path = in_folder(tmp_path / "net", {"model_type": "upernet", "backbone": "resnet18"})
    with pytest.raises(NetworkError):
        load_network(f"hf:{path}")
    with pytest.raises(ModelError):
        create_model(f"hf:{path}", num_classes=3)


def test_what_a_folder_may_not_hold(folder):
    path = folder("segformer")
    for name, make, message in (
        ("pipe.bin", lambda p: os.mkfifo(p), "regular file"),
        ("odd.json", lambda p: p.write_text("[" * 10**5), "nesting"),
        ("preprocessor_config.json", lambda p: p.write_text("[1]"), "expected a mapping"),
        ("preprocessor_config.json", lambda p: p.write_text('{"image_std": 0}'), "std: expected"),
    ):
        make(path / name)
        with pytest.raises(ModelError, match=rf"{name}: .*{message}"):
            create_model(f"hf:{path}", num_classes=3)
        if not name.startswith("pre"):
            with pytest.raises(NetworkError, match=rf"{name}: .*{message}"):
                load_network(f"hf:{path}")
        (path / name).unlink()


@pytest.mark.parametrize("options", [{"decoder_hidden_size": 10**9}, {"hidden_sizes": [10**7] * 4}])
def test_sizes_are_limited(options, folder):
    path = folder("segformer", **options)
    for build in (
        lambda: load_network(f"hf:{path}"),
        lambda: create_model(f"hf:{path}", num_classes=3),
        lambda: create_model("hf:segformer", num_classes=3, options=options),
    ):
        with pytest.raises((ModelError, NetworkError), match="expected a network of at most"):
            build()


@pytest.mark.parametrize("options", [{"depths": [10**6] * 4}, {"dims": [10**6] * 4}])
def test_options_of_timm_are_limited(options):
    pytest.importorskip("timm")
    with pytest.raises(ModelError, match="expected a network of at most"):
        create_model("upernet", num_classes=3, backbone="convnext_atto", backbone_options=options)
