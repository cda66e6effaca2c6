"""Evaluations as values."""

import copy
import pickle
import re
from collections import Counter

import pytest
import torch

from dealias.evaluation import Evaluation, Groups, ImageRow, Options, evaluate_maps
from dealias.labels import ClassSet
from dealias.metrics.functional import ObjectRecall

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
    assert torch.equal(total.counts.confusion, evaluation.counts.confusion)


@pytest.mark.parametrize("send", [lambda one: one, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("add", ["absorb", "merge"])
def test_an_image_is_counted_once(add, send, evaluation):
    total = Evaluation.empty(OPTIONS.settings)
    total.absorb(evaluation)
    total.regroup(Groups(re.compile(".*")))
    total = send(total)
    counted = total.counts.confusion.clone()
    with pytest.raises(ValueError, match="1 image is counted twice: one"):
        getattr(total, add)(evaluation)
    assert torch.equal(total.counts.confusion, counted)
    assert len(total.images) == 1
    total.images.clear()
    getattr(total, add)(evaluation)


@pytest.mark.parametrize("add", ["absorb", "merge"])
def test_nor_is_one_that_stands_twice_in_what_is_added(add, evaluation):
    part = copy.deepcopy(evaluation)
    part.images += copy.deepcopy(part.images)
    with pytest.raises(ValueError, match="1 image is counted twice: one"):
        getattr(Evaluation.empty(OPTIONS.settings), add)(part)


def test_many_images_are_added_in_little_time(evaluation, monkeypatch):
    """The names of those that are there are not read again for each that comes."""
    total = Evaluation.empty(OPTIONS.settings)
    reads = Counter()

    class Row(ImageRow):
        @property
        def name(self):
            reads[self[0]] += 1
            return self[0]

    for index in range(50):
        evaluation.images = [Row(f"image {index}", 0.5, ())]
        total.absorb(evaluation)
    assert max(reads.values()) == 1


def test_nothing_is_sent_as_a_tensor(evaluation):
    """Tensors cost a file descriptor each on their way between processes, or most of the time."""
    assert b"torch" not in pickle.dumps(evaluation).replace(b"dealias", b"")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": "camvid"}, "classes: expected a ClassSet such as load_class_set"),
        ({"protocol": "papers"}, "protocol: expected 'paper' or 'exact', got 'papers'"),
        ({"band_width": 4}, "band_width: expected an odd positive integer, got 4"),
        ({"band_width": "3"}, "band_width: expected an odd positive integer, got '3'"),
        ({"band_width": 65_537}, "band_width: expected at most 65,535 pixels, got 65,537"),
        ({"band_widths": "3,65537"}, "band_width: expected at most 65,535 pixels, got 65,537"),
        ({"error_maps": "maps"}, "error_maps: expected a Path or None, got 'maps'"),
        ({"groups": "^(x)"}, "groups: expected Groups such as .* got '^(x)'"),
        ({"object_recall": True}, r"object_recall: expected ObjectRecall() or None, got True"),
        ({"object_recall": ObjectRecall(0.6)}, "object_recall: expected two shares"),
        ({"band_widths": [3, 7]}, "band_widths: expected a string such as '3,7,15', got [3, 7]"),
        ({"band_widths": "7,3"}, "band_widths: expected at most 64 widths that rise, got '7,3'"),
        ({"rule": "{name}_pred"}, "rule: expected a PairingRule, got '{name}_pred'"),
    ],
)
def test_options_of_another_kind_are_refused_where_they_are_given(given, message):
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(ValueError, match=f"^{pattern}"):
        Options(**{"classes": OPTIONS.classes} | given)
