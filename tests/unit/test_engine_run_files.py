"""Which checkpoint a command starts from."""

import pytest

pytest.importorskip("pytorch_lightning")

from dealias.engine import CheckpointError
from dealias.engine.run_files import find_checkpoint


def test_a_trained_run_comes_before_the_folder_that_it_started_from(tmp_path):
    (tmp_path / "start").mkdir()
    network, run = f"hf:{tmp_path / 'start'}", tmp_path / "run"
    run.mkdir()
    assert find_checkpoint(None, run, "test", network) is None
    for name in ("last", "best"):
        (run / f"{name}.ckpt").touch()
        assert find_checkpoint(None, run, "test", network) == run / f"{name}.ckpt"
    assert find_checkpoint("last", run, "test", network) == run / "last.ckpt"
    assert find_checkpoint(None, run, "fit", network) is None


def test_other_networks_need_one(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no best\.ckpt or last\.ckpt"):
        find_checkpoint(None, tmp_path, "test", "upernet")


def test_a_folder_called_as_a_type_of_network_holds_no_weights_of_it(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "segformer").mkdir()
    with pytest.raises(CheckpointError, match=r"holds no best\.ckpt or last\.ckpt"):
        find_checkpoint(None, tmp_path, "test", "hf:segformer")
    assert find_checkpoint(None, tmp_path, "test", "hf:./segformer") is None
