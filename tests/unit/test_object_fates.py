"""Where objects vanished, were merged or split, and where predicted ones are false."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dealias.metrics.functional import (
    OBJECT_RECALL,
    LabelRangeError,
    ObjectColumn,
    ObjectMark,
    ObjectRecall,
    count_objects,
    mark_objects,
)
from helpers import VOID, random_maps
from reports import object_maps


def marked(preds, target, classes=5, **options):
    maps = (torch.as_tensor(np.asarray(labels)) for labels in (preds, target))
    return mark_objects(*maps, num_classes=classes, **options)


def parts_of(labels, label):
    parts, count = ndimage.label(labels == label, np.ones((3, 3)))
    return [parts == i + 1 for i in range(count)]


def slow_marks(preds, target, classes, recall=OBJECT_RECALL):
    """The marks, class by class and object by object."""
    marks = np.zeros(target.shape, int)
    known = target != VOID
    for label in range(classes):
        objects, cut = parts_of(target, label), parts_of(np.where(known, preds, VOID), label)
        predicted = [one & known for one in parts_of(preds, label) if (one & known).any()]
        held, shares = (
            [[(one & other).sum() / one.sum() for other in others] for one in objects]
            for others in (cut, predicted)
        )
        for i, one in enumerate(objects):
            # The share of the whole, as a sum of shares is rounded.
            if (preds[one] == label).mean() < recall.vanished_below:
                marks[one] |= ObjectMark.VANISHED
            covering = [j for j, share in enumerate(held[i]) if share >= recall.found_from]
            if any(sum(row[j] >= recall.found_from for row in held) > 1 for j in covering):
                marks[one] |= ObjectMark.MERGED
            if sum(share >= recall.vanished_below for share in shares[i]) > 1:
                marks[one] |= ObjectMark.SPLIT
        for one in predicted:
            if (target[one] == label).mean() < recall.vanished_below:
                marks[one] |= ObjectMark.FALSE
    return marks


def test_a_map_worked_by_hand():
    preds, target, expected = object_maps()
    marks = marked(preds, target)
    assert marks.dtype == torch.uint8
    assert marks.tolist() == expected.tolist()


def test_an_object_has_marks_of_both_maps():
    """A car that is wholly taken for a pole: it has vanished, and the pole is false."""
    assert marked([[0, 2, 2, 0]], [[0, 1, 1, 0]]).tolist() == [[0, 9, 9, 0]]


def test_void_has_no_mark():
    assert marked([[1, 1, 1, 1]], [[0, VOID, VOID, 0]]).tolist() == [[9, 0, 0, 9]]
    assert marked([[1, 1, 1, 1]], [[0, VOID, VOID, 1]]).tolist() == [[1, 0, 0, 0]]


@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.integers(1, 14),
    st.integers(1, 14),
    st.sampled_from([OBJECT_RECALL, ObjectRecall(0.3, 0.4), ObjectRecall(0.5, 1.0)]),
)
def test_marks_are_those_of_the_definition(seed, height, width, recall):
    preds, target = random_maps(seed, height, width, classes=3)
    expected = slow_marks(preds.numpy(), target.numpy(), 3, recall)
    assert (marked(preds, target, 3, recall=recall).numpy() == expected).all()


@pytest.mark.parametrize("seed", range(3))
def test_there_are_as_many_as_are_counted(seed):
    preds, target = random_maps(seed, 60, 80, classes=4, blocks=False)
    marks = marked(preds, target, 4).numpy()
    counts = count_objects(preds, target, num_classes=4).sum((0, 1))
    for mark in ObjectMark:
        labels = preds if mark is ObjectMark.FALSE else target
        void = target.numpy() == VOID  # across which predicted objects go on
        of_mark = np.where((marks & mark > 0) | void, labels.numpy(), VOID)
        parts = [part for label in range(4) for part in parts_of(of_mark, label)]
        found = sum((marks[part] & mark).any() for part in parts)
        assert found == counts[ObjectColumn[mark.name]] > 0


def test_no_pixels_have_no_marks():
    assert marked(np.zeros((0, 4), int), np.zeros((0, 4), int)).shape == (0, 4)


def test_what_is_no_pair_of_label_maps_is_refused():
    with pytest.raises(ValueError, match=r"preds: expected \[H, W\], got \[1, 1, 2\]"):
        marked([[[0, 0]]], [[[0, 0]]])
    with pytest.raises(LabelRangeError, match=r"preds: expected labels 0\.\.4, got 7"):
        marked([[7]], [[0]])
    with pytest.raises(ValueError, match="object_recall: expected two shares"):
        marked([[0]], [[0]], recall=ObjectRecall(0.5, 0.1))
