"""Checkpoints of strangers in training: what they name stays, what they break is one line."""

import shutil
import warnings

import pytest
import torch

from dealias.cli import main
from dealias.engine import BestCheckpoint, WholeCheckpoints
from dealias.engine.checkpoint_files import is_checkpoint
from runs import assert_same_state, command, failure, state_of

BEST = ["--trainer.val_check_interval", "2", "--checkpoint_every", "2"]


def changed(source, path, change):
    content = state_of(source)
    change(content)
    torch.save(content, path)
    return path


def best_of(content):
    (key,) = (key for key in content["callbacks"] if key.startswith("BestCheckpoint"))
    return content["callbacks"][key]


@pytest.fixture
def victim(trained, tmp_path):
    """Folders and files that a stranger may name: a checkpoint is among them."""
    folder = tmp_path / "victim"
    (folder / "deep").mkdir(parents=True)
    (folder / "photo.png").write_bytes(b"mine")
    shutil.copy(trained / "best.ckpt", folder / "mine.ckpt")
    return folder


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("named", ["{}", "{}/mine.ckpt", "{}/photo.png", "local://{}", "../victim"])
def test_what_a_checkpoint_names_stays(named, victim, trained, config, tmp_path):
    """The next validation is better, so that Lightning removes the best checkpoint before."""
    run = tmp_path / "run"
    target = f"{run}/../victim" if named.startswith("..") else named.format(victim)

    def change(content):
        state = best_of(content)
        state["dirpath"] = str(run.absolute())
        state["best_model_path"] = state["kth_best_model_path"] = target
        state["last_model_path"] = target
        state["best_model_score"] = state["kth_value"] = torch.tensor(-1.0)
        state["best_k_models"] = {target: torch.tensor(-1.0)}

    run.mkdir()
    path = changed(trained / "last.ckpt", run / "stranger.ckpt", change)
    shutil.copy(trained / "best.ckpt", run / "best.ckpt")  # so that its state is taken
    before = files(victim)
    more = ["--trainer.max_steps", "8", "--trainer.val_check_interval", "1"]
    assert command("fit", config, run, *more, "--ckpt_path", str(path)) == 0
    assert files(victim) == before
    assert (victim / "deep").is_dir()
    assert state_of(run / "best.ckpt")["global_step"] > 6
    left = sorted(entry.name for entry in run.glob("*.ckpt"))
    assert left == ["best.ckpt", "last.ckpt", "stranger.ckpt"]


def test_a_resumed_run_keeps_the_best(config, tmp_path):
    """As an uninterrupted one, bit by bit: its best is replaced only by a better one.

    It stops where the other validates, too, since a stop is a validation more.
    """
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("fit", config, whole, *BEST) == 0
    stop = ["--trust", "--trainer.callbacks+=stops.StopAtStep", "--trainer.callbacks.step=4"]
    assert command("fit", config, parts, *BEST, *stop) == 0
    assert command("fit", config, parts, *BEST, "--ckpt_path", "last") == 0
    for name in ("last.ckpt", "best.ckpt"):
        assert_same_state(whole / name, parts / name)
    first, second = (best_of(state_of(run / "last.ckpt")) for run in (whole, parts))
    assert torch.equal(first["best_model_score"], second["best_model_score"])


class TestRemoving:
    @pytest.fixture
    def writer(self, trained, tmp_path):
        writer = WholeCheckpoints()
        writer.save_checkpoint(state_of(trained / "last.ckpt"), tmp_path / "run" / "a.ckpt")
        return writer

    def test_of_its_own_folder_it_removes_checkpoints(self, writer, tmp_path):
        writer.remove_checkpoint(tmp_path / "run" / "a.ckpt")
        assert not (tmp_path / "run" / "a.ckpt").exists()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            writer.remove_checkpoint(tmp_path / "run" / "a.ckpt")  # gone already

    @pytest.mark.parametrize("kind", ["folder", "text", "weights", "link", "elsewhere", "parent"])
    def test_nothing_else(self, kind, writer, trained, tmp_path):
        path = tmp_path / "run" / "b.ckpt"
        if kind == "folder":
            path.mkdir()
        elif kind == "text":
            path.write_text("pytorch-lightning_version")
        elif kind == "weights":
            torch.save({"w": torch.ones(1)}, path)
        elif kind == "link":
            path.symlink_to(trained / "best.ckpt")
        else:
            (tmp_path / "other").mkdir()
            shutil.copy(trained / "best.ckpt", tmp_path / "other" / "b.ckpt")
            path = tmp_path / ("other" if kind == "elsewhere" else "run/../other") / "b.ckpt"
        with pytest.warns(UserWarning, match=r"b\.ckpt: is not removed: it is no checkpoint"):
            writer.remove_checkpoint(path)
        assert path.exists()


def test_what_is_a_checkpoint(trained, tmp_path):
    assert is_checkpoint(trained / "last.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((trained / "last.ckpt").read_bytes()[:-100])
    (tmp_path / "empty.ckpt").touch()
    for path in (tmp_path, tmp_path / "cut.ckpt", tmp_path / "empty.ckpt", tmp_path / "none"):
        assert not is_checkpoint(path)


STATES = {
    "another folder": {"dirpath": "/elsewhere"},
    "no score": {"best_model_score": None},
    "a score of several": {"best_model_score": torch.ones(3)},
    "a score that is not finite": {"best_model_score": torch.tensor(float("nan"))},
    "text": {"best_model_score": "1.0"},
}


class TestBest:
    @pytest.mark.parametrize("kind", STATES)
    def test_states_that_are_not_taken(self, kind, tmp_path):
        (tmp_path / "best.ckpt").touch()
        best = BestCheckpoint(tmp_path)
        state = {"dirpath": best.dirpath, "best_model_score": torch.tensor(0.5)}
        best.load_state_dict(state | STATES[kind])
        assert (best.best_model_score, best.best_k_models) == (None, {})

    def test_the_score_is_taken_and_no_name(self, tmp_path):
        best = BestCheckpoint(tmp_path)
        score = torch.tensor(0.5)
        state = {"dirpath": best.dirpath, "best_model_score": score, "best_k_models": {"/x": score}}
        best.load_state_dict(state)
        assert best.best_k_models == {}  # its best.ckpt is not here
        (tmp_path / "best.ckpt").touch()
        best.load_state_dict(state)
        assert best.best_k_models == {str(tmp_path / "best.ckpt"): score}
        assert best.kth_best_model_path == str(tmp_path / "best.ckpt")


def set_state(value):
    def change(content):
        content["optimizer_states"][0]["state"] = value

    return change


def of_group(**values):
    return lambda content: content["optimizer_states"][0]["param_groups"][0].update(values)


def of_parameters(**values):
    return lambda content: content["hyper_parameters"].update(values)


def replace(name, value):
    return lambda content: content.update({name: value})


def without(name):
    return lambda content: content.pop(name)


def scheduled(**values):
    return lambda content: content["lr_schedulers"][0].update(values)


def looped(content):
    content["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"] = "x"


def adam(content):
    state = content["optimizer_states"][0]["state"]
    for name, value in state.items():
        state[name] = {"exp_avg": value["momentum_buffer"], "step": torch.tensor(1.0)}


FOR_ALL = {
    "state_dict: a list": replace("state_dict", [1]),
    "state_dict: numbers": replace("state_dict", {"network.a": 1}),
    "state_dict: nothing": replace("state_dict", {}),
    "hyper_parameters: a list": replace("hyper_parameters", [1]),
    "hyper_parameters: text": replace("hyper_parameters", "x"),
    "network: a list": of_parameters(network=[1]),
    "network: a tensor": of_parameters(network={"dealias": torch.ones(2)}),
    "network: odd keys": of_parameters(network={"dealias": {1: 2, "a": 3}}),
    "classes: a list of others": of_parameters(classes=[*"abcdefghijk"]),
    "classes: a number": of_parameters(classes=3),
    "classes: numbers": of_parameters(classes={"names": [1] * 11}),
    "classes: a number of names": of_parameters(classes={"names": 11}),
}
FOR_FIT = {
    "no optimizer": without("optimizer_states"),
    "optimizer: a list": replace("optimizer_states", [[1]]),
    "optimizer: two": lambda c: c["optimizer_states"].append(c["optimizer_states"][0]),
    "optimizer: nothing": replace("optimizer_states", None),
    "optimizer: of another": adam,
    "optimizer: other shapes": set_state({0: {"momentum_buffer": torch.ones(7, 7)}}),
    "optimizer: text": set_state({0: {"momentum_buffer": "x"}}),
    "optimizer: numbers": set_state({0: 3}),
    "optimizer: state of a list": set_state([1]),
    "optimizer: lr": of_group(lr="fast"),
    "optimizer: weight_decay": of_group(weight_decay=None),
    "optimizer: params": of_group(params=[0]),
    "no schedule": without("lr_schedulers"),
    "schedule: rates": scheduled(base_lrs="x"),
    "schedule: a step": scheduled(last_epoch="x"),
    "schedule: a method": scheduled(step=3),
    "no loops": without("loops"),
    "loops: a list": replace("loops", [1]),
    "loops: text": looped,
    "epoch: text": replace("epoch", "x"),
    "global_step: huge": replace("global_step", 10**30),
    "callbacks: a list": replace("callbacks", [1]),
    "callbacks: of a list": lambda c: c.update(callbacks={key: [1] for key in c["callbacks"]}),
    "version: odd": replace("pytorch-lightning_version", "x.y"),
    "version: a number": replace("pytorch-lightning_version", 3),
}


def assert_a_line(said, path):
    assert said.startswith("dealias ")
    assert f"{path}: " in said
    assert said.count("\n") == 1
    assert len(said) < 4100


@pytest.mark.parametrize("kind", FOR_ALL)
def test_broken_parts_for_every_command(kind, trained, config, tmp_path, capsys):
    path = changed(trained / "last.ckpt", tmp_path / "bad.ckpt", FOR_ALL[kind])
    for name in ("fit", "test"):
        said = failure(capsys, name, config, tmp_path / "run", "--ckpt_path", str(path))
        assert_a_line(said, path)
        assert not (tmp_path / "run").exists()
    if not kind.startswith(("classes", "network: odd")):
        assert main(["convert", str(path), "--output", str(tmp_path / "net")]) == 2
        assert_a_line(capsys.readouterr().err, path)
        assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("kind", FOR_FIT)
def test_states_of_another_training(kind, trained, config, tmp_path, capsys):
    path = changed(trained / "last.ckpt", tmp_path / "bad.ckpt", FOR_FIT[kind])
    more = ["--trainer.max_steps", "7", "--ckpt_path", str(path)]
    assert_a_line(failure(capsys, "fit", config, tmp_path / "run", *more), path)


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_only_checkpoints_are_replaced(name, config, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / name).write_text("my notes")
    said = failure(capsys, "fit", config, run, "--overwrite")
    assert f"{name}: is no checkpoint; --overwrite keeps it" in said
    assert [entry.name for entry in run.iterdir()] == [name]
    assert (run / name).read_text() == "my notes"
