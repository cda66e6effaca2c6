"""Configurations of strangers: no code of theirs runs unasked, and each error is a line."""

import contextlib
import os
import sys
from dataclasses import is_dataclass

import pytest
import yaml
from pytorch_lightning import Trainer

from dealias.cli import main
from dealias.engine import configs, find_task
from dealias.engine.paths import option_types
from runs import CONFIG

OPTIONS = yaml.safe_load(CONFIG)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a module that leaves a mark when it is imported."""
    (tmp_path / "stranger.py").write_text(
        "from pathlib import Path\n"
        "import pytorch_lightning as pl\n"
        f"Path({str(tmp_path)!r}, 'mark').touch()\n"
        "class Here(pl.Callback): pass\n"
    )
    spec = "{class_path: stranger.Here}"
    for name, text in {
        "run.yaml": CONFIG,
        "one": spec,
        "one.yaml": spec,
        "list": f"[{spec}]",
        "trainer.yaml": f"callbacks: [{spec}]",
        "whole.yaml": f"trainer: {{callbacks: [{spec}]}}",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    yield tmp_path
    sys.modules.pop("stranger", None)


def run(name, *arguments):
    with contextlib.suppress(SystemExit):  # of --print_config, --help
        return main([name, *map(str, arguments)])
    return 0


ESCAPED = r'[{"class\u005fpath": "strange\u0072.Here"}]'
FILES = [
    "trainer: {callbacks: [{class_path: stranger.Here}]}",
    "trainer: {callbacks: {class_path: stranger.Here}}",
    "trainer: {callbacks: [stranger.Here]}",
    "trainer: {callbacks: stranger.Here}",
    "trainer: {callbacks+: [stranger.Here]}",
    "trainer.callbacks: [stranger.Here]",
    "trainer: {callbacks: list}",
    "trainer: {logger: one}",
    "trainer: {logger: {class_path: stranger.Here}}",
    "trainer: {strategy: stranger.Here}",
    "trainer: {profiler: stranger.Here}",
    "trainer: {plugins: [stranger.Here]}",
    "trainer: {accelerator: one.yaml}",
    "trainer: {max_time: {class_path: stranger.Here}}",
    "trainer: trainer.yaml",
    "trainer: '{callbacks: [stranger.Here]}'",
    f"trainer: {{callbacks: '{ESCAPED}'}}",
    "data: one.yaml",
    "data: {class_path: stranger.Here}",
    "data: {augmentation: one}",
    "data: {augmentation: stranger.Here}",
    "data: {augmentation: {class_path: stranger.Here}}",
    "data: {augmentation: {transforms: [{class_path: stranger.Here}]}}",
    "data: {augmentation: {transforms: [stranger.Here]}}",
    "data: {augmentation: {transforms: '[stranger.Here]'}}",
    "data: {classes: {class_path: stranger.Here}}",
    "model: one",
    "model: {optimization: one.yaml}",
    "model: {optimization: stranger.Here}",
    "model: {network: {name: {class_path: stranger.Here}}}",
    "model: {network: {options: [{class_path: stranger.Here}]}}",
    "optimizer: {class_path: stranger.Here}",
    "trust: true\ntrainer: {callbacks: [stranger.Here]}",
    "config: one.yaml",
]


@pytest.mark.parametrize("more", [[], ["--print_config"]], ids=["run", "print_config"])
@pytest.mark.parametrize("command", ["fit", "test"])
@pytest.mark.parametrize("text", FILES)
def test_files_run_no_code(text, command, more, folder, capsys):
    (folder / "bad.yaml").write_text(text)
    code = run(command, "--config", "run.yaml", "--config", "bad.yaml", "--output", "run", *more)
    said = capsys.readouterr().err
    assert not (folder / "mark").exists()
    assert code == 2
    assert said.startswith(f"dealias {command}: error: ")
    assert said.count("\n") == 1
    assert not (folder / "run").exists()


ARGUMENTS = [
    ["--trainer.callbacks+=stranger.Here"],
    ["--trainer.callbacks", "stranger.Here"],
    ["--trainer.callbacks=[stranger.Here]"],
    ["--trainer.callbacks", "list"],
    [f"--trainer.callbacks={ESCAPED}"],
    ["--trainer.callb+=stranger.Here"],
    ["--trainer", "{callbacks: [stranger.Here]}"],
    [f'--trainer={{"callbacks": {ESCAPED}}}'],
    ["--trainer=trainer.yaml"],
    ["--trainer.logger.class_path=stranger.Here"],
    ["--trainer.callbacks.help=stranger.Here"],
    ["--trainer.logger.help", "stranger.Here"],
    ["--data.augmentation=one"],
    ["--data.augmentation.class_path=stranger.Here"],
    ["--data.augmentation.transforms=[stranger.Here]"],
    ["--data.augmentation.transforms", "- class_path: stranger.Here"],
    ["--data.augmentation.transforms+=stranger.Here"],
    ["--data.augmentation.transforms", "list"],
    ["--model.optimization", "stranger.Here"],
    ["--model.network.options={class_path: stranger.Here}"],
    ["--conf=whole.yaml"],
    ["-cwhole.yaml"],
    ["-c=whole.yaml"],
    ["-c", "whole.yaml"],
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_options_run_no_code(arguments, folder, capsys):
    assert run("fit", "--config", "run.yaml", "--output", "run", *arguments) == 2
    assert not (folder / "mark").exists()
    assert capsys.readouterr().err.count("\n") == 1
    assert not (folder / "run").exists()


@pytest.mark.parametrize("text", FILES[2:7] + FILES[14:17])
def test_the_parser_imports_nothing_even_if_the_text_is_not_recognised(text, folder, monkeypatch):
    monkeypatch.setattr("dealias.engine.commands.refuse_programs", lambda *_: None)
    monkeypatch.setattr("dealias.engine.commands.refuse_files", lambda *_: None)
    (folder / "bad.yaml").write_text(text)
    assert run("fit", "--config", "run.yaml", "--config", "bad.yaml", "--output", "run") == 2
    assert not (folder / "mark").exists()


def test_trust_is_for_one_run(folder, capsys):
    arguments = ["fit", "--config", "run.yaml", "--config", "whole.yaml", "--output", "run"]
    assert run(*arguments, "--trust") == 0
    assert (folder / "mark").exists()
    assert "trust: true" in (folder / "run" / "config.yaml").read_text()
    (folder / "mark").unlink()
    sys.modules.pop("stranger")
    again = ["fit", "--config", "run/config.yaml", "--output", "again"]
    capsys.readouterr()
    assert run(*again) == 2
    assert "trainer.callbacks: refused: it names a class to import" in capsys.readouterr().err
    assert not (folder / "mark").exists()
    assert run(*again, "--trust") == 0


def test_shorthand_names_of_lightning_and_saved_options_need_no_trust(folder):
    (folder / "more.yaml").write_text("trainer: {callbacks: [ModelSummary], accelerator: cpu}")
    assert run("fit", "--config", "run.yaml", "--config", "more.yaml", "--output", "run") == 0
    saved = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    saved["trainer"]["callbacks"] = None
    (folder / "saved.yaml").write_text(yaml.safe_dump(saved))
    assert run("fit", "--config", "saved.yaml", "--output", "again") == 0


@pytest.mark.parametrize("text", [t for t in FILES if t.startswith("data: ")])
def test_data_check_runs_no_code(text, folder, capsys):
    (folder / "bad.yaml").write_text(text)
    assert run("data", "check", "--config", "run.yaml", "--config", "bad.yaml") == 2
    assert not (folder / "mark").exists()
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("task", ["segmentation", "instance"])
def test_all_groups_are_known(task):
    found = find_task(task)
    for section, kind in (("data", found.data), ("model", found.training), ("trainer", Trainer)):
        for name, hint in option_types(kind).items():
            parts = [hint, *getattr(hint, "__args__", ())]
            if any(map(is_dataclass, parts)) and name != "classes":
                assert f"{section}.{name}" in configs.GROUPS


BROKEN = {
    "a date": "data: {root: 2024-01-01, name: folder}",
    "a key twice": "data: {batch_size: 1, batch_size: 2}",
    "recursion": "data: &x {splits: *x}",
    "a list": "[1]",
    "text": "data",
    "no YAML": "data: [",
    "a key that is a number": "1: 2",
    "a nested key that is a number": "data: {1: 2}",
    "a key that is nothing": "data: {null: 2}",
    "data: a list": "data: [1]",
    "data: a number": "data: 1",
    "trainer: a list": "trainer: [1]",
    "model: a number": "model: 3.5",
    "network: a list": "model: {network: [1]}",
    "network: text": "model: {network: upernet}",
    "network: nothing": "model: {network: null}",
    "name: a number": "model: {network: {name: 3}}",
    "name: nothing": "model: {network: {name: null}}",
    "name: a list": "model: {network: {name: [1]}}",
    "backbone: a number": "model: {network: {backbone: 3}}",
    "backbone: on a hub": "model: {network: {backbone: 'hf-hub:timm/resnet18.a1_in1k'}}",
    "backbone: in a folder": "model: {network: {backbone: 'local-dir:/tmp'}}",
    "mean: text": "model: {network: {mean: abc}}",
    "std: 0": "model: {network: {std: 0}}",
    "std: zeros": "model: {network: {std: [0, 0, 0]}}",
    "std: not finite": "model: {network: {std: [.nan, 1, 1]}}",
    "channels: huge": "model: {network: {channels: 10000000}}",
    "aux_channels: huge": "model: {network: {aux_channels: 1000000000000}}",
    "channels: text": "model: {network: {channels: x}}",
    "aux_head: text": "model: {network: {aux_head: maybe}}",
    "dropout: a list": "model: {network: {dropout: [1]}}",
    "backbone_options: text": "model: {network: {backbone_options: x}}",
    "dealias: a number": "model: {network: {dealias: 3}}",
    "dealias: cutoff": "model: {network: {dealias: {cutoff: {a: {b: c}}}}}",
    "dealias: sites": "model: {network: {dealias: {sites: 3}}}",
    "dealias: filter": "model: {network: {dealias: {filter: 3}}}",
    "dealias: filter_options": "model: {network: {dealias: {filter_options: 3}}}",
    "dealias: mixing_options": "model: {network: {dealias: {mixing_options: [1]}}}",
    "optimization: lr": "model: {optimization: {lr: .nan}}",
    "optimization: text": "model: {optimization: {lr: much}}",
    "optimization: betas": "model: {optimization: {kind: adamw, betas: [2, 2]}}",
    "optimization: weight_decay": "model: {optimization: {weight_decay: .inf}}",
    "optimization: kind": "model: {optimization: {kind: [sgd]}}",
    "augmentation: crop_size": "data: {augmentation: {crop_size: [x, y]}}",
    "scenes: size": "data: {scenes: {size: [-1, 5]}}",
    "max_steps: text": "trainer: {max_steps: many}",
    "base: a list": "base: [a]",
    "base: itself": "base: bad.yaml",
    "base: a folder": "base: .",
    "base: a null character": 'base: "a\\0b"',
    "base: long": f"base: {'x' * 5000}",
    "task: a list": "task: [a]",
    "output: a list": "output: [a]",
    "seed: huge": f"seed_everything: {10**30}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_error_is_a_line(kind, folder, capsys):
    (folder / "bad.yaml").write_text(BROKEN[kind])
    code = run("fit", "--config", "run.yaml", "--config", "bad.yaml", "--output", "run")
    said = capsys.readouterr().err
    assert code == 2, said
    assert said.startswith("dealias fit: error: ")
    assert said.count("\n") == 1
    assert len(said) < 4100
    assert not (folder / "run").exists()
    if BROKEN[kind].startswith(("data", "base", "[")):
        assert run("data", "check", "--config", "run.yaml", "--config", "bad.yaml") == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_long_chain_of_files(folder, capsys):
    for i in range(3000):
        (folder / f"{i}.yaml").write_text(f"base: {i + 1}.yaml")
    (folder / "3000.yaml").write_text(CONFIG)
    assert run("fit", "--config", "0.yaml", "--output", "run") == 2
    assert "expected at most 16 files in turn" in capsys.readouterr().err
    assert run("fit", "--config", "2990.yaml", "--output", "run", "--trainer.max_steps=1") == 0


def test_what_is_no_file(folder, capsys):
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    for name in ("pipe", "/dev/zero", "loop", "."):
        assert run("fit", "--config", name, "--output", "run") == 2
        assert "no such configuration file" in capsys.readouterr().err
        (folder / "bad.yaml").write_text(f"base: {name}")
        assert run("fit", "--config", "bad.yaml", "--output", "run") == 2
        assert capsys.readouterr().err.count("\n") == 1
        for option in (f"--trainer={name}", f"--data.augmentation={name}"):
            assert run("fit", "--config", "run.yaml", "--output", "run", option) == 2
            assert "expected options" in capsys.readouterr().err
