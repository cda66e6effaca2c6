"""Checkpoints of strangers: refused in one line that names the file, or read rightly."""

import io
import json
import os
import pickle
import re
import struct
import sys
import time
import tracemalloc
import zipfile
from collections import OrderedDict

import pytest
import torch

from dealias.cli import main
from dealias.models import WeightsError, convert, create_model, load, read_weights, save
from dealias.models.weight_files import read_checkpoint, read_safetensors, read_state_dict
from dealias.models.weights import load_weights, match_names
from dealias.probe import NetworkError, load_network

timm = pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is in beta state", "ignore:.*[Qq]uantiz", "ignore:.*nested tensors"
)


def repeated(levels):
    value = ["x"]
    for _ in range(levels):
        value = [value] * 10
    return value


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def endless():
    value = {"state_dict": {"w": torch.ones(1)}}
    value["self"] = value
    return value


CONTENTS = {
    "stride 0": (lambda: {"w": torch.zeros(1).expand(10**9)}, "that repeats a few"),
    "stride 0 of a parameter": (
        lambda: {"w": torch.nn.Parameter(torch.zeros(1).expand(10**9))},
        "that repeats a few",
    ),
    "overlapping": (lambda: {"w": torch.zeros(9).as_strided((9, 9), (0, 1))}, "repeats a few"),
    "sparse": (lambda: {"w": torch.eye(3).to_sparse()}, "refused: it holds a sparse tensor"),
    "CSR": (lambda: {"w": torch.eye(3).to_sparse_csr()}, "refused: it holds a sparse tensor"),
    "quantised": (
        lambda: {"w": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)},
        "refused: it holds a quantised tensor",
    ),
    "meta": (lambda: {"w": torch.ones(10**9, device="meta")}, "without values"),
    "nested": (
        lambda: {"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])},
        "refused: it holds a nested tensor",
    ),
    "bytearray": (lambda: {"w": torch.ones(1), "b": bytearray(3)}, "it holds a bytearray"),
    "text": (lambda: "weights", "expected tensors by name"),
    "list": (lambda: [torch.ones(2)], "expected tensors by name"),
    "number": (lambda: 10**400, "more than 128 bits"),
    "nothing": (lambda: None, "expected tensors by name"),
    "keys": (lambda: {1: torch.ones(2)}, "expected tensors by name"),
    "repeated": (lambda: {"w": torch.ones(1), "a": repeated(30)}, "with those repeated"),
    "deep": (lambda: deep(200), "levels of nesting"),
    "endless": (endless, "levels of nesting"),
    "a function": (lambda: {"w": print}, "refused: it holds"),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_contents_that_are_no_weights(kind, legacy, tmp_path):
    make, message = CONTENTS[kind]
    path = tmp_path / "w.pth"
    start = time.monotonic()
    try:
        torch.save(make(), path, _use_new_zipfile_serialization=not legacy)
    except RuntimeError as error:
        pytest.skip(f"PyTorch does not write it: {error}")
    with pytest.raises(WeightsError, match=message) as caught:
        read_state_dict(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert time.monotonic() - start < 10


def rewritten(content, **options):
    """A file of torch.save whose archive is written anew."""
    whole, out = io.BytesIO(), io.BytesIO()
    torch.save(content, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(out, "w", **options) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return out.getvalue()


def legacy_bomb(pickled):
    """The first parts of a file of the old format, and a pickle."""
    from torch.serialization import MAGIC_NUMBER, PROTOCOL_VERSION

    parts = (MAGIC_NUMBER, PROTOCOL_VERSION, {"little_endian": sys.byteorder == "little"})
    return b"".join(pickle.dumps(part, 2) for part in parts) + pickled


def with_pickle(pickled, more=None):
    entries = {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n"} | (more or {})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return out.getvalue()


def two_directories():
    """An archive that Python reads stored, by where its record is, and PyTorch compressed."""
    small = with_pickle(pickle.dumps({}, 2), {"data/0": b""})
    whole, large = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.zeros(10**6)}, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(large, "w", 8) as target:
        for name in zipfile.ZipFile(io.BytesIO(small)).namelist():
            target.writestr(name, source.read(name))
    large, (length, start) = large.getvalue(), struct.unpack("<LL", small[-10:-2])
    at = struct.unpack("<L", large[-6:-2])[0]
    listed = bytearray(small[start:-22])
    for entry in re.finditer(b"PK\1\2", bytes(listed)):
        place = entry.start()
        offset = struct.unpack_from("<L", listed, place + 42)[0]
        struct.pack_into("<L", listed, place + 42, at + offset - start)
    assert length == len(large) - 22 - at
    return large[:-22] + small[:start] + listed + large[-22:]


def header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


def tensors(**entries):
    return header(json.dumps(entries).encode())


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
MANY = b"\x80\x02](" + b"}" * 2**22 + b"e."
GROWN = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x64\x85R."
BYTES = {
    "a compressed archive": lambda: rewritten(
        {"w": torch.zeros(10**6)}, compression=zipfile.ZIP_DEFLATED
    ),
    "many values": lambda: with_pickle(MANY),
    "many values, legacy": lambda: legacy_bomb(MANY),
    "a huge bytearray": lambda: with_pickle(GROWN),
    "a huge bytearray, legacy": lambda: legacy_bomb(GROWN),
    "a huge storage": lambda: with_pickle(b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R."),
    "a huge tensor": lambda: with_pickle(b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R."),
    "a program that is none": lambda: with_pickle(MANY, {"x/constants.pkl": b""}),
    "two directories": two_directories,
    "a torn archive": lambda: rewritten({"w": torch.zeros(9)})[:-40],
    "a pickle": lambda: pickle.dumps({"w": 1}),
    "an archive of nothing": lambda: b"PK\x05\x06" + bytes(18),
    "no bytes": lambda: b"",
    "zeros": lambda: bytes(100),
    "header: too long": lambda: struct.pack("<Q", 2**62) + b"{}",
    "header: no JSON": lambda: header(b"{]}"),
    "header: a list": lambda: header(b"{[]}"),
    "header: other types": lambda: tensors(w={"dtype": 3, "shape": "x", "data_offsets": None}),
    "header: no such dtype": lambda: tensors(w=ENTRY | {"dtype": "X9"}) + bytes(4),
    "header: offsets": lambda: tensors(w=ENTRY | {"data_offsets": [0, 10**12]}) + bytes(4),
    "header: negative": lambda: tensors(w=ENTRY | {"shape": [-1]}) + bytes(4),
    "header: huge": lambda: tensors(w=ENTRY | {"shape": [10**12]}) + bytes(4),
}


@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_bytes_that_are_no_weights(kind, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(BYTES[kind]())
    start = time.monotonic()
    for read in (read_state_dict, read_safetensors):
        with pytest.raises(WeightsError) as caught:
            read(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: ")
        assert "\n" not in said
        assert len(said) < 1000
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("kind", ["two directories", "a program that is none"])
def test_what_python_and_pytorch_read_differently_is_never_loaded(kind, tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.write_bytes(BYTES[kind]())
    monkeypatch.setattr(torch, "load", lambda *_, **__: {"w": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"does not end as a ZIP file|a TorchScript program"):
        read_checkpoint(path)


def test_memory_is_not_filled_for_determinism(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(BYTES["a huge tensor"]())
    torch.use_deterministic_algorithms(True)
    try:
        start = time.monotonic()
        with pytest.raises(WeightsError, match="expected tensors of at most its"):
            read_checkpoint(path)
        assert time.monotonic() - start < 10
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("read", [read_checkpoint, read_safetensors])
def test_what_is_no_regular_file(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(WeightsError, match="expected a regular file"):
            read(type(tmp_path)(path))
    with pytest.raises(WeightsError, match="gone: no such file"):
        read(tmp_path / "gone")


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no names of open files")  # noqa: PTH110
@pytest.mark.parametrize("read", [read_checkpoint, read_safetensors])
def test_a_path_that_leads_elsewhere_once_it_is_checked(read, tmp_path, monkeypatch):
    path, load_file = tmp_path / "w.safetensors", safetensors.load_file
    safetensors.save_file({"w": torch.ones(1)}, path)

    def late(source):
        path.unlink()
        safetensors.save_file({"other": torch.ones(1)}, path)
        return load_file(source)

    monkeypatch.setattr(safetensors, "load_file", late)
    assert [*read(path)] == ["w"]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_what_is_usual_is_read(legacy, tmp_path):
    weight = torch.randn(4, 4)
    state = OrderedDict(
        a=weight,
        tied=weight,
        part=weight[:2],
        turned=weight.t(),
        half=weight.half(),
        bfloat=weight.bfloat16(),
        scalar=torch.tensor(3),
        empty=torch.ones(0, 3),
        parameter=torch.nn.Parameter(weight.clone()),
        mask=torch.tensor([True, False]),
    )
    state._metadata = OrderedDict({"": {"version": 1}})
    content = {"state_dict": state, "epoch": 3, "rng": 2**128 - 1, "set": {1, 2}, "c": 1j}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    found = read_state_dict(tmp_path / "w.pth")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


KINDS = {
    "complex": (lambda v: v + 1j, "complex64"),
    "bool": (lambda v: v > 0, "bool"),
    "integers": (lambda v: v.to(torch.int8), "int8"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [torch.save, safetensors.save_file])
def test_numbers_of_another_kind_are_refused_by_every_reader(kind, write, tmp_path):
    change, dtype = KINDS[kind]
    network, path = timm.create_model("test_resnet"), tmp_path / "w.pth"
    state = network.state_dict()
    state["conv1.0.weight"] = change(state["conv1.0.weight"])
    write(state, path)
    message = rf"w.pth: .*conv1.0.weight: expected torch.float32, got torch.{dtype}"
    with pytest.raises(NetworkError, match=message):
        load_network("timm:test_resnet", path)
    with pytest.raises(WeightsError, match=message):
        create_model("upernet", num_classes=3, backbone="test_resnet", backbone_weights=path)
    model = create_model("upernet", num_classes=3, backbone="test_resnet")
    own = model.state_dict()
    with pytest.raises(WeightsError, match=f"expected torch.float32, got torch.{dtype}"):
        load_weights(
            model,
            own | {"backbone.conv1.0.weight": change(own["backbone.conv1.0.weight"])},
            source="w.pth",
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_other_precisions_are_read_rightly(dtype, tmp_path):
    network, path = timm.create_model("test_resnet"), tmp_path / "w.pth"
    state = {
        k: v.to(dtype) if v.is_floating_point() else v for k, v in network.state_dict().items()
    }
    torch.save(state, path)
    assert read_weights(path, state).keys() == state.keys()
    found = load_network("timm:test_resnet", path).model.state_dict()
    assert all(torch.equal(found[k], v.to(found[k].dtype)) for k, v in state.items())


def test_a_folder_whose_weights_are_not_those_of_its_network(tmp_path):
    model = create_model("upernet", num_classes=3, backbone="test_resnet", channels=8)
    save(model, tmp_path / "net")
    path = tmp_path / "net" / "model.safetensors"
    state = safetensors.load_file(path)
    name = "decode_head.classifier.1.bias"
    safetensors.save_file(state | {name: state[name].to(torch.complex64)}, path)
    with pytest.raises(WeightsError, match=r"model\.safetensors: .*got torch\.complex64"):
        load(tmp_path / "net")


def test_a_name_of_many_dots():
    """Its beginnings are not kept; together they would take 20 GB."""
    state = {"a." * 10**5: torch.ones(1), "module.w": torch.ones(1), "w." * 10**5: torch.ones(1)}
    tracemalloc.start()
    try:
        found = match_names(state, ["w", "b.w"], source="w.pth")
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert [*found] == ["w"]


def test_a_folder_whose_configuration_is_deep(tmp_path):
    save(create_model("upernet", num_classes=3, backbone="test_resnet", channels=8), tmp_path / "n")
    path = tmp_path / "n" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"backbone": deep(900)}))
    with pytest.raises(ValueError, match=r"config\.json: .*at most 64 levels of nesting"):
        load(tmp_path / "n")


@pytest.mark.parametrize("kind", [kind for kind in CONTENTS if kind != "a function"])
def test_every_command_says_it_in_a_line(kind, tmp_path, capsys):
    path = tmp_path / "w.ckpt"
    torch.save(CONTENTS[kind][0](), path)
    with pytest.raises(WeightsError):
        convert(path)
    assert main(["convert", str(path), "--output", str(tmp_path / "net")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dealias convert: error: {path}: ")
    assert said.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.ckpt"]
