"""Configuration files that add to others."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml

from dealias.engine import ConfigError, find_config, settle
from dealias.engine.configs import config_folders, config_names, read_config, take_configs
from dealias.engine.paths import option_types, place
from dealias.engine.tasks import find_task
from dealias.models import create_model


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_adds_to_its_base(tmp_path):
    write(tmp_path / "a.yaml", "model: {x: 1, y: [1, 2]}\ndata: {n: 3}\n")
    write(tmp_path / "b.yaml", "base: a.yaml\nmodel: {y: [5], z: {}}\n")
    last = write(tmp_path / "c.yaml", "base: b.yaml\nmodel: {z: {q: null}}\n")
    assert read_config(last) == {"model": {"x": 1, "y": [5], "z": {"q": None}}, "data": {"n": 3}}


def test_configs_are_taken_out_of_arguments_and_joined(tmp_path):
    first = write(tmp_path / "a.yaml", "model: {x: 1, y: 2}\n")
    second = write(tmp_path / "b.yaml", "model: {y: 3}\n")
    arguments = ["--config", str(first), "--seed", "1", f"-c={second}", "--flag"]
    options, files, others = take_configs(arguments)
    assert options == {"model": {"x": 1, "y": 3}}
    assert files == [first, second]
    assert others == ["--seed", "1", "--flag"]


def test_options_of_the_network_leave_the_others_of_the_file(tmp_path):
    file = write(tmp_path / "a.yaml", "model: {network: {dealias: {sites: [a], cutoff: auto}}}\n")
    prefix = "--model.network.dealias"
    arguments = [f"{prefix}.mixing", "false", "--config", str(file), f"{prefix}.cutoff=0.25"]
    options, _, others = take_configs([*arguments, "--seed", "1"])
    expected = {"sites": ["a"], "cutoff": 0.25, "mixing": False}
    assert options == {"model": {"network": {"dealias": expected}}}
    assert others == ["--seed", "1"]


@pytest.mark.parametrize("base", ["lis/mask_rcnn_r50", "lis/mask_rcnn_r50.yaml"])
def test_a_file_adds_to_one_that_comes_with_the_library(tmp_path, base):
    path = write(tmp_path / "mine.yaml", f"base: {base}\ndata: {{batch_size: 1}}\n")
    read = read_config(path)
    original = read_config(find_config("lis/mask_rcnn_r50"))
    assert read == original | {"data": original["data"] | {"batch_size": 1}}


@pytest.mark.parametrize("arguments", [["--model.network.x"], ["--model.network.x", "[1"]])
def test_options_of_the_network_need_a_value(arguments):
    with pytest.raises(ConfigError, match=r"--model\.network\.x: expected"):
        take_configs(arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: a.yaml", "adds to itself"),
        ("base: missing.yaml", "a.yaml: base: missing.yaml: no such configuration file"),
        ("- 1", "expected a mapping"),
        ("a: [", "expected YAML"),
    ],
)
def test_files_that_can_not_be_used_are_named(tmp_path, text, message):
    path = write(tmp_path / "a.yaml", text)
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"nope: no such configuration.*camvid/upernet_lite0"):
        find_config("nope")
    with pytest.raises(ConfigError, match="--config: expected a value after it"):
        take_configs(["--config"])


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_is_found_by_its_name(name):
    assert find_config(name).is_relative_to(config_folders()[0])


@pytest.mark.parametrize("name", [n for n in config_names() if n.endswith("_dealiased")])
def test_a_dealiased_configuration_differs_in_the_network_alone(name):
    plain = read_config(find_config(name.removesuffix("_dealiased")))
    mended = read_config(find_config(name))
    assert mended["model"]["network"].pop("dealias") is not None
    plain["model"]["network"].pop("dealias", None)
    assert mended == plain


PATHS = {"root": Path | None, "weights": Path | str | None, "name": str, "names": list[str]}


@pytest.fixture
def nested(tmp_path, monkeypatch):
    """Files in three folders, each with paths of its own, and a working directory that is none."""
    for name in ("one", "two", "three", "work"):
        (tmp_path / name).mkdir()
    write(tmp_path / "one/a.yaml", "base: ../two/b.yaml\ndata: {root: here, name: a.b/c}\n")
    write(
        tmp_path / "two/b.yaml",
        "base: ../three/c.yaml\ndata: {root: there, weights: w.pth, names: [a.b]}\n",
    )
    write(tmp_path / "three/c.yaml", "data: {weights: x.pth, other: {root: 1}}\nout: ../o\n")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_paths_are_relative_to_the_file_that_they_stand_in(nested):
    options, _, _ = take_configs(["--config", "../one/a.yaml"])
    assert settle(options, {"data": PATHS, "out": Path}) == {
        "data": {
            "root": str(nested / "work/../one/here"),
            "weights": str(nested / "work/../one/../two/w.pth"),
            "name": "a.b/c",
            "names": ["a.b"],
            "other": {"root": 1},
        },
        "out": str(nested / "work/../one/../two/../three/../o"),
    }
    assert read_config(nested / "one/a.yaml")["data"]["root"] == "here"
    yaml.safe_dump(settle(options))  # plain text


def test_names_absolute_paths_and_those_of_home_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    file = write(tmp_path / "a.yaml", "{a: packaged, b: /x, c: ~/x, d: null, e: ./packaged}")
    options, _, _ = take_configs(["--config", str(file)])
    expected = ["packaged", "/x", "/home/me/x", None, str(tmp_path / "packaged")]
    assert [*settle(options, dict.fromkeys("abcde", Path | str | None)).values()] == expected
    assert settle(options, {"a": Path | None})["a"] == str(tmp_path / "packaged")


def test_options_of_the_command_line_are_relative_to_the_working_directory(nested):
    arguments = ["--config", "../one/a.yaml", "--model.network.weights", "w.pth"]
    options, _, _ = take_configs(arguments)
    types = {"model": {"network": PATHS}, "data": PATHS}
    assert settle(options, types)["model"]["network"]["weights"] == "w.pth"


def test_classes_that_options_name_have_paths_too(tmp_path):
    file = write(
        tmp_path / "a.yaml",
        "logger: [{class_path: pytorch_lightning.loggers.CSVLogger,"
        " init_args: {save_dir: a/logs, name: a/b}}]",
    )
    options, _, _ = take_configs(["--config", str(file)])
    (logger,) = settle(options, option_types(pl.Trainer))["logger"]
    assert logger["init_args"] == {"save_dir": str(tmp_path / "a/logs"), "name": "a/b"}
    assert "/" not in logger["class_path"]


@pytest.mark.parametrize(
    ("name", "key"),
    [("CSVLogger", "save_dir"), ("WandbLogger", "save_dir"), ("TensorBoardLogger", "sub_dir")],
)
def test_classes_by_their_names_alone_have_paths_too(name, key, tmp_path):
    """Those too some types of which are for type checkers alone."""
    entry = f"{{class_path: {name}, init_args: {{{key}: a/logs, name: a/b}}}}"
    for number, written in enumerate((entry, f"[{entry}]")):
        file = write(tmp_path / f"{number}.yaml", f"logger: {written}")
        options, _, _ = take_configs(["--config", str(file)])
        logger = settle(options, option_types(pl.Trainer))["logger"]
        logger = logger[0] if isinstance(logger, list) else logger
        assert logger["init_args"] == {key: str(tmp_path / "a/logs"), "name": "a/b"}


def test_configurations_of_the_library_are_relative_to_the_working_directory(tmp_path):
    """Of files that a person adds, and no one puts into an installed package."""
    file = write(tmp_path / "a.yaml", "base: camvid/upernet_r50\ndata: {root: x}\n")
    options, _, _ = take_configs(["--config", str(file)])
    types = {"model": {"network": create_model}, "data": PATHS}
    found = settle(options, types)
    assert found["model"]["network"]["backbone_weights"] == "weights/resnet50c.safetensors"
    assert found["data"]["root"] == str(tmp_path / "x")


@pytest.mark.parametrize("task", ["segmentation", "instance"])
def test_every_option_that_is_a_path_is_known_as_one(task):
    """By its type, in the signatures of what is built of the options."""
    found = find_task(task)
    module, data = found.training, found.data
    for kind, expected in (
        (data, {"root", "predict_images"} | ({"classes"} if task == "segmentation" else set())),
        (module, {"class_weights"} if task == "segmentation" else set()),
        (module.create, {"backbone_weights"}),
    ):
        file = {name: "./x" for name in option_types(kind) if name != "return"}
        settled = settle(place(file, Path("/f")), kind)
        assert {name for name, value in settled.items() if value == "/f/x"} == expected
