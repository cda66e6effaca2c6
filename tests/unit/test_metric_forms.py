"""The forms in which the metrics take predictions and targets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics import MetricCollection

from dealias.metrics import HardPixelErrors, ShiftAgreement
from dealias.metrics.functional import count_hard_pixels
from helpers import random_maps


@pytest.fixture
def maps(device):
    preds, target = (
        torch.stack(both) for both in zip(*(random_maps(s, 20, 30, 2) for s in (0, 1)), strict=True)
    )
    return preds.to(device), target.to(device)


def table(preds, target, **options):
    metric = HardPixelErrors(2, **options).to(target.device)
    metric.update(preds, target)
    return metric.confusion.tolist()


FORMS = {
    "labels": (lambda p: p, {}),
    "bool": (lambda p: p > 0, {}),
    "one channel": (lambda p: p[:, None].long(), {}),
    "bool channel": (lambda p: p[:, None] > 0, {}),
    "two logits": (lambda p: torch.stack([1.0 - p, p * 0.75], 1), {}),
    "one logit": (lambda p: p[:, None] * 4.0 - 3, {}),
    "half logits": (lambda p: (p[:, None] * 4.0 - 3).half(), {}),
    "logits without channel": (lambda p: p * 4.0 - 3, {}),
    "logits told": (lambda p: p[:, None] * 0.5, {"threshold": 0}),
    "probabilities": (lambda p: p[:, None] * 0.3 + 0.4, {"threshold": 0.5}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_prediction_counts_the_same(form, maps):
    make, options = FORMS[form]
    preds, target = maps
    expected = count_hard_pixels(preds, target, num_classes=2).confusion.tolist()
    assert table(make(preds), target, **options) == expected


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.uint8, torch.float64])
def test_every_form_of_a_target_counts_the_same(kind, maps):
    preds, target = maps
    expected = count_hard_pixels(preds, target, num_classes=2).confusion.tolist()
    assert table(preds, target[:, None].to(kind)) == expected
    plain = target.clamp(max=1)
    assert table(preds, plain > 0) == table(preds, plain)


@given(hnp.arrays("float32", (2, 1, 3, 4), elements=st.floats(-4, 4, width=16)))
def test_a_score_is_class_1_above_the_threshold(scores):
    target = torch.zeros(2, 3, 4, dtype=torch.long)
    for threshold in (0, 0.5, -1.5):
        above = sum(score > threshold for score in scores.ravel().tolist())
        found = torch.tensor(table(torch.from_numpy(scores), target, threshold=threshold))
        assert found.sum((0, 1)).tolist() == [24 - above, above]


@pytest.mark.parametrize(
    ("preds", "said"),
    [
        (torch.full((1, 1, 4, 4), 0.7), "may be probabilities: threshold=0.5"),
        (torch.zeros(1, 4, 4), "may be probabilities"),
        (torch.zeros(1, 3, 4, 4), r"shape \[B, 2, H, W\] or \[B, 1, H, W\] or integer"),
        (torch.zeros(4, 4), r"shape \[B, 2, H, W\] or"),
        (torch.full((1, 1, 4, 4), torch.nan), "without NaN, got 16"),
        (torch.zeros(1, 2, 4, 4, dtype=torch.long), "shape"),
    ],
)
def test_what_may_be_something_else_is_refused(preds, said):
    metric = HardPixelErrors(2)
    with pytest.raises(ValueError, match=f"preds: expected .*{said}"):
        metric.update(preds, torch.zeros(1, 4, 4, dtype=torch.long))
    assert metric.confusion.sum() == 0


def test_targets_that_are_no_labels_are_refused():
    preds = torch.zeros(1, 4, 4, dtype=torch.long)
    for value, number in ((0.5, 16), (torch.nan, 16), (torch.inf, 16)):
        with pytest.raises(ValueError, match=f"target: expected labels, got {number} numbers"):
            HardPixelErrors(2).update(preds, torch.full((1, 4, 4), value))
    with pytest.raises(ValueError, match=r"preds: expected logits of shape \[B, 5, H, W\] or int"):
        HardPixelErrors(5).update(torch.zeros(1, 1, 4, 4) - 1, preds)


@pytest.mark.parametrize("threshold", ["0", True, float("nan"), float("inf")])
@pytest.mark.parametrize("metric", [HardPixelErrors, ShiftAgreement])
def test_a_threshold_is_a_number(metric, threshold):
    with pytest.raises(ValueError, match="threshold: expected a number or None"):
        metric(2, threshold=threshold)


def test_a_collection_keeps_thresholds_apart():
    thresholds = {"zero": 0, "middle": 0.5, "none": None}
    collection = MetricCollection(
        {name: HardPixelErrors(2, score="mIoU", threshold=t) for name, t in thresholds.items()}
    )
    target = torch.tensor([[[0, 1]]])
    collection.update(torch.tensor([[[-1.0, 2.0]]]), target)  # the same for all of them
    assert len(collection.compute_groups) == 3
    collection.update(torch.tensor([[[0.25, 2.0]]]), target)
    found = collection.compute()
    assert found["middle"] == 1
    assert found["zero"] == found["none"] < 1


def test_shifts_are_compared_in_every_form(maps):
    preds, target = maps
    found = []
    for make, options in FORMS.values():
        metric = ShiftAgreement(2, band_width=3, **options).to(target.device)
        metric.update(make(preds[..., :-1]), make(preds[..., 1:]), (0, 1), target[:, None, :, :-1])
        found.append(metric.counts.tolist())
    assert all(counts == found[0] for counts in found)
