"""Configuration files that add to others."""

import pytest

from dealias.engine import ConfigError, find_config
from dealias.engine.configs import config_folders, config_names, read_config, take_configs


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
