"""Training with the loggers of Lightning, without a connection."""

import subprocess
from importlib.util import find_spec

import pytest
import yaml

from processes import process
from runs import CONFIG

WANDB = pytest.param(
    "WandbLogger",
    marks=pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed"),
)
MLFLOW = pytest.param(
    "MLFlowLogger",
    marks=pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed"),
)
OPTIONS = {
    "CSVLogger": {"save_dir": "there/logs", "name": "csv"},
    "WandbLogger": {"save_dir": "there/logs", "project": "mine"},
    "MLFlowLogger": {"experiment_name": "mine", "save_dir": "there/logs/mlruns"},
}
# A connection ends the process.
OFFLINE = """
import runpy, socket, sys
own = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        sys.exit(f"a connection to {address}")
    return own(self, address)
socket.socket.connect = connect
runpy.run_module("dealias", run_name="__main__", alter_sys=True)
"""


def fit(folder, *arguments):
    """Train for two steps with the working directory elsewhere; what was said."""
    content = yaml.safe_load(CONFIG)
    content["trainer"] |= {"max_steps": 2, "val_check_interval": 2}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    (folder / "work").mkdir()
    (folder / "work" / "config.yaml").write_text("mine: true\n")
    given = ["-c", OFFLINE, "fit", "--output", str(folder / "run"), "--trust", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with process(*given, cwd=folder / "work", **pipes) as training:
        said, _ = training.communicate(timeout=300)
    assert training.returncode == 0, said
    assert (folder / "run" / "last.ckpt").is_file()
    assert (folder / "work" / "config.yaml").read_text() == "mine: true\n"
    saved = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert saved["trainer"]["max_steps"] == 2
    return said


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def check_logged(name, logs):
    if name == "CSVLogger":
        (file,) = logs.glob("csv/*/metrics.csv")
        assert "val/mIoU" in file.read_text().splitlines()[0].split(",")
    elif name == "WandbLogger":
        (run,) = logs.glob("wandb/offline-run-*/run-*.wandb")
        assert b"val/mIoU" in run.read_bytes()
    else:
        (figure,) = logs.glob("mlruns/*/*/metrics/val/mIoU")
        assert figure.read_text().split()[-1] == "1"  # the step that ended


@pytest.mark.parametrize("name", ["CSVLogger", WANDB, MLFLOW])
def test_one_of_the_command_line(name, tmp_path):
    options = [f"--trainer.logger.{key}={value}" for key, value in OPTIONS[name].items()]
    fit(tmp_path, "--config", "../tiny.yaml", "--trainer.logger", name, *options)
    check_logged(name, tmp_path / "work" / "there" / "logs")


@pytest.mark.parametrize("name", [WANDB])
def test_the_defaults_of_a_logger(name, tmp_path):
    """It writes into the working directory, where nothing is replaced."""
    fit(tmp_path, "--config", "../tiny.yaml", "--trainer.logger", name)
    check_logged(name, tmp_path / "work")


@pytest.mark.parametrize("other", [WANDB, MLFLOW])
def test_several_of_a_file(other, tmp_path):
    listed = [{"class_path": n, "init_args": OPTIONS[n]} for n in ("CSVLogger", other)]
    content = {"base": "tiny.yaml", "trainer": {"logger": listed}}
    (tmp_path / "several.yaml").write_text(yaml.safe_dump(content))
    fit(tmp_path, "--config", "../several.yaml")
    check_logged("CSVLogger", tmp_path / "there" / "logs")  # beside the file
    own = "work" if other == "MLFlowLogger" else "."  # to which a folder is text
    check_logged(other, tmp_path / own / "there" / "logs")


def test_two_of_a_kind(tmp_path):
    """Runs without optional packages, too."""
    kinds = [("TensorBoardLogger", {"save_dir": "./logs", "name": "board"})]
    kinds += [("CSVLogger", {"save_dir": "./logs", "name": name}) for name in ("csv", "more")]
    listed = [{"class_path": name, "init_args": options} for name, options in kinds]
    content = {"base": "tiny.yaml", "trainer": {"logger": listed}}
    (tmp_path / "several.yaml").write_text(yaml.safe_dump(content))
    fit(tmp_path, "--config", "../several.yaml")
    check_logged("CSVLogger", tmp_path / "logs")
    assert [*(tmp_path / "logs").glob("more/*/metrics.csv")]
    assert [*(tmp_path / "logs").glob("board/*/events.out.tfevents.*")]
