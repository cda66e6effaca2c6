"""Evaluations as values."""

import copy
import pickle

import pytest
import torch

from dealias.evaluation import Evaluation, Options, evaluate_maps
from dealias.labels import ClassSet

OPTIONS = Options(ClassSet("three", ("a", "b", "c")), band_width=3, boundary=True)


@pytest.fixture
def evaluation():
    maps = torch.randint(3, (2, 12, 15), generator=torch.Generator().manual_seed(0))
    found = evaluate_maps("one", *maps, OPTIONS)
    found.skipped.append("two.png: is broken")
    return found


@pytest.mark.parametrize(
    "send", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy]
)
def test_what_is_sent_is_what_comes(send, evaluation):
    sent = send(evaluation)
    assert sent.to_dict() == evaluation.to_dict()
    assert torch.equal(sent.counts.edges, evaluation.counts.edges)
    assert torch.equal(sent.boundary, evaluation.boundary)
    total = Evaluation.empty(OPTIONS.settings)
    total.absorb(sent)
    total.absorb(sent)
    assert torch.equal(total.counts.confusion, 2 * evaluation.counts.confusion)


def test_nothing_is_sent_as_a_tensor(evaluation):
    """Tensors cost a file descriptor each on their way between processes, or most of the time."""
    assert b"torch" not in pickle.dumps(evaluation).replace(b"dealias", b"")
