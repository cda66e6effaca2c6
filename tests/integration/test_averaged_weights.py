"""Runs whose weights are averaged, as a person starts, stops, resumes and tests them."""

import csv
import signal
import subprocess

import pytest
import torch

from dealias.cli import main
from dealias.engine import Commands
from dealias.models import load
from processes import process
from runs import CONFIG, command, failure, state_of

EMA = """
  callbacks:
    - class_path: pytorch_lightning.callbacks.EMAWeightAveraging
      init_args: {decay: 0.7}
checkpoint_every"""
STOP = ["--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=3"]
STOP_AFTER = ["--trainer.callbacks+=stops.StopAfterValidation", "--trainer.callbacks.step=3"]


@pytest.fixture
def averaging(tmp_path):
    path = tmp_path / "averaging.yaml"
    path.write_text(CONFIG.replace("\ncheckpoint_every", EMA), encoding="utf-8")
    return path


@pytest.fixture
def whole(averaging, tmp_path):
    assert command("fit", averaging, tmp_path / "whole", "--trust") == 0
    return tmp_path / "whole"


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_same_run(first, second):
    first, second = state_of(first), state_of(second)
    assert first["global_step"] == second["global_step"]
    for key in ("state_dict", "current_model_state", "averaging_state"):
        assert_same_tensors(first[key], second[key])
    moments = (run["optimizer_states"][0]["state"] for run in (first, second))
    for one, other in zip(*(m.values() for m in moments), strict=True):
        assert_same_tensors(one, other)


def assert_keeps_both(path, plain):
    """The weights are those of a run without averaging, which averaging does not touch."""
    kept = state_of(path)
    assert_same_tensors(kept["current_model_state"], state_of(plain)["state_dict"])
    name = "network.decode_head.classifier.1.weight"
    assert not torch.equal(kept["state_dict"][name], kept["current_model_state"][name])


@pytest.mark.parametrize(
    ("every", "stop"),
    [
        pytest.param("2", STOP, marks=pytest.mark.slow),
        pytest.param("4", STOP, marks=pytest.mark.slow),
        ("100", STOP),
        ("100", STOP_AFTER),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(every, stop, averaging, config, tmp_path):
    options = ["--checkpoint_every", every, "--trust"]
    assert command("fit", averaging, tmp_path / "whole", *options) == 0
    assert command("fit", config, tmp_path / "plain", *options) == 0
    parts = tmp_path / "parts"
    assert command("fit", averaging, parts, *options, *stop) == 0
    assert state_of(parts / "last.ckpt")["global_step"] == 3
    assert command("fit", averaging, parts, *options, "--ckpt_path", "last") == 0
    for run in ("whole", "parts"):
        assert_keeps_both(tmp_path / run / "last.ckpt", tmp_path / "plain" / "last.ckpt")
    assert_same_run(tmp_path / "whole" / "last.ckpt", parts / "last.ckpt")
    assert_same_run(tmp_path / "whole" / "best.ckpt", parts / "best.ckpt")


def test_a_killed_run_goes_on_to_the_same_weights(averaging, whole, tmp_path):
    run = tmp_path / "run"
    kill = ["--trust", "--trainer.callbacks+=stops.KillAtStep", "--trainer.callbacks.step=5"]
    arguments = ["-m", "dealias", "fit", "--config", str(averaging), "--output", str(run), *kill]
    with process(*arguments, stderr=subprocess.PIPE) as killed:
        _, said = killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL, said.decode()
    assert command("fit", averaging, run, "--trust", "--ckpt_path", "last") == 0
    assert_same_run(whole / "last.ckpt", run / "last.ckpt")


def test_a_finished_run_is_made_longer(averaging, whole, tmp_path):
    longer = ["--model.optimization.warmup_steps", "0", "--model.optimization.power", "0"]
    longer.append("--trust")
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert command("fit", averaging, once, *longer, "--trainer.max_steps", "8") == 0
    assert command("fit", averaging, twice, *longer) == 0
    more = [*longer, "--trainer.max_steps", "8", "--ckpt_path", "last"]
    assert command("fit", averaging, twice, *more) == 0
    assert_same_run(once / "last.ckpt", twice / "last.ckpt")


def test_what_was_validated_is_tested_and_converted(averaging, whole, tmp_path):
    (log,) = whole.glob("csv/*/metrics.csv")
    with log.open(encoding="utf-8") as file:
        validated = [float(row["val/mIoU"]) for row in csv.DictReader(file) if row["val/mIoU"]]
    assert main(["convert", str(whole / "last.ckpt"), "--output", str(tmp_path / "net")]) == 0
    for checkpoint in ("last", str(tmp_path / "net")):
        options = ["--config", str(averaging), "--output", str(whole), "--ckpt_path", checkpoint]
        options.append("--trust")
        again = Commands("validate", options).model.results.to_dict()
        assert again["metrics"]["mIoU"] == pytest.approx(validated[-1])
    average = state_of(whole / "last.ckpt")["state_dict"]
    built = load(tmp_path / "net").state_dict()
    assert_same_tensors({f"network.{name}": value for name, value in built.items()}, average)


def test_an_average_is_not_taken_for_the_trained_weights(whole, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(whole / "last.ckpt")]
    said = failure(capsys, "fit", config, tmp_path / "run", *checkpoint)
    assert "last.ckpt: expected WeightAveraging, such as EMAWeightAveraging, among trainer" in said
