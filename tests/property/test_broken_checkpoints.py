"""Broken variants of valid checkpoints, networks and configurations: used, or refused in a line."""

import copy
import json
import random
import shutil
import time

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dealias.engine.checkpoint_files import WholeCheckpoints, is_checkpoint
from dealias.engine.configs import read_config
from dealias.models import convert, create_model, load, read_checkpoint, save

pytest.importorskip("timm")
pytest.importorskip("safetensors")

ODD = [
    *(None, True, 0, -1, 2**63, 10**30, 0.5, 1e300, "", "x", "../..", "/dev/zero", "a\0b"),
    *([], [1], ["x"], {}, {"x": 1}, [[[]]]),
]
TENSORS = [torch.zeros(()), torch.ones(3), torch.zeros(1).expand(10**6), torch.ones(2).bool()]
quick = settings(
    derandomize=True,
    max_examples=40,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint as training writes it, and the folder of its network."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    model = create_model(
        "upernet", num_classes=2, backbone="test_resnet", channels=4, aux_channels=4, dealias={}
    )
    save(model, folder / "net")
    content = {
        "state_dict": {f"network.{name}": value for name, value in model.state_dict().items()},
        "hyper_parameters": {"network": model.config, "classes": {"names": ["a", "b"]}},
        "pytorch-lightning_version": "2.5.0",
        "epoch": 0,
        "global_step": 3,
    }
    torch.save(content, folder / "w.ckpt")
    return folder, content


def damaged(data, seed):
    """Bytes that are flipped, cut, repeated or put in."""
    draw = random.Random(seed)
    content = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(max(1, len(content)))
        kind = draw.choice(["flip", "cut", "drop", "put", "start"])
        if kind == "flip" and content:
            content[at] ^= 1 << draw.randrange(8)
        elif kind == "cut":
            del content[at:]
        elif kind == "drop":
            del content[at : at + draw.randint(1, 64)]
        elif kind == "start" and content:
            content[draw.randrange(min(300, len(content)))] = draw.randrange(256)
        else:
            content[at:at] = draw.randbytes(draw.randint(1, 64))
    return bytes(content)


def replaced(content, seed, values):
    """A copy in which a value is of another kind, gone, or under another name."""
    draw = random.Random(seed)
    content = copy.deepcopy(content)
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw.random() < 0.3:
            break
        place = inner
    kind = draw.choice(["replace", "replace", "remove", "rename"])
    if kind == "replace":
        place[key] = draw.choice(values)
    elif kind == "remove":
        del place[key]
    elif isinstance(place, dict):
        place[draw.choice(["x", 3, None])] = place.pop(key)
    return content


def assert_used_or_refused(read, path, named=None):
    """Promise 5 of files, and that nothing is left or deleted beside it."""
    before = sorted(path.parent.iterdir())
    start = time.monotonic()
    try:
        read(path)
    except (ValueError, OSError) as error:
        said = str(error)
        assert str(named or path) in said, said
        assert len(said.splitlines()) <= 20
        assert len(said) < 4000
    assert time.monotonic() - start < 10
    assert sorted(path.parent.iterdir()) == before


def read_all(path):
    read_checkpoint(path)
    is_checkpoint(path)
    WholeCheckpoints().load_checkpoint(path)
    convert(path)


@quick
@given(seed=st.integers(0, 2**32))
def test_damaged_checkpoints(seed, whole, tmp_path):
    path = tmp_path / "w.ckpt"
    path.write_bytes(damaged((whole[0] / "w.ckpt").read_bytes(), seed))
    assert_used_or_refused(read_all, path)


@quick
@given(seed=st.integers(0, 2**32), legacy=st.booleans())
def test_checkpoints_with_other_values(seed, legacy, whole, tmp_path):
    path = tmp_path / "w.ckpt"
    content = replaced(whole[1], seed, [*ODD, *TENSORS])
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_used_or_refused(read_all, path)


@quick
@given(seed=st.integers(0, 2**32))
def test_damaged_networks(seed, whole, tmp_path):
    folder = shutil.copytree(whole[0] / "net", tmp_path / "net", dirs_exist_ok=True)
    path = folder / random.Random(seed).choice(["model.safetensors", "config.json"])
    path.write_bytes(damaged(path.read_bytes(), seed))
    assert_used_or_refused(lambda _: load(folder), path, folder)


@quick
@given(seed=st.integers(0, 2**32))
def test_networks_with_other_options(seed, whole, tmp_path):
    folder = shutil.copytree(whole[0] / "net", tmp_path / "net", dirs_exist_ok=True)
    path = folder / "config.json"
    content = replaced(json.loads(path.read_text()), seed, ODD)
    path.write_text(json.dumps(content))
    assert_used_or_refused(lambda _: load(folder), path, folder)


CONFIG = """
base: below.yaml
model:
  network: {name: upernet, backbone: test_resnet, channels: 8, dealias: {}}
data: {name: scenes, scenes: {train: 6, val: 3, size: [64, 96]}}
trainer: {max_steps: 6}
"""


@quick
@given(seed=st.integers(0, 2**32), bytewise=st.booleans())
def test_broken_configurations(seed, bytewise, tmp_path):
    (tmp_path / "below.yaml").write_text("samples: 1\n")
    path = tmp_path / "a.yaml"
    if bytewise:
        path.write_bytes(damaged(CONFIG.encode(), seed))
    else:
        path.write_text(yaml.safe_dump(replaced(yaml.safe_load(CONFIG), seed, ODD)))
    assert_used_or_refused(read_config, path)
