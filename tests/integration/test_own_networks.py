"""Networks, losses and weights of one's own in the commands."""

import json
import os
import re
import shutil
import sys

import pytest
import torch
import yaml

from dealias.cli import main
from dealias.data import write_scenes
from dealias.engine import WholeCheckpoints
from own_networks import TwoHeads, UNet
from runs import CONFIG, assert_same_state, command, failure, state_of

NETWORK = {"class_path": "own_networks.UNet", "init_args": {"width": 6}, "size_divisor": 4}
LOSSES = ["cross_entropy", {"class_path": "own_losses.doubled", "init_args": {"factor": 0.5}}]


@pytest.fixture
def own(tmp_path):
    """A configuration with a network and a loss of one's own."""
    options = yaml.safe_load(CONFIG)
    options["model"] |= {"network": {**NETWORK, "dealias": {}}, "losses": LOSSES}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(options))
    return path


def test_a_network_of_ones_own_is_trained_resumed_tested_and_probed(own, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", own, whole, "--trust") == 0
    assert "down.0" in capsys.readouterr().out
    stop = ["--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=3"]
    assert command("fit", own, parts, "--trust", *stop) == 0
    assert state_of(parts / "last.ckpt")["global_step"] == 3
    assert command("fit", own, parts, "--trust", "--ckpt_path", "last") == 0
    assert_same_state(whole / "last.ckpt", parts / "last.ckpt")
    report = [
        "--report",
        str(tmp_path / "page"),
        "--ckpt_path",
        "last",
        "--shifts",
        "1",
        "--largest_shift",
        "1",
    ]
    report += ["--data.scenes.size", "[96, 96]"]
    assert command("test", own, whole, "--trust", *report) == 0
    assert (tmp_path / "page" / "index.html").is_file()
    checkpoint = str(whole / "last.ckpt")
    converted = tmp_path / "converted"
    assert main(["convert", checkpoint, "--output", str(converted), "--trust"]) == 0
    assert "own_networks.UNet, de-aliased, " in capsys.readouterr().out
    results = ["--results", str(tmp_path / "again"), "--ckpt_path", str(converted)]
    results += ["--data.scenes.size", "[96, 96]"]
    assert command("test", own, whole, "--trust", *results) == 0
    first, again = (path / "result.csv" for path in (whole / "test", tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()
    write_scenes(tmp_path / "scenes", 2, size=(64, 96), seed=0)
    for path in (checkpoint, str(converted)):
        probe = ["probe", "--model", f"dealias:{path}", "--images", str(tmp_path / "scenes/images")]
        assert main(probe) == 2
        assert "own_networks.UNet, a class to import, which is a program; --trust allows it" in (
            capsys.readouterr().err
        )
        assert main([*probe, "--trust"]) == 0
        assert "network.down" in capsys.readouterr().out


def test_another_network_of_the_same_tensors_is_not_taken(own, tmp_path, capsys):
    assert command("fit", own, tmp_path / "run", "--trust", "--trainer.max_steps=1") == 0
    other = ["--trust", "--model.network.size_divisor", "8"]
    said = failure(capsys, "test", own, tmp_path / "run", *other)
    assert "last.ckpt: its network was built with size_divisor 4, this one with 8" in said


def test_mistakes_in_ones_own_module_are_a_line(own, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mistaken.py").write_text("class Net(:\n    pass\n")
    net = ["--trust", "--model.network.class_path", "mistaken.Net"]
    said = failure(capsys, "fit", own, tmp_path / "run", *net)
    assert "model.network.class_path: mistaken.Net: SyntaxError" in said
    net = ["--trust", "--model.network.class_path", "own_networks.Sixfold"]
    net += ["--data.scenes.size", "[96, 96]", "--data.augmentation.crop_size", "[96, 96]"]
    said = failure(capsys, "fit", own, tmp_path / "run", *net)
    assert "AssertionError" in said
    assert "internal error" not in said


def test_no_file_of_a_class_is_used_without_trust(own, tmp_path, capsys):
    message = "refused: it names a class to import, which is a program; --trust allows it"
    assert message in failure(capsys, "fit", own, tmp_path / "run")
    options = yaml.safe_load(own.read_text())
    options["model"]["network"] = {"name": "timm:test_resnet"}
    own.write_text(yaml.safe_dump(options))
    message = "model.losses: refused: it names a class to import"
    assert message in failure(capsys, "fit", own, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_study_varies_networks_and_losses(own, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    variants = tmp_path / "variants.yaml"
    changes = {
        "plain": {"model": {"network": {"dealias": None}}},
        "other": {"model": {"network": {"name": "timm:test_resnet"}, "losses": ["dice"]}},
    }
    variants.write_text(yaml.safe_dump(changes))
    arguments = ["study", "--config", str(own), "--variants", str(variants), "--seeds", "2"]
    arguments += ["--output", str(tmp_path / "study"), "--shifts", "0", "--noise", "--cost=false"]
    assert main(arguments) == 2
    assert "--trust allows it" in capsys.readouterr().err
    assert main([*arguments, "--trust"]) == 0
    table = (tmp_path / "study" / "table.md").read_text()
    assert "plain" in table
    assert "other" in table
    held = json.loads((tmp_path / "study" / "study.json").read_text())
    assert "own_networks.py" in json.dumps(held)
    assert "own_losses.py" in json.dumps(held)


def test_options_of_a_network_of_another_name_are_dropped(config, tmp_path):
    """UPerNet's backbone and channels are no options of a network of SMP."""
    smp = ["--model.network.name", "smp:Unet", "--model.network.options.encoder_name", "resnet18"]
    assert command("fit", config, tmp_path / "run", *smp, "--trainer.max_steps", "1") == 0
    network = state_of(tmp_path / "run" / "last.ckpt")["hyper_parameters"]["network"]
    assert network["name"] == "smp:Unet"
    assert network["dealias"] is None


class TestEpochs:
    def test_epochs_are_counted_in_steps(self, config, tmp_path):
        """Of six images, two a step."""
        options = yaml.safe_load(config.read_text())
        del options["trainer"]["max_steps"], options["trainer"]["val_check_interval"]
        config.write_text(yaml.safe_dump(options))
        run = tmp_path / "run"
        assert command("fit", config, run, "--trainer.max_epochs", "2") == 0
        assert state_of(run / "last.ckpt")["global_step"] == 6
        assert [path.name for path in sorted((run / "samples").iterdir())] == ["0000003", "0000006"]
        options = ["--trainer.max_epochs", "2", "--trainer.accumulate_grad_batches", "3"]
        assert command("fit", config, tmp_path / "accumulated", *options) == 0
        assert state_of(tmp_path / "accumulated" / "last.ckpt")["global_step"] == 2

    def test_steps_may_end_first(self, config, tmp_path):
        options = ["--trainer.max_epochs", "5", "--trainer.max_steps", "2"]
        assert command("fit", config, tmp_path / "run", *options) == 0
        assert state_of(tmp_path / "run" / "last.ckpt")["global_step"] == 2

    def test_validation_comes_after_epochs_unless_steps_are_given(self, config, tmp_path):
        options = yaml.safe_load(config.read_text())
        del options["trainer"]["val_check_interval"]
        config.write_text(yaml.safe_dump(options))
        for name, more, steps in (
            ("steps", ["--trainer.max_steps=2"], [2]),
            ("epochs", ["--trainer.max_epochs=2", "--trainer.max_steps=-1"], [3, 6]),
            (
                "every other",
                [
                    "--trainer.max_epochs=2",
                    "--trainer.max_steps=-1",
                    "--trainer.check_val_every_n_epoch=2",
                ],
                [6],
            ),
            ("each", ["--trainer.max_steps=3", "--trainer.val_check_interval=1"], [1, 2, 3]),
        ):
            assert command("fit", config, tmp_path / name, *more) == 0
            pictures = sorted((tmp_path / name / "samples").iterdir())
            assert [int(path.name) for path in pictures] == steps, name

    def test_no_epoch_is_refused(self, config, tmp_path, capsys):
        said = failure(capsys, "fit", config, tmp_path / "run", "--trainer.max_epochs", "0")
        assert "trainer.max_epochs: expected at least 1, got 0" in said

    def test_training_stops_early(self, config, tmp_path):
        """The learning rate is so low that validation can't become better by 1."""
        stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/mIoU"]
        stop += ["--trainer.callbacks.mode=max", "--trainer.callbacks.min_delta=1"]
        stop += ["--trainer.callbacks.patience=1", "--trainer.max_epochs=9"]
        stop += ["--trainer.max_steps=-1", "--trainer.gradient_clip_val=0.5"]
        assert command("fit", config, tmp_path / "run", *stop) == 0
        assert state_of(tmp_path / "run" / "last.ckpt")["global_step"] == 6


class TestInitFrom:
    def test_other_classes_leave_the_heads(self, trained, config, tmp_path, capsys):
        """Eight classes of a folder in place of those of the scenes."""
        names = [f"class {index}" for index in range(8)]
        checkpoint = WholeCheckpoints().load_checkpoint(trained / "last.ckpt")
        held = checkpoint["hyper_parameters"]["classes"]["names"]
        checkpoint["hyper_parameters"]["classes"]["names"] = names[: len(held)]
        torch.save(checkpoint, tmp_path / "other.ckpt")
        for path, heads in ((trained / "last.ckpt", False), (tmp_path / "other.ckpt", True)):
            run = tmp_path / path.stem
            options = ["--init_from", str(path), "--model.optimization.lr", "1e-12"]
            assert command("fit", config, run, *options, "--trainer.max_steps", "1") == 0
            said = capsys.readouterr().out
            assert "tensors taken" in said
            assert ("with random weights: decode_head.classifier.1.weight" in said) == heads
            before, after = (state_of(p)["state_dict"] for p in (path, run / "last.ckpt"))
            differ = {
                name
                for name, value in before.items()
                if value.is_floating_point() and not torch.allclose(value, after[name], atol=1e-6)
            }
            changed = {name for name in differ if "running" not in name}
            assert all("classifier" in name or "aux_head.1" in name for name in changed)
            assert bool(changed) == heads

    def test_a_folder_and_a_file_of_weights(self, trained, config, tmp_path, capsys):
        assert main(["convert", str(trained / "last.ckpt"), "--output", str(tmp_path / "net")]) == 0
        state = state_of(trained / "last.ckpt")["state_dict"]
        torch.save({k.removeprefix("network."): v for k, v in state.items()}, tmp_path / "net.pth")
        for path in (tmp_path / "net", tmp_path / "net.pth"):
            options = ["--init_from", str(path), "--trainer.max_steps", "1"]
            assert command("fit", config, tmp_path / f"run{path.suffix}", *options) == 0
            assert "tensors taken" in capsys.readouterr().out
            assert "random weights" not in capsys.readouterr().out

    def test_the_file_may_be_of_a_network_without_mixing(self, trained, config, tmp_path, capsys):
        state = state_of(trained / "last.ckpt")["state_dict"]
        plain = {k.removeprefix("network."): v for k, v in state.items() if "mixing" not in k}
        torch.save(plain, tmp_path / "plain.pth")
        options = ["--init_from", str(tmp_path / "plain.pth"), "--trainer.max_steps", "1"]
        assert command("fit", config, tmp_path / "run", *options) == 0
        assert "as inserted: backbone" in capsys.readouterr().out

    def test_weights_that_another_program_saved(self, own, tmp_path, capsys):
        """They have the names of the network itself; they are tested too."""
        torch.save(UNet(11, width=6).state_dict(), tmp_path / "unet.pth")
        run = tmp_path / "run"
        begin = ["--init_from", str(tmp_path / "unet.pth"), "--trainer.max_steps", "1"]
        assert command("fit", own, run, "--trust", *begin) == 0
        assert "16 of 16 tensors taken\n" in capsys.readouterr().out
        weights = ["--ckpt_path", str(tmp_path / "unet.pth")]
        assert command("test", own, run, "--trust", *weights) == 0
        torch.save({"model": UNet(7, width=6).state_dict()}, tmp_path / "other.pth")
        weights = ["--ckpt_path", str(tmp_path / "other.pth")]
        said = failure(capsys, "test", own, run, "--trust", "--overwrite", *weights)
        assert "expected 11 classes, the checkpoint has 7" in said

    def test_a_training_that_goes_on_does_not_begin_anew(self, trained, config, tmp_path):
        options = yaml.safe_load(config.read_text())
        options["init_from"] = str(tmp_path / "none.ckpt")
        config.write_text(yaml.safe_dump(options))
        run = tmp_path / "run"
        shutil.copytree(trained, run)
        assert command("fit", config, run, "--ckpt_path", "last", "--trainer.max_steps", "7") == 0
        assert state_of(run / "last.ckpt")["global_step"] == 7

    def test_all_heads_of_other_classes_are_left_out(self, config, tmp_path, capsys):
        """Of as many classes and of fewer; no part of the network is said to be the backbone."""
        network = ["--model.network.class_path", "own_networks.TwoHeads", "--trust"]
        few = ["--trainer.max_steps=1"]
        assert command("fit", config, tmp_path / "first", *network, *few) == 0
        path = tmp_path / "first" / "last.ckpt"
        checkpoint = WholeCheckpoints().load_checkpoint(path)
        checkpoint["hyper_parameters"]["classes"]["names"] = [f"class {k}" for k in range(11)]
        torch.save(checkpoint, tmp_path / "other.ckpt")
        torch.save(TwoHeads(7).state_dict(), tmp_path / "seven.pth")
        for begin in ("other.ckpt", "seven.pth"):
            options = [*network, *few, "--init_from", str(tmp_path / begin)]
            assert command("fit", config, tmp_path / f"of {begin}", *options) == 0
            said = capsys.readouterr().out
            assert "with random weights: " in said
            assert all(
                f"network.{name}.{part}" in said
                for name in ("first", "head")
                for part in ("weight", "bias")
            )

    def test_filters_of_learned_strength_are_no_part_of_other_weights(
        self, config, tmp_path, capsys
    ):
        plain = ["--model.network.dealias", "null", "--trainer.max_steps=1"]
        assert command("fit", config, tmp_path / "plain", *plain) == 0
        learned = ["--model.network.dealias", "{strength: learned}", "--trainer.max_steps=1"]
        begin = ["--init_from", str(tmp_path / "plain" / "last.ckpt")]
        assert command("fit", config, tmp_path / "learned", *learned, *begin) == 0
        assert "as inserted: backbone" in capsys.readouterr().out

    def test_a_test_does_not_mind_what_training_began_with(self, trained, config, tmp_path):
        options = yaml.safe_load(config.read_text())
        options["init_from"] = str(trained / "last.ckpt")
        config.write_text(yaml.safe_dump(options))
        run = tmp_path / "run"
        assert command("fit", config, run, "--trainer.max_steps", "1") == 0
        assert command("test", config, run, "--data.limit", "1") == 0

    def test_what_is_refused(self, trained, config, own, tmp_path, capsys):
        last = str(trained / "last.ckpt")
        state = state_of(trained / "last.ckpt")["state_dict"]
        torch.save({k: v for k, v in state.items() if "layer3" not in k}, tmp_path / "half.pth")
        run = tmp_path / "run"
        for configuration, options, message in (
            (config, ["--init_from", str(tmp_path / "none.ckpt")], "none.ckpt"),
            (config, ["--init_from", str(tmp_path / "half.pth")], "init_from: .*tensors of the b"),
            (own, ["--trust", "--init_from", last], "init_from: .*expected the tensors of the"),
        ):
            said = failure(capsys, "fit", configuration, run, *options)
            assert re.search(message, said), said
            assert not run.exists()


def test_modules_beside_the_working_directory_are_found(config, tmp_path, monkeypatch):
    (tmp_path / "beside_the_work.py").write_text("from own_networks import TwoHeads, UNet as Net\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    options = ["--model.network.class_path", "beside_the_work.Net", "--trust"]
    assert command("fit", config, tmp_path / "run", *options, "--trainer.max_steps=1") == 0
