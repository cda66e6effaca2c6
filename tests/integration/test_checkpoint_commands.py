"""Resuming from checkpoints, and checkpoints that are refused."""

import json
import shutil
import signal
import subprocess

import pytest
import torch
import yaml

from dealias.cli import main
from dealias.data import write_scenes
from dealias.engine import WholeCheckpoints
from dealias.labels import load_class_set
from dealias.models import load
from processes import process
from runs import assert_same_state, command, failure, state_of


def test_training_killed_in_mid_epoch_ends_with_the_same_weights(trained, config, tmp_path):
    run = tmp_path / "run"
    kill = ["--trust", "--trainer.callbacks+=stops.KillAtStep", "--trainer.callbacks.step=5"]
    arguments = ["-m", "dealias", "fit", "--config", str(config), "--output", str(run), *kill]
    with process(*arguments, stderr=subprocess.PIPE) as killed:
        _, said = killed.communicate(timeout=200)
    assert killed.returncode == -signal.SIGKILL, said.decode()
    assert state_of(run / "last.ckpt")["global_step"] == 4
    assert command("fit", config, run, "--ckpt_path", "last") == 0
    assert_same_state(trained / "last.ckpt", run / "last.ckpt")
    assert_same_state(trained / "best.ckpt", run / "best.ckpt")


@pytest.mark.parametrize(
    ("killed_by", "step", "moved"),
    [("KillAtStep", 3, "parts"), ("KillAtStep", 3, "moved"), ("KillInValidation", 2, "parts")],
)
def test_the_best_checkpoint_is_known_to_a_resumed_run(killed_by, step, moved, config, tmp_path):
    """Validation at a step that is saved, and a stop right after it, or in it."""
    options = ["--trainer.val_check_interval", "2", "--checkpoint_every", "2"]
    options += ["--trust", "--trainer.callbacks+=stops.FallingScore"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", config, whole, *options) == 0
    kill = [f"--trainer.callbacks+=stops.{killed_by}", f"--trainer.callbacks.step={step}"]
    arguments = ["-m", "dealias", "fit", "--config", str(config), "--output", str(parts)]
    with process(*arguments, *options, *kill, stderr=subprocess.PIPE) as killed:
        _, said = killed.communicate(timeout=200)
    assert killed.returncode == -signal.SIGKILL, said.decode()
    parts = parts.rename(tmp_path / moved)
    assert command("fit", config, parts, *options, "--ckpt_path", "last") == 0
    assert state_of(whole / "best.ckpt")["global_step"] == 2
    assert_same_state(whole / "best.ckpt", parts / "best.ckpt")
    assert_same_state(whole / "last.ckpt", parts / "last.ckpt")


def test_accumulated_steps_resume_where_they_were(config, tmp_path, capsys):
    options = ["--trainer.accumulate_grad_batches", "2", "--checkpoint_every", "1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", config, whole, *options) == 0
    stop = ["--trust", "--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=3"]
    assert command("fit", config, parts, *options, *stop) == 0
    assert state_of(parts / "last.ckpt")["global_step"] == 3
    options += ["--trainer.enable_progress_bar", "true"]
    assert command("fit", config, parts, *options, "--ckpt_path", "last") == 0
    assert "12/12" in capsys.readouterr().out
    assert_same_state(whole / "last.ckpt", parts / "last.ckpt")


def test_a_resumed_run_saves_no_step_in_the_middle(config, tmp_path, monkeypatch):
    """The gradients of the batches that there were would be lost to a run that goes on from it."""
    options = ["--trainer.accumulate_grad_batches", "2", "--checkpoint_every", "2"]
    stop = ["--trust", "--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=2"]
    assert command("fit", config, tmp_path, *options, *stop) == 0
    saved, save = [], WholeCheckpoints.save_checkpoint

    def note(self, checkpoint, *rest, **more):
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
        saved.append((checkpoint["global_step"], batches))
        save(self, checkpoint, *rest, **more)

    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", note)
    assert command("fit", config, tmp_path, *options, "--ckpt_path", "last") == 0
    assert {step for step, _ in saved} >= {4, 6}
    assert all(batches == 2 * step for step, batches in saved), saved


def test_a_stop_amid_accumulated_gradients_waits_for_the_end_of_the_step(config, tmp_path):
    options = ["--trainer.accumulate_grad_batches", "2", "--trust"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", config, whole, *options) == 0
    stop = ["--trainer.callbacks+=stops.StopAtBatch", "--trainer.callbacks.step=5"]
    assert command("fit", config, parts, *options, *stop) == 0
    assert state_of(parts / "last.ckpt")["global_step"] == 3
    assert command("fit", config, parts, *options, "--ckpt_path", "last") == 0
    assert_same_state(whole / "last.ckpt", parts / "last.ckpt")


def test_the_best_of_a_run_that_another_begins_from_is_replaced(config, tmp_path):
    """Its folder is a copy, in which the training of the first is overwritten."""
    options = ["--trust", "--trainer.callbacks+=stops.FallingScore", "--trainer.max_steps"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert command("fit", config, first, *options, "3") == 0
    shutil.copytree(first, second)
    more = ["--overwrite", "true", "--ckpt_path", str(first / "last.ckpt")]
    assert command("fit", config, second, *options, "6", *more) == 0
    assert state_of(second / "best.ckpt")["global_step"] == 6


@pytest.mark.parametrize(
    ("option", "value", "was"),
    [
        ("lr", "1e-07", "0.01"),
        ("momentum", "0.5", "0.9"),
        ("weight_decay", "0.3", "0.0005"),
        ("kind", "'adamw'", "'sgd'"),
    ],
)
def test_options_that_its_optimizer_would_not_heed_are_refused(
    option, value, was, trained, config, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    more = [f"--model.optimization.{option}", value.strip("'"), "--trainer.max_steps", "7"]
    said = failure(capsys, "fit", config, run, *more, "--ckpt_path", "last")
    assert f"last.ckpt: was trained with {option} {was}, not {value}: " in said
    assert (run / "config.yaml").read_bytes() == (trained / "config.yaml").read_bytes()


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


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(config, tmp_path, capsys):
    options = ["--model.optimization.lr", "1.0e+30", "--checkpoint_every", "1"]
    said = failure(capsys, "fit", config, tmp_path, *options)
    assert "the loss is not finite" in said
    step = int(said.split("step ")[1].split(":")[0])
    checkpoint = state_of(tmp_path / "last.ckpt")
    assert checkpoint["global_step"] <= step
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_a_converted_checkpoint_tests_the_same(trained, config, tmp_path):
    assert main(["convert", str(trained / "best.ckpt"), "--output", str(tmp_path / "net")]) == 0
    assert load(tmp_path / "net").num_classes == 11
    for name, checkpoint in (("a", trained / "best.ckpt"), ("b", tmp_path / "net")):
        assert command("test", config, tmp_path / name, "--ckpt_path", str(checkpoint)) == 0
    first, second = (json.loads((tmp_path / n / "test/result.json").read_bytes()) for n in "ab")
    assert first["classes"] == second["classes"]


def test_filters_are_not_put_into_a_converted_network(trained, config, tmp_path, capsys):
    plain = ["--model.network.dealias", "null"]
    assert command("fit", config, tmp_path / "plain", *plain, "--trainer.max_steps", "1") == 0
    folder = tmp_path / "folder"
    made = ["convert", str(tmp_path / "plain" / "last.ckpt"), "--output", str(folder)]
    assert main(made) == 0
    said = failure(capsys, "test", config, tmp_path / "run", "--ckpt_path", str(folder))
    assert "folder holds a network without filters" in said
    assert command("test", config, tmp_path / "run", *plain, "--ckpt_path", str(folder)) == 0


def test_a_checkpoint_that_is_not_there(config, tmp_path, capsys):
    said = failure(capsys, "test", config, tmp_path / "run")
    assert "holds no best.ckpt or last.ckpt" in said
    said = failure(capsys, "test", config, tmp_path / "run", "--ckpt_path", "nope.ckpt")
    assert "nope.ckpt: no such checkpoint" in said


def test_a_checkpoint_of_other_filters_is_refused(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    options = [*checkpoint, "--model.network.dealias.cutoff", "0.2"]
    said = failure(capsys, "test", config, tmp_path / "run", *options)
    assert "its network was built with dealias" in said
    assert '"layer2.0": 0.2,' in said
    assert "sites" not in said
    assert "version" not in said
    paper = "{place: before, mixing: true, filter_options: {border: wrap}, unit: step}"
    same = [*checkpoint, "--model.network.dealias", paper]
    assert command("test", config, tmp_path / "run", *same) == 0


def test_a_checkpoint_of_version_0_1(trained, config, tmp_path, capsys):
    """Its options have no unit, and its cutoffs were half the published rates."""
    checkpoint = torch.load(trained / "last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["network"]["dealias"] = {}
    path = tmp_path / "earlier.ckpt"
    torch.save(checkpoint, path)
    said = failure(capsys, "test", config, tmp_path / "run", "--ckpt_path", str(path))
    assert said.count("\n") == 1
    assert "earlier.ckpt: its network was built with dealias" in said
    assert '"layer4.0": 0.17677669529663' in said
    assert "; version 0.1 had place: before, unit: step, mixing: true, cutoff" in said
    options = ["--model.network.dealias.cutoff", "published"]
    assert command("test", config, tmp_path / "run", "--ckpt_path", str(path), *options) == 0
    assert main(["convert", str(path), "--output", str(tmp_path / "converted")]) == 0
    network = load(tmp_path / "converted").eval()
    cutoffs = {item.site: item.cutoff for item in network.dealias_report.inserted}
    assert cutoffs["layer4.0"] == pytest.approx(0.5**0.5 / 4)
    assert cutoffs["layer2.0"] == pytest.approx(1.5**0.5 / 4)
    assert network.config["dealias"]["unit"] == "step"


AFTER = "{place: after, strength: learned, unit: block}"


def test_filters_after_the_activation_are_trained_saved_and_loaded(config, tmp_path, capsys):
    run, options = tmp_path / "run", ["--model.network.dealias", AFTER]
    assert command("fit", config, run, *options, "--trainer.max_steps", "3") == 0
    state = state_of(run / "last.ckpt")["state_dict"]
    strengths = {name: value for name, value in state.items() if name.endswith(".strength")}
    assert len(strengths) == 7
    assert all(value.abs().max() > 0 for value in strengths.values())
    checkpoint = ["--ckpt_path", str(run / "last.ckpt")]
    assert command("test", config, tmp_path / "test", *checkpoint, *options) == 0
    said = failure(capsys, "test", config, tmp_path / "other", *checkpoint)
    assert "dealias" in said or "strength" in said
    assert main(["convert", str(run / "last.ckpt"), "--output", str(tmp_path / "converted")]) == 0
    network = load(tmp_path / "converted")
    steps = {item.step for item in network.dealias_report.inserted}
    assert steps == {"", "maxpool", "layer2.0.conv1", "layer3.0.conv2", "layer4.0.conv1"}
    for name, value in network.state_dict().items():
        if name.endswith(".strength"):
            assert torch.equal(value, strengths[f"network.{name}"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{place: afte}", "place: expected one of auto, before, after, got 'afte'"),
        ("{strength: 1.5}", "strength: expected a number in [0, 1] or 'learned', got 1.5"),
        ("{strength: -0.1}", "got -0.1"),
        ("{strength: true}", "got True"),
        ("{strength: learnt}", "got 'learnt'"),
    ],
)
def test_options_of_filters_that_can_not_be(options, message, config, tmp_path, capsys):
    said = failure(capsys, "fit", config, tmp_path / "run", "--model.network.dealias", options)
    assert message in said
    assert said.count("\n") == 1


def test_a_backbone_without_activations_after_its_steps(config, tmp_path, capsys):
    options = ["--model.network.backbone", "convnext_atto", "--model.network.dealias"]
    said = failure(
        capsys, "fit", config, tmp_path / "run", *options, "{place: after, mixing: false}"
    )
    assert "nothing to put in" in said
    assert "no activation follows" in said


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


def test_going_on_elsewhere_replaces_no_other_run_unasked(trained, config, tmp_path, capsys):
    other, last = tmp_path / "other", str(trained / "last.ckpt")
    assert command("fit", config, other) == 0
    before = {path.name: path.read_bytes() for path in other.iterdir() if path.is_file()}
    more = ["--ckpt_path", last, "--trainer.max_steps", "8"]
    assert "last.ckpt: exists already" in failure(capsys, "fit", config, other, *more)
    for name, content in before.items():
        assert (other / name).read_bytes() == content
    assert command("fit", config, tmp_path / "new", *more) == 0
    assert state_of(tmp_path / "new" / "last.ckpt")["global_step"] == 8


def test_a_configuration_is_not_replaced_by_its_run(config, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    own = run / "config.yaml"
    own.write_text(f"# mine\n{config.read_text()}")
    assert "config.yaml: exists already" in failure(capsys, "fit", own, run)
    assert command("fit", own, run, "--overwrite") == 0
    assert own.read_text().startswith("# mine")
    assert command("fit", config, tmp_path / "first") == 0
    saved = tmp_path / "first" / "config.yaml"
    before = saved.read_bytes()
    more = ["--ckpt_path", "last", "--trainer.max_steps", "8"]
    assert command("fit", saved, tmp_path / "first", *more) == 0
    assert saved.read_bytes() == before
