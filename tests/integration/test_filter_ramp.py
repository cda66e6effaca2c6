"""Filters that come in over the first part of training."""

import pytest

from dealias.engine import FilterRamp
from dealias.models import convert
from runs import assert_same_state, command, failure, state_of

START = ["--model.network.dealias", "{strength: 0}"]
RAMP = [*START, "--filter_ramp", "0.5"]


def strengths(path):
    state = state_of(path)["state_dict"]
    return {float(value) for name, value in state.items() if name.endswith(".strength")}


def test_the_strength_rises_to_1_and_is_in_every_checkpoint(config, tmp_path):
    stop = ["--trust", "--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=3"]
    assert command("fit", config, tmp_path / "part", *RAMP, *stop) == 0
    (found,) = strengths(tmp_path / "part" / "last.ckpt")
    assert found == pytest.approx(2 / 3)
    assert command("fit", config, tmp_path / "part", *RAMP, "--ckpt_path", "last") == 0
    assert command("fit", config, tmp_path / "whole", *RAMP) == 0
    assert strengths(tmp_path / "whole" / "last.ckpt") == {1.0}
    assert_same_state(tmp_path / "whole" / "last.ckpt", tmp_path / "part" / "last.ckpt")
    assert convert(tmp_path / "whole" / "last.ckpt").model.config["dealias"]["strength"] == 0


def test_averages_of_weights_have_the_strength_of_the_step(config, tmp_path):
    average = ["--trainer.callbacks+=EMAWeightAveraging", "--trainer.callbacks.decay=0.9"]
    assert command("fit", config, tmp_path / "run", *RAMP, *average) == 0
    for name in ("last", "best"):
        assert strengths(tmp_path / "run" / f"{name}.ckpt") == {1.0}


def test_the_best_checkpoint_has_the_whole_filters(config, tmp_path):
    falling = ["--trust", "--trainer.callbacks+=stops.FallingScore"]
    for share, best in (("0.4", 3), ("0.5", 6), ("0.9", 6)):
        run = tmp_path / share
        assert command("fit", config, run, *START, *falling, "--filter_ramp", share) == 0
        assert state_of(run / "best.ckpt")["global_step"] == best
        assert strengths(run / "best.ckpt") == {1.0}


def test_the_first_step_is_that_of_the_plain_network(config, tmp_path):
    one = ["--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    assert command("fit", config, tmp_path / "ramp", *RAMP, *one) == 0
    plain = ["--model.network.dealias", "null"]
    assert command("fit", config, tmp_path / "plain", *plain, *one) == 0
    ours, theirs = (state_of(tmp_path / n / "last.ckpt")["state_dict"] for n in ("ramp", "plain"))
    assert all((ours[name] == value).all() for name, value in theirs.items())


@pytest.mark.parametrize("steps", [2, 7, 50, 1000])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_the_last_step_has_the_whole_strength(share, steps):
    ramp = FilterRamp(share)
    found = [ramp.strength(step, steps) for step in range(steps)]
    assert found[0] == 0
    assert found[-1] == 1
    assert found == sorted(found)


def test_filters_that_never_come_in_are_refused(config, tmp_path, capsys):
    said = failure(capsys, "fit", config, tmp_path / "a", *START)
    assert "model.network.dealias.strength: 0 leaves the network as without filters" in said
    assert not (tmp_path / "a").exists()


def test_what_has_no_strength_to_raise_is_refused(config, tmp_path, capsys):
    said = failure(capsys, "fit", config, tmp_path / "a", "--filter_ramp", "0.5")
    assert "filter_ramp: expected filters whose strength can be set" in said
    for share in ("0", "1", "-0.5", "1.5"):
        said = failure(capsys, "fit", config, tmp_path / "a", *START, "--filter_ramp", share)
        assert "filter_ramp: expected a share in (0, 1)" in said
