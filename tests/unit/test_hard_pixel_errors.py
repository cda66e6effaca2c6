import copy
import itertools
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.wrappers import ClasswiseWrapper

from dealias.metrics import HardPixelErrors
from dealias.metrics.functional import (
    boundary_f_counts,
    boundary_f_score,
    boundary_iou,
    boundary_iou_counts,
    count_hard_pixels,
    dilate,
    error_map,
    error_shares,
    inner_boundary,
    label_edges,
    miou_gain,
    scores,
)
from helpers import random_maps

CLASSES = 5


@pytest.fixture
def batches(device):
    pairs = [random_maps(seed, 30, 40, CLASSES) for seed in range(4)]
    return [
        tuple(torch.stack(maps).to(device) for maps in zip(*pairs[start : start + 2], strict=True))
        for start in (0, 2)
    ]


@pytest.fixture
def metric(device):
    return HardPixelErrors(CLASSES).to(device)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, equal_nan=True)


def all_scores(batches, **options):
    counts = [count_hard_pixels(*batch, num_classes=CLASSES, **options) for batch in batches]
    return scores(counts[0] + counts[1])


def expected_scores(batches, **options):
    return {name: v for name, v in all_scores(batches, **options).items() if v.ndim == 0}


@pytest.mark.parametrize("options", [{}, {"protocol": "exact", "band_width": 5}])
def test_it_scores_the_whole_data_set(batches, options, device):
    metric = HardPixelErrors(CLASSES, **options).to(device)
    for batch in batches:
        metric.update(*batch)
    assert_same(metric.compute(), expected_scores(batches, **options))


def test_logits_count_as_their_largest(batches, metric):
    preds, target = batches[0]
    logits = torch.nn.functional.one_hot(preds.long(), CLASSES).permute(0, 3, 1, 2).half() - 3
    metric.update(logits, target)
    expected = count_hard_pixels(preds, target, num_classes=CLASSES)
    torch.testing.assert_close(metric.confusion, expected.confusion)


def test_the_state_is_counts_that_do_not_grow(batches, metric):
    for _ in range(3):
        for batch in batches:
            metric.update(*batch)
    states = {name: getattr(metric, name) for name in metric._defaults}
    assert {name: (s.dtype, s.numel()) for name, s in states.items()} == {
        "confusion": (torch.int64, 4 * CLASSES**2),
        "edges": (torch.int64, 4),
        "options": (torch.int64, 4),
    }
    assert metric.state_dict() == {}


def test_forward_gives_the_batch_and_keeps_the_total(batches, metric):
    per_batch = [metric(*batch) for batch in batches]
    expected = scores(count_hard_pixels(*batches[1], num_classes=CLASSES))
    torch.testing.assert_close(per_batch[1]["DErr"], expected["DErr"])
    assert_same(metric.compute(), expected_scores(batches))


def test_reset_clone_deepcopy_and_pickle(batches, metric):
    metric.update(*batches[0])
    copies = [metric.clone(), copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))]
    metric.reset()
    assert metric.confusion.sum() == 0
    for other in copies:
        other.update(*batches[1])
        assert_same(other.compute(), expected_scores(batches))


def test_in_a_collection_with_others(batches, device):
    collection = MetricCollection(
        {"hard": HardPixelErrors(CLASSES), "acc": MulticlassAccuracy(CLASSES, ignore_index=255)},
        prefix="val/",
    ).to(device)
    for preds, target in batches:
        collection.update(preds, target)
    result = collection.compute()
    torch.testing.assert_close(result["val/mIoU"], expected_scores(batches)["mIoU"])
    assert "val/acc" in result


def _evaluate_half(rank, folder, batches):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    metric = HardPixelErrors(CLASSES)
    with torch.inference_mode(rank == 1):
        metric.update(*batches[rank])
        found = metric.compute() | metric.compute_per_class()
        metric.update(*batches[rank])  # goes on from the counts of this process alone
    own = count_hard_pixels(*batches[rank], num_classes=CLASSES)
    assert torch.equal(metric.confusion, 2 * own.confusion)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_agree_on_the_whole(batches, tmp_path):
    cpu = [tuple(maps.cpu() for maps in batch) for batch in batches]
    torch.multiprocessing.spawn(_evaluate_half, (str(tmp_path), cpu), nprocs=2)
    for rank in range(2):
        assert_same(torch.load(tmp_path / f"{rank}.pt"), all_scores(cpu))


def test_nan_logits_are_refused_and_leave_the_state_alone(batches, metric):
    logits = torch.zeros(2, CLASSES, 30, 40)
    logits[0, 1, 2, :3] = torch.nan
    with pytest.raises(ValueError, match="logits without NaN, got 3 of them"):
        metric.update(logits, batches[0][1].cpu())
    assert metric.confusion.sum() == 0


@pytest.mark.parametrize("shape", [(2, CLASSES + 1, 30, 40), (2, 30, 40)])
def test_floats_that_are_no_logits_are_refused(shape, batches, metric):
    with pytest.raises(ValueError, match=r"expected logits of shape \[B, 5, H, W\]"):
        metric.update(torch.zeros(shape), batches[0][1])


def test_bad_options_are_refused_when_it_is_made():
    with pytest.raises(ValueError, match="ignore_index"):
        HardPixelErrors(12, ignore_index=11)
    with pytest.raises(ValueError, match=r"score: expected one of mIoU, .*IoU_per_class.* 'iou'"):
        HardPixelErrors(12, score="iou")


@pytest.mark.parametrize("modes", [*itertools.product([False, True], repeat=6)])
def test_inference_mode_counts_the_same_wherever_it_is_entered(batches, modes, device):
    """Made, updated, reset, updated, called and computed inside or outside; then used outside."""
    inside = [torch.inference_mode() if mode else nullcontext() for mode in modes]
    with inside[0]:
        metric = HardPixelErrors(CLASSES).to(device)
        data = [tuple(maps.clone() for maps in batch) for batch in batches]
    with inside[1]:
        metric.update(*data[0])
    with inside[2]:
        metric.reset()
    with inside[3]:
        metric.update(*data[0])
    with inside[4]:
        metric(*data[1])
    with inside[5]:
        computed = metric.compute()
        metric.persistent(True)
        state, copied = metric.state_dict(), pickle.loads(pickle.dumps(metric))
    assert_same(computed, expected_scores(batches))
    restored = HardPixelErrors(CLASSES).to(device)
    restored.persistent(True)
    restored.load_state_dict(state)
    for other in (metric, metric.clone(), copied, restored):
        other.update(*data[0])
        other.update(*data[1])
        assert_same(other.compute(), expected_scores(batches))  # of each batch twice
        assert other.confusion.sum() == 2 * metric_pixels(batches)
        other.reset()
        assert other.confusion.sum() == 0


def metric_pixels(batches):
    return sum(int((target != 255).sum()) for _, target in batches)


def test_functions_take_what_inference_mode_made(batches):
    preds, target = batches[0]
    with torch.inference_mode():
        made = preds.clone(), target.clone()
        table = count_hard_pixels(*made, num_classes=CLASSES).confusion
    options = {"num_classes": CLASSES}
    for count in (count_hard_pixels, boundary_iou_counts, boundary_f_counts, error_map):
        found, expected = count(*made, **options), count(preds, target, **options)
        if count is count_hard_pixels:
            found, expected = found.confusion, expected.confusion
        assert torch.equal(found, expected)
    plain = count_hard_pixels(preds, target, **options).confusion
    assert miou_gain(table)["interior"][0] == miou_gain(plain)["interior"][0]


def test_scalars_are_apart_from_vectors(batches, metric):
    for batch in batches:
        metric.update(*batch)
    assert all(value.shape == () for value in metric.compute().values())
    per_class = metric.compute_per_class()
    assert all(value.shape == (CLASSES,) for value in per_class.values())
    assert_same(metric.compute() | per_class, all_scores(batches))


def test_one_score_alone_agrees_with_torchmetrics(batches, device):
    theirs = MulticlassJaccardIndex(CLASSES, average="none", ignore_index=255).to(device)
    mean = HardPixelErrors(CLASSES, score="mIoU").to(device)
    vector = HardPixelErrors(CLASSES, score="IoU_per_class").to(device)
    named = ClasswiseWrapper(vector.clone(), labels=list("abcde"))
    for metric in (theirs, mean, vector, named):
        for batch in batches:
            metric.update(*batch)
    assert mean.compute().shape == ()
    torch.testing.assert_close(mean.compute().float(), theirs.compute().mean())
    torch.testing.assert_close(vector.compute().float(), theirs.compute())
    assert named.compute()["hardpixelerrors_e"] == vector.compute()[4]


def test_a_collection_counts_once_and_shares_between_the_same_options_alone(batches, device):
    names = ("mIoU", "FErr", "IoU_per_class")
    metrics = {name: HardPixelErrors(CLASSES, score=name) for name in names}
    metrics["wide"] = HardPixelErrors(CLASSES, band_width=31, score="FErr")
    metrics["exact"] = HardPixelErrors(CLASSES, protocol="exact", score="FErr")
    collection = MetricCollection(metrics, prefix="val/").to(device)
    flat = torch.zeros_like(batches[0][1])  # without an edge all of them count the same
    collection.update(flat, flat)
    for batch in batches:
        collection.update(*batch)
    assert sorted(map(len, collection.compute_groups.values())) == [1, 1, 3]
    found = collection.compute()
    plain = count_hard_pixels(flat, flat, num_classes=CLASSES)
    for name, options in {
        "FErr": {},
        "wide": {"band_width": 31},
        "exact": {"protocol": "exact"},
    }.items():
        counts = [count_hard_pixels(*b, num_classes=CLASSES, **options) for b in batches]
        expected = scores(counts[0] + counts[1] + plain)["FErr"]
        torch.testing.assert_close(found[f"val/{name}"], expected)


def test_arrays_are_refused(batches, metric):
    preds, target = (maps.cpu() for maps in batches[0])
    message = "expected a tensor, got ndarray; torch.as_tensor makes one"
    for first, second, name in (
        (preds.numpy(), target.numpy(), "preds"),
        (np.zeros((2, CLASSES, 30, 40), np.float32), target, "preds"),
        (preds, target.numpy(), "target"),
    ):
        with pytest.raises(ValueError, match=f"{name}: {message}"):
            metric.update(first, second)
    for count in (count_hard_pixels, boundary_iou_counts, boundary_f_counts, error_map):
        with pytest.raises(ValueError, match=f"target: {message}"):
            count(preds, target.numpy(), num_classes=CLASSES)
    table = np.zeros((4, CLASSES, CLASSES), np.int64)
    for function in (scores, miou_gain, error_shares, boundary_iou, boundary_f_score):
        with pytest.raises(ValueError, match=f"counts: {message}"):
            function(table)
    with pytest.raises(ValueError, match=f"labels: {message}"):
        label_edges(target.numpy())
    with pytest.raises(ValueError, match=f"labels: {message}"):
        inner_boundary(target.numpy(), 1)
    with pytest.raises(ValueError, match=f"mask: {message}"):
        dilate(target.numpy() > 0, 3)


def test_it_is_plotted(batches, metric):
    pytest.importorskip("matplotlib").use("Agg")
    metric.update(*batches[0])
    figure, _ = metric.plot()
    figure.clear()
    with_score = HardPixelErrors(CLASSES, score="mIoU")
    with_score.update(*(maps.cpu() for maps in batches[0]))
    _, axes = with_score.plot()
    (line,) = axes.get_lines()[:1]
    assert line.get_ydata()[0] == pytest.approx(with_score.compute().item())
