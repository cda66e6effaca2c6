"""fit and its options, as a person runs it."""

import re
from importlib.util import find_spec

import pytest
import timm
import torch
import yaml
from PIL import Image

from dealias.cli import main
from dealias.data import write_scenes
from dealias.labels import load_class_set
from runs import CONFIG, assert_same_state, command, failure, state_of


def test_a_run_leaves_checkpoints_logs_and_pictures(trained):
    assert {"best.ckpt", "last.ckpt", "config.yaml"} <= {path.name for path in trained.iterdir()}
    assert state_of(trained / "last.ckpt")["global_step"] == 6
    (log,) = trained.glob("csv/*/metrics.csv")
    columns = log.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {f"val/{name}" for name in ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")} <= {
        *columns
    }
    assert any(trained.glob("events.out.tfevents.*"))
    pictures = sorted(trained.glob("samples/*/*.png"))
    assert [path.parent.name for path in pictures] == ["0000003", "0000006"]
    with Image.open(pictures[0]) as picture:
        assert picture.size == (4 * 96, 64)


def test_a_configuration_alone_is_enough(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("fit", "test"):
        assert main([name, "--config", config.name]) == 0
    run = tmp_path / "runs" / tmp_path.name / "tiny"
    assert (run / "test" / "result.json").is_file()
    ends = "results of {0}/best.ckpt: {0}/test".format(f"runs/{tmp_path.name}/tiny")
    assert capsys.readouterr().out.endswith(f"{ends}\n")
    assert main(["test", "--config", config.name, "--overwrite"]) == 0


def test_the_saved_configuration_runs_again(trained, tmp_path):
    assert command("fit", trained / "config.yaml", tmp_path / "again") == 0
    assert_same_state(trained / "last.ckpt", tmp_path / "again" / "last.ckpt")


def test_paths_of_a_configuration_hold_wherever_it_is_used(tmp_path, monkeypatch, capsys):
    """Everything lies beside the file; the command runs elsewhere, and its own paths are there."""
    (tmp_path / "mine" / "weights").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    for folder in ("mine/scenes", "work/other"):
        write_scenes(tmp_path / folder, 3, size=(64, 96), seed=0)
    backbone = timm.create_model("test_resnet").state_dict()
    torch.save(backbone, tmp_path / "mine" / "weights" / "net.pth")
    names = [*load_class_set("scenes").names]
    (tmp_path / "mine" / "classes.yaml").write_text(yaml.safe_dump({"names": names}))
    content = yaml.safe_load(CONFIG)
    del content["data"]["scenes"]
    content["data"] |= {"name": "folder", "root": "scenes", "classes": "classes.yaml"}
    content["data"]["splits"] = {"train": ".", "val": "."}
    content["data"]["predict_images"] = "scenes/images"
    content["model"]["network"]["backbone_weights"] = "weights/net.pth"
    content["output"] = "run"
    (tmp_path / "mine" / "base.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "mine" / "sub").mkdir()
    config = tmp_path / "mine" / "sub" / "run.yaml"
    config.write_text("base: ../base.yaml\ntrainer: {max_steps: 1}\n")
    monkeypatch.chdir(tmp_path / "work")
    assert main(["data", "check", "--config", "../mine/sub/run.yaml"]) == 0
    for name in ("fit", "test", "predict"):
        assert main([name, "--config", "../mine/sub/run.yaml"]) == 0, capsys.readouterr().err
    run = tmp_path / "mine" / "run"
    assert len([*(run / "predictions").glob("*.png")]) == 3
    saved = str(run / "config.yaml")  # read from yet another folder
    monkeypatch.chdir(run)
    assert main(["fit", "--config", saved, "--overwrite"]) == 0
    assert state_of("last.ckpt")["hyper_parameters"]["network"]["backbone"] == "test_resnet"
    monkeypatch.chdir(tmp_path / "work")
    options = ["--data.root", "other", "--data.predict_images", "other/images", "--output", "own"]
    assert main(["fit", "--config", str(config), *options]) == 0
    kept = yaml.safe_load((tmp_path / "work" / "own" / "config.yaml").read_text())
    assert kept["data"]["root"] == str(tmp_path / "work" / "other")
    assert kept["data"]["classes"].endswith("mine/sub/../classes.yaml")
    capsys.readouterr()
    for key, value, said in (
        ("root", "nowhere", "mine/sub/nowhere: not a folder"),
        ("classes", "no.yaml", "classes: {}/mine/sub/no.yaml: no such file"),
        ("predict_images", "absent", "predict_images: {}/mine/sub/absent: no such folder"),
    ):
        config.write_text(f"base: ../base.yaml\ndata: {{{key}: {value}}}\n")
        name = "predict" if key == "predict_images" else "fit"
        assert main([name, "--config", str(config), "--overwrite"]) == 2
        assert said.format(tmp_path) in capsys.readouterr().err
    config.write_text("base: ../base.yaml\nmodel: {network: {backbone_weights: no.pth}}\n")
    assert main(["fit", "--config", str(config), "--overwrite"]) == 2
    expected = f"backbone_weights: {tmp_path}/mine/sub/no.pth: no such file; "
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--model.network.chanels", "8"],
            "model.network.chanels: no such option",
        ),
        (["--trainer.accelerator", "cuda"], "cuda|CUDA|accelerator"),
        (["--trainer.enable_checkpointing", "false"], "always keeps last.ckpt"),
        (["--config", "linked.yaml"], "data.noise: expected it as noise, for the whole run"),
        (["--config", "moved.yaml"], "data.crop_size: is now data.augmentation.crop_size"),
        (["--config", "moved_scenes.yaml"], "data.scenes: is now data.scenes.train"),
        (["--data.scenes=3"], "data.scenes: is now data.scenes.train"),
        (["--data.val_split", "a"], "data.val_split: is now data.splits.val"),
    ],
)
def test_options_that_can_not_be_are_named(config, tmp_path, capsys, monkeypatch, option, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked.yaml").write_text("data: {noise: 20}\n", encoding="utf-8")
    (tmp_path / "moved.yaml").write_text("data: {crop_size: [8, 8]}\n", encoding="utf-8")
    (tmp_path / "moved_scenes.yaml").write_text("data: {scenes: 3}\n", encoding="utf-8")
    assert re.search(message, failure(capsys, "fit", config, tmp_path, *option))


def test_outputs_are_not_replaced_unasked(trained, config, capsys):
    before = (trained / "last.ckpt").read_bytes()
    said = failure(capsys, "fit", config, trained)
    assert "exists already; --ckpt_path last goes on from it, --overwrite replaces it" in said
    assert (trained / "last.ckpt").read_bytes() == before


def test_fit_says_once_what_was_dealiased(config, tmp_path, capsys):
    few = ["--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    assert command("fit", config, tmp_path / "run", *few) == 0
    said = capsys.readouterr().out
    assert said.count("de-aliased:") == 1
    assert said.index("mixing") < said.index("checkpoints, logs and pictures")
    plain = ["--model.network.dealias", "null"]
    assert command("fit", config, tmp_path / "plain", *few, *plain) == 0
    assert "de-aliased" not in capsys.readouterr().out


@pytest.mark.skipif(find_spec("comet_ml") is not None, reason="the package is there")
def test_a_class_that_lacks_its_package_is_a_line(config, tmp_path, capsys):
    said = failure(capsys, "fit", config, tmp_path / "run", "--trainer.logger", "CometLogger")
    (line,) = [line for line in said.splitlines() if line.startswith("dealias fit: ")]
    assert "CometLogger: " in line
    assert "comet" in line.partition(": error: ")[2]
    assert "Union" not in said
    assert not (tmp_path / "run").exists()


def test_misspelt_options_are_named_on_a_line(config, tmp_path, capsys):
    fit, check = ["fit", "--config", str(config)], ["data", "check"]
    for arguments, listing in ((fit, "--help_all"), (check, "--help_all")):
        assert main([*arguments, "--data.name", "scenes", "--data.sizes", "3"]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert "--data.sizes" in said
        assert f" {listing} lists the options" in said
    assert not list(tmp_path.glob("runs"))


def test_data_that_is_missing(config, tmp_path, capsys):
    data = ["--data.name", "cityscapes", "--data.root", str(tmp_path / "nowhere")]
    said = failure(capsys, "fit", config, tmp_path / "run", *data)
    assert "nowhere" in said
    assert "leftImg8bit" in said
    assert not (tmp_path / "run").exists()


def test_options_before_the_command_are_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--typo", "fit"])
    assert left.value.code == 2
    assert "--typo" in capsys.readouterr().err
