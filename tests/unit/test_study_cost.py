"""What the cost of a variant is measured with."""

import pytest
import torch

pytest.importorskip("pytorch_lightning")

from dealias.study.cost import _calls
from dealias.study.plans import prepare
from runs import CONFIG


def test_steps_that_are_timed_leave_the_weights_as_they_are(tmp_path):
    """Repeated on one batch at the whole rate, they could make the loss diverge."""
    (tmp_path / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    prepared = prepare("fit", ["--config", str(tmp_path / "tiny.yaml")], tmp_path / "run")
    step, _, network = _calls(prepared, torch.device("cpu"))
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    step()
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    assert all(value.grad is not None for value in network.parameters())
