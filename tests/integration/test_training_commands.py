"""fit, validate, test and predict, as a person runs them."""

import json
import re
import signal
import subprocess

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image

from dealias.cli import main
from dealias.data import write_scenes
from dealias.labels import load_class_set
from dealias.models import load
from processes import in_two, process
from runs import CONFIG, command, failure, state_of

METRICS = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    assert command("fit", folder / "tiny.yaml", folder / "run") == 0
    return folder / "run"


def assert_same_state(first, second):
    first, second = state_of(first), state_of(second)
    assert first["global_step"] == second["global_step"]
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


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
    assert len([*(run / "predictions").iterdir()]) == 3
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
        ("classes", "no.yaml", "classes: {}/mine/sub/no.yaml: can't be read: No such file"),
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


def test_training_killed_in_mid_epoch_ends_with_the_same_weights(trained, config, tmp_path):
    run = tmp_path / "run"
    kill = ["--trainer.callbacks+=stops.KillAtStep", "--trainer.callbacks.step=5"]
    arguments = ["-m", "dealias", "fit", "--config", str(config), "--output", str(run), *kill]
    with process(*arguments, stderr=subprocess.PIPE) as killed:
        _, said = killed.communicate(timeout=200)
    assert killed.returncode == -signal.SIGKILL, said.decode()
    assert state_of(run / "last.ckpt")["global_step"] == 4
    assert command("fit", config, run, "--ckpt_path", "last") == 0
    assert_same_state(trained / "last.ckpt", run / "last.ckpt")
    assert_same_state(trained / "best.ckpt", run / "best.ckpt")


def test_the_best_checkpoint_is_known_to_a_resumed_run(config, tmp_path):
    """Validation at a step that is saved, and a stop right after it."""
    options = ["--trainer.val_check_interval", "2", "--checkpoint_every", "2"]
    options += ["--trainer.callbacks+=stops.FallingScore"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", config, whole, *options) == 0
    kill = ["--trainer.callbacks+=stops.KillAtStep", "--trainer.callbacks.step=3"]
    arguments = ["-m", "dealias", "fit", "--config", str(config), "--output", str(parts)]
    with process(*arguments, *options, *kill, stderr=subprocess.PIPE) as killed:
        _, said = killed.communicate(timeout=200)
    assert killed.returncode == -signal.SIGKILL, said.decode()
    assert command("fit", config, parts, *options, "--ckpt_path", "last") == 0
    assert state_of(whole / "best.ckpt")["global_step"] == 2
    assert_same_state(whole / "best.ckpt", parts / "best.ckpt")
    assert_same_state(whole / "last.ckpt", parts / "last.ckpt")


def test_a_checkpoint_of_other_filters_is_refused(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    options = [*checkpoint, "--model.network.dealias.cutoff", "0.2"]
    said = failure(capsys, "test", config, tmp_path / "run", *options)
    assert "its network was built with dealias" in said
    assert '"cutoff": 0.2' in said
    same = [*checkpoint, "--model.network.dealias", "{mixing: true}"]
    assert command("test", config, tmp_path / "run", *same) == 0


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


def test_accumulated_steps_resume_where_they_were(config, tmp_path, capsys):
    options = ["--trainer.accumulate_grad_batches", "2", "--checkpoint_every", "1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", config, whole, *options) == 0
    stop = ["--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=3"]
    assert command("fit", config, parts, *options, *stop) == 0
    assert state_of(parts / "last.ckpt")["global_step"] == 3
    options += ["--trainer.enable_progress_bar", "true"]
    assert command("fit", config, parts, *options, "--ckpt_path", "last") == 0
    assert "12/12" in capsys.readouterr().out
    assert_same_state(whole / "last.ckpt", parts / "last.ckpt")


def test_a_test_draws_its_page_with_the_aliasing_behind_the_errors(trained, config, tmp_path):
    page, checkpoint = tmp_path / "page", ["--ckpt_path", str(trained / "last.ckpt")]
    run = tmp_path / "run"
    assert command("test", config, run, *checkpoint, "--report", str(page)) == 0
    html = (page / "index.html").read_text(encoding="utf-8")
    assert "Errors against aliasing" in html
    assert len(list((page / "assets" / "images").iterdir())) == 3
    result = json.loads((run / "test" / "result.json").read_text())
    assert (run / "test" / result["report"]).resolve() == page.resolve()
    found = result["errors_against_aliasing"]
    assert found["site"] == "backbone.maxpool"
    wrong = result["per_image"]
    for kind in ("false_response", "merging_mistake", "displacement", "interior"):
        pixels = sum(image["error_pixels"][kind] for image in wrong)
        assert found["groups"][kind]["pixels"] == pixels


def test_test_equals_predict_and_evaluate(trained, config, tmp_path, capsys):
    folder = tmp_path / "scenes"
    names = write_scenes(folder, 3, size=(64, 96), seed=0)
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", "scenes"]
    data += ["--data.splits.test", ".", "--data.predict_images", str(folder / "images")]
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    run = tmp_path / "run"
    assert command("test", config, run, *data, *checkpoint) == 0
    assert command("predict", config, run, *data, *checkpoint) == 0
    predictions = run / "predictions"
    assert sorted(path.stem for path in predictions.iterdir()) == names
    arguments = [
        "--predictions",
        predictions,
        "--targets",
        folder / "labels",
        "--classes",
        "scenes",
    ]
    output = ["--output", tmp_path / "result.json", "--counts", tmp_path / "counts.npz"]
    assert main(["evaluate", *map(str, [*arguments, *output])]) == 0
    found, expected = (
        json.loads(path.read_bytes())
        for path in (run / "test" / "result.json", tmp_path / "result.json")
    )
    for key in ("metrics", "classes", "error_shares", "mIoU_gain", "images"):
        assert found[key] == expected[key], key
    assert found["metrics"]["mIoU"] > 0
    mine, theirs = (
        np.load(path) for path in (run / "test" / "counts.npz", tmp_path / "counts.npz")
    )
    assert np.array_equal(mine["confusion"], theirs["confusion"])


def test_two_processes_count_what_one_counts(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    assert command("test", config, tmp_path / "one", *checkpoint) == 0
    arguments = ["test", "--config", config, "--output", tmp_path / "two", *checkpoint]
    code, said, errors = in_two(*arguments)
    assert code == 0, errors
    one, both = (np.load(tmp_path / name / "test" / "counts.npz") for name in ("one", "two"))
    assert sorted(one) == sorted(both)
    for name in one:
        assert np.array_equal(one[name], both[name]), name
    assert said.count("3 images") == 1


def test_a_converted_checkpoint_tests_the_same(trained, config, tmp_path):
    assert main(["convert", str(trained / "best.ckpt"), "--output", str(tmp_path / "net")]) == 0
    assert load(tmp_path / "net").num_classes == 11
    for name, checkpoint in (("a", trained / "best.ckpt"), ("b", tmp_path / "net")):
        assert command("test", config, tmp_path / name, "--ckpt_path", str(checkpoint)) == 0
    first, second = (json.loads((tmp_path / n / "test/result.json").read_bytes()) for n in "ab")
    assert first["classes"] == second["classes"]


def test_windows_scales_and_flips_are_options(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    options = ["--model.inference.window", "[32, 48]", "--model.inference.flip", "true"]
    options += ["--model.inference.scales", "[0.75, 1.0]"]
    assert command("test", config, tmp_path, *checkpoint, *options) == 0


def test_outputs_are_not_replaced_unasked(trained, config, capsys):
    before = (trained / "last.ckpt").read_bytes()
    said = failure(capsys, "fit", config, trained)
    assert "exists already; --ckpt_path last goes on from it, --overwrite replaces it" in said
    assert (trained / "last.ckpt").read_bytes() == before


def test_a_checkpoint_that_is_not_there(config, tmp_path, capsys):
    said = failure(capsys, "test", config, tmp_path / "run")
    assert "holds no best.ckpt or last.ckpt" in said
    said = failure(capsys, "test", config, tmp_path / "run", "--ckpt_path", "nope.ckpt")
    assert "nope.ckpt: no such checkpoint" in said


def test_a_checkpoint_of_other_classes(trained, config, tmp_path, capsys):
    folder = tmp_path / "scenes"
    write_scenes(folder, 1, size=(64, 96))
    classes = tmp_path / "two.yaml"
    classes.write_text("names: [a, b]\n", encoding="utf-8")
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", str(classes)]
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt"), "--data.splits.test", "."]
    said = failure(capsys, "test", config, tmp_path / "run", *data, *checkpoint)
    assert f"{trained / 'last.ckpt'}: expected 2 classes, as the data has, got weights for" in said
    assert " 11: sky, building" in said


def test_a_checkpoint_of_classes_in_another_order_or_of_other_names(
    trained, config, tmp_path, capsys
):
    folder = tmp_path / "scenes"
    write_scenes(folder, 1, size=(64, 96))
    names = list(load_class_set("scenes").names)
    classes = tmp_path / "scenes.yaml"
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", str(classes)]
    data += ["--data.splits.test", "."]
    assert main(["convert", str(trained / "best.ckpt"), "--output", str(tmp_path / "net")]) == 0
    checkpoint, converted = str(trained / "last.ckpt"), str(tmp_path / "net")
    for other, refused in (
        ([names[1], names[0], *names[2:]], {checkpoint, converted}),
        (["else", *names[1:]], {checkpoint}),
        ([names[0].upper(), *names[1:]], set()),
    ):
        classes.write_text(yaml.safe_dump({"names": other}), encoding="utf-8")
        for path in (checkpoint, converted):
            options = ["--ckpt_path", path, "--overwrite", "true", *data]
            code = command("test", config, tmp_path / "run", *options)
            assert code == (2 if path in refused else 0)
            said = f"the first that differs is '{other[0]}', which it has '{names[0]}' for"
            assert (said in capsys.readouterr().err) == (path in refused)


def test_a_checkpoint_of_another_network(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    other = ["--model.network.backbone", "test_efficientnet"]
    said = failure(capsys, "test", config, tmp_path / "run", *checkpoint, *other)
    assert "weights of another network" in said


def test_a_malicious_checkpoint_is_refused(config, tmp_path, capsys):
    mark = tmp_path / "mark"
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "evil": Evil(mark)}, path)
    for name in ("test", "fit"):
        said = failure(capsys, name, config, tmp_path / "run", "--ckpt_path", str(path))
        assert f"{path}: refused: it holds" in said
    assert not mark.exists()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_misspelt_options_are_named_on_a_line(config, tmp_path, capsys):
    for arguments in (["fit", "--config", str(config)], ["data", "check"]):
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--data.name", "scenes", "--data.sizes", "3"])
        assert left.value.code == 2
        tip, error = capsys.readouterr().err.strip().splitlines()[-2:]
        assert tip.startswith("tip: ")
        assert "--data.sizes" in error
    assert not list(tmp_path.glob("runs"))


def test_predictions_are_whole_or_as_they_were(trained, config, tmp_path, capsys):
    folder, run = tmp_path / "images", tmp_path / "run"
    folder.mkdir()
    for name in "ab":
        Image.new("RGB", (96, 64)).save(folder / f"{name}.png")
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--data.predict_images", str(folder)]
    assert command("predict", config, run, *options) == 0
    before = {path: path.read_bytes() for path in run.rglob("*.png")}
    assert [path.name for path in sorted(before)] == ["a.png", "b.png"]
    (folder / "b.png").write_bytes(b"no image")
    for place, kept in ((run, before), (tmp_path / "other", {})):
        assert "b.png" in failure(capsys, "predict", config, place, *options, "--overwrite")
        assert {path: path.read_bytes() for path in place.rglob("*.*")} == kept
    (folder / "b.png").unlink()
    assert command("predict", config, run, *options, "--overwrite") == 0
    assert [path.name for path in run.rglob("*.png")] == ["a.png"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(config, tmp_path, capsys):
    options = ["--model.optimization.lr", "1.0e+30", "--checkpoint_every", "1"]
    said = failure(capsys, "fit", config, tmp_path, *options)
    assert "the loss is not finite" in said
    step = int(said.split("step ")[1].split(":")[0])
    checkpoint = state_of(tmp_path / "last.ckpt")
    assert checkpoint["global_step"] <= step
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_a_full_disk_leaves_the_earlier_checkpoint(config, tmp_path):
    code = (
        "import resource, signal, sys, torch; from dealias.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "save, seen = torch.save, []\n"
        "def fail(*a):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "    save(*a)\n"
        "torch.save = fail\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    options = ["--trainer.limit_val_batches", "0", "--trainer.logger", "false"]
    arguments = ["fit", "--config", str(config), "--output", str(tmp_path / "run"), *options]
    with process("-c", code, *arguments, stderr=subprocess.PIPE) as run:
        _, said = run.communicate(timeout=200)
    assert run.returncode == 2, said.decode()
    assert "last.ckpt: can't be written: File too large" in said.decode()
    assert state_of(tmp_path / "run" / "last.ckpt")["global_step"] == 2
    assert not list((tmp_path / "run").glob(".*"))


def test_corrupt_images_are_named_and_skipped_when_asked(trained, config, tmp_path, capsys):
    folder = tmp_path / "scenes"
    names = write_scenes(folder, 3, size=(64, 96))
    bad = folder / "images" / f"{names[1]}.png"
    bad.write_bytes(bad.read_bytes()[:100])
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", "scenes"]
    data += [f"--data.splits.{part}=." for part in ("train", "val", "test")]
    said = failure(capsys, "fit", config, tmp_path / "run", *data)
    assert f"{names[1]}.png" in said
    skip = ["--data.skip_bad", "true", "--overwrite", "true"]
    assert command("fit", config, tmp_path / "run", *data, *skip) == 1
    assert f"{names[1]}.png" in capsys.readouterr().out
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    said = failure(capsys, "test", config, tmp_path / "test", *data, *checkpoint)
    assert f"{names[1]}.png" in said
    assert command("test", config, tmp_path / "test", *data, *checkpoint, *skip) == 1
    said = capsys.readouterr().out
    assert "2 images" in said
    assert f"{names[1]}.png" in said


def test_data_that_is_missing(config, tmp_path, capsys):
    data = ["--data.name", "cityscapes", "--data.root", str(tmp_path / "nowhere")]
    said = failure(capsys, "fit", config, tmp_path / "run", *data)
    assert "nowhere" in said
    assert "leftImg8bit" in said
    assert not (tmp_path / "run").exists()


def test_noise_on_tested_images_is_the_same_every_time_and_harms(trained, config, tmp_path):
    found = []
    for index, sigma in enumerate(("0", "60", "60")):
        run = tmp_path / str(index)
        checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
        assert command("test", config, run, *checkpoint, "--noise", sigma) == 0
        result = json.loads((run / "test" / "result.json").read_bytes())
        assert result.get("noise", 0) == float(sigma)
        found.append(result["metrics"])
    assert found[1] == found[2]
    assert found[0] != found[1]


def test_noise_is_not_negative(trained, config, tmp_path, capsys):
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--noise", "-1"]
    assert command("test", config, tmp_path / "run", *options) == 2
    assert " noise: expected a number from 0 on" in capsys.readouterr().err


def test_options_before_the_command_are_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--typo", "fit"])
    assert left.value.code == 2
    assert "--typo" in capsys.readouterr().err
