"""Signs that labels mean something else than the class set says."""

import re

import numpy as np
import pytest
import torch

from dealias.evaluation import void_warnings
from dealias.evaluation.warnings import label_warnings

NAMES = ("road", "car", "person", "tree")


def confusion_of(target, preds, classes):
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (target, preds), 1)
    return torch.from_numpy(table)


def test_two_classes_of_which_one_is_void():
    found = label_warnings(torch.tensor([[900, 20], [0, 0]]), 80, ("background", "lesion"), 255)
    assert found == [
        "no target has lesion, and 8.0% of the pixels are void (255): if 255 stands for lesion, "
        "add label_map: {0: 0, 255: 1} to the class set"
    ]


@pytest.mark.parametrize(
    ("pixels", "void", "expected"),
    [
        ([5, 5, 5, 5], 90, []),  # every class is there
        ([5, 5, 5, 0], 0, []),  # nothing is void
        ([50, 30, 11, 0], 9, []),  # little is void, as in most data sets
        (
            [50, 30, 10, 0],
            10,
            ["if 255 stands for tree, add label_map: {.*2: 2, 255: 3}"],
        ),
        ([50, 0, 0, 5], 45, ["no target has car, person, and 45.0% .*: check the class set"]),
        ([0, 0, 0, 0], 0, []),
        ([0], 9, ["if 255 stands for road, add label_map: {255: 0} to the class set"]),
    ],
)
def test_classes_that_no_target_has(pixels, void, expected):
    found = void_warnings(pixels, void, NAMES[: len(pixels)], 255)
    assert len(found) == len(expected)
    for message, pattern in zip(found, expected, strict=True):
        assert re.search(pattern.replace("{", r"\{"), message)


def test_many_absent_classes_are_cut_short():
    [message] = void_warnings([1] + [0] * 9, 9, [f"c{k}" for k in range(10)], 255)
    assert message.startswith("no target has c1, c2, c3, c4 and 5 more, and 90.0%")


@pytest.mark.parametrize(
    ("shift", "advice"),
    [(1, "1 is subtracted from"), (-1, "1 is added to"), (2, "2 is")],
)
def test_labels_counted_from_another_one(shift, advice):
    rng = np.random.RandomState(0)
    target = rng.randint(0, 4, 5_000)
    preds = np.where(rng.rand(5_000) < 0.9, target, rng.randint(0, 4, 5_000))
    right = confusion_of(target, preds, 4)
    assert label_warnings(right, 0, NAMES, 255) == []
    [message] = label_warnings(confusion_of(target, (preds + shift) % 4, 4), 0, NAMES, 255)
    assert advice in message
    recall = float((right.diagonal() / right.sum(1)).mean())
    assert f"but {recall:.1%} if" in message


def test_the_shift_is_the_one_of_the_highest_recall():
    table = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (7, 7)))
    table[torch.arange(7), (torch.arange(7) + 3) % 7] += 99
    table[2] = 0
    recalls = [
        np.mean([float(table[k, (k + s) % 7] / table[k].sum()) for k in range(7) if k != 2])
        for s in range(7)
    ]
    [message] = [found for found in label_warnings(table, 0, "abcdefg", 255) if "recall" in found]
    assert f"is {recalls[0]:.1%}, but {max(recalls):.1%} if 3 is subtracted" in message


def test_a_table_of_many_classes_takes_no_more_than_a_few_of_its_size():
    count = 2000  # a table for each shift would be 64 GB
    table = torch.eye(count, dtype=torch.int64).roll(-7, 1)
    [message] = label_warnings(table, 0, [str(k) for k in range(count)], 255)
    assert "is 0.0%, but 100.0% if 7 is added to predicted labels" in message


def test_two_classes_swapped():
    [message] = label_warnings(torch.tensor([[10, 90], [80, 20]]), 0, ("no", "yes"), 255)
    assert message.startswith("mean class recall is 15.0%, but 85.0% if the two predicted classes")


@pytest.mark.parametrize(
    "confusion",
    [
        [[0, 90], [0, 10]],  # a network that answers one class to everything
        [[0, 100], [0, 0]],  # one class alone says too little
        [[0, 0], [0, 0]],
        [[40, 60], [60, 40]],  # bad, but not far better the other way round
    ],
)
def test_bad_predictions_are_not_taken_for_shifted(confusion):
    assert label_warnings(torch.tensor(confusion), 0, ("no", "yes"), 255) == []
