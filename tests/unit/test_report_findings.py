"""What a page says in one line, and its confusion matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dealias.evaluation import Evaluation, Options, draw_errors, evaluate_maps
from dealias.labels import ClassSet
from dealias.metrics.functional import BOUNDARY_KINDS, boundary_gain, scores
from dealias.report.confusions import (
    MOST_LINKED,
    MOST_SHOWN,
    confusion_section,
    largest_pairs,
    wrong_pixels,
)
from dealias.report.drawing import Drawn, count_by_pair
from dealias.report.findings import compare_heading, find_heading
from dealias.report.writer import run_name
from helpers import random_maps

KINDS = ("false_response", "merging_mistake", "displacement", "interior")
CLASSES = ClassSet("five", tuple("abcde"))


@given(st.integers(0, 2**31))
def test_the_gain_at_boundaries_is_that_of_a_corrected_table(seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(0, 9, (4, 3, 3), generator=generator)
    table[:, torch.rand(3, generator=generator) < 0.3] = 0
    corrected = table
    for kind in BOUNDARY_KINDS:
        corrected = kind.corrected(corrected)
    expected = scores(corrected)["mIoU"] - scores(table)["mIoU"]
    torch.testing.assert_close(boundary_gain(table), expected, equal_nan=True)


def said(*gains, boundary, miou=0.5):
    gains = dict(zip(KINDS, gains, strict=True))
    return find_heading({"metrics": {"mIoU": miou}, "mIoU_gain": gains, "boundary_gain": boundary})


@pytest.mark.parametrize(
    ("gains", "boundary", "heading"),
    [
        (
            (0.02, 0.04, 0.19, 0.005),
            0.2996,
            "Boundaries cost 30.0 points of mIoU, most of it by boundaries that are displaced",
        ),
        (
            (0.05, 0.06, 0.05, 0.005),
            0.2,
            "Boundaries cost 20.0 points of mIoU, the largest part by boundaries that are missed",
        ),
        (
            (0.1, 0, 0, 0),
            0.1,
            "Boundaries cost 10.0 points of mIoU, most of it by boundaries that are not there",
        ),
        (
            (0.01, 0.01, 0.01, 0.3),
            0.034,
            "Errors far from boundaries cost 30.0 points of mIoU, boundaries 3.4",
        ),
        ((0, 0, 0, 0.3), 0.0, "Errors far from boundaries cost 30.0 points of mIoU"),
        ((0, 0, 0.0001, 0), 0.0001, "Next to no pixel is wrong"),
        ((0, 0, 0, 0), 0.0, "No pixel is wrong"),
    ],
)
def test_the_heading_says_what_costs_most(gains, boundary, heading):
    assert said(*gains, boundary=boundary) == heading


def test_a_heading_of_nothing():
    assert said(*(None,) * 4, boundary=None, miou=None) == "There is no class to judge"
    empty = Evaluation.empty(Options(CLASSES).settings).to_dict()
    assert find_heading(empty) == "There is no class to judge"


@pytest.mark.parametrize(
    ("difference", "told", "heading"),
    [
        (0.0123, True, "B, new, has 1.23 points of mIoU more than A, old"),
        (-0.0123, None, "B, new, has 1.23 points of mIoU less than A, old"),
        (
            0.001,
            False,
            "B, new, has 0.10 points of mIoU more than A, old: that can't be told from zero",
        ),
        (0.0, False, "A, old, and B, new, have the same mIoU"),
        (None, None, "There is no class to judge"),
    ],
)
def test_the_heading_of_a_comparison(difference, told, heading):
    pair = {"difference": difference, "told": told}
    assert compare_heading({"names": ["old", "new"], "metrics": {"mIoU": pair}}) == heading


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/runs/espnet/predictions", "espnet"),
        ("/runs/espnet/labels/Pred", "espnet"),
        ("/runs/espnet", "espnet"),
        ("/predictions", "predictions"),
    ],
)
def test_the_name_of_a_run(folder, name, tmp_path):
    assert run_name(tmp_path.__class__(folder)) == name


def drawn_of(target, preds, void=255):
    columns = np.where((target != preds) & (target != void), 1, 0)
    by_pair = count_by_pair(columns, target, preds, 4)
    return Drawn("x", "x", *target.shape, (), (), (), None, by_pair)


def test_a_row_of_the_matrix_is_in_shares_of_its_class():
    total = Evaluation.empty(Options(CLASSES).settings)
    expected = np.zeros((5, 5))
    drawn = []
    for seed in range(3):
        preds, target = random_maps(seed, 20, 30, classes=5)
        preds[preds == 3] = 2  # one class is never predicted
        total.absorb(evaluate_maps(str(seed), preds, target, Options(CLASSES)))
        drawn.append(drawn_of(target.numpy().astype(int), preds.numpy().astype(int)))
        for t, p in zip(target.flatten().tolist(), preds.flatten().tolist(), strict=True):
            if t != 255:
                expected[t, p] += 1
    wrong = wrong_pixels(drawn, 5)
    assert np.array_equal(wrong, expected - np.diag(expected.diagonal()))
    linked = largest_pairs(wrong)
    found = confusion_section(wrong, total.to_dict(), CLASSES, linked)
    shares = [[cell["share"] for cell in row["cells"]] for row in found["rows"]]
    assert np.allclose(shares, expected / expected.sum(1, keepdims=True))
    assert found["left_out"] == 0
    for t, row in enumerate(found["rows"]):
        assert [cell["right"] for cell in row["cells"]] == [p == t for p in range(5)]
        assert [cell["linked"] for cell in row["cells"]] == (wrong[t] > 0).tolist()
        assert row["others"] == 0


def test_classes_that_are_not_there_have_no_row():
    wrong = np.zeros((5, 5), np.int64)
    wrong[1, 3] = 4
    pixels = [0, 10, 6, 0, 0]
    result = {"classes": [{"pixels": count} for count in pixels]}
    found = confusion_section(wrong, result, CLASSES, [(1, 3)])
    assert [row["name"] for row in found["rows"]] == ["b", "c", "d"]
    assert [cell["share"] for cell in found["rows"][0]["cells"]] == [0.6, 0, 0.4]
    assert [cell["share"] for cell in found["rows"][2]["cells"]] == [None] * 3
    nothing = {"classes": [{"pixels": 0}] * 5}
    assert confusion_section(np.zeros((5, 5), np.int64), nothing, CLASSES, []) is None


def test_what_is_left_out_is_counted_in_pixels():
    """Shares that add up to 1 + 2e-16 would leave -0.0 % of the pixels."""
    wrong = np.random.default_rng(0).integers(0, 99, (MOST_SHOWN + 1,) * 2)
    np.fill_diagonal(wrong, 0)
    wrong[-1] = wrong[:, -1] = 0  # the last class is right, and not shown
    result = {"classes": [{"pixels": int(row.sum()) + 3} for row in wrong]}
    classes = ClassSet("many", tuple(f"class {k}" for k in range(len(wrong))))
    found = confusion_section(wrong, result, classes, [])
    assert (len(found["rows"]), found["left_out"]) == (MOST_SHOWN, 1)
    assert {row["others"] for row in found["rows"]} == {0.0}


def test_of_many_classes_the_most_confused_are_shown():
    names = tuple(f"class {k}" for k in range(60))
    wrong = np.arange(3600).reshape(60, 60)
    np.fill_diagonal(wrong, 0)
    result = {"classes": [{"pixels": int(row.sum()) + 1} for row in wrong]}
    linked = largest_pairs(wrong)
    assert len(linked) == MOST_LINKED
    assert linked[0] == (59, 58)
    found = confusion_section(wrong, result, ClassSet("many", names), linked)
    assert len(found["rows"]) == MOST_SHOWN
    assert found["left_out"] == 60 - MOST_SHOWN
    assert found["rows"][-1]["name"] == "class 59"
    for row in found["rows"]:
        assert row["others"] + sum(cell["share"] for cell in row["cells"]) == pytest.approx(1)


def test_errors_are_blended_over_a_picture():
    background = np.full((1, 3, 3), 200, np.uint8)
    errors = np.array([[0, 3, 255]], np.uint8)
    drawn = draw_errors(errors, background, brightness=0.5, opacity=0.25)
    gray = 99  # 200 * 0.5, in the precision of the weights of the colours
    assert np.abs(drawn[0, 0].astype(int) - gray).max() <= 1
    assert np.abs(drawn[0, 1] - (0.25 * np.array([86, 180, 233]) + 0.75 * gray)).max() <= 1
    assert drawn[0, 2].tolist() == [0, 0, 0]
