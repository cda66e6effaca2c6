import copy
import pickle

import pytest
import torch
import torch.distributed as dist
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from dealias.metrics import HardPixelErrors
from dealias.metrics.functional import count_hard_pixels, scores
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


def expected_scores(batches, **options):
    counts = [count_hard_pixels(*batch, num_classes=CLASSES, **options) for batch in batches]
    return scores(counts[0] + counts[1])


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
    assert_same(metric.compute(), scores(count_hard_pixels(preds, target, num_classes=CLASSES)))


def test_the_state_is_counts_that_do_not_grow(batches, metric):
    for _ in range(3):
        for batch in batches:
            metric.update(*batch)
    states = {name: getattr(metric, name) for name in metric._defaults}
    assert {name: (s.dtype, s.numel()) for name, s in states.items()} == {
        "confusion": (torch.int64, 4 * CLASSES**2),
        "edges": (torch.int64, 4),
    }
    assert metric.state_dict() == {}


def test_forward_gives_the_batch_and_keeps_the_total(batches, metric):
    per_batch = [metric(*batch) for batch in batches]
    assert_same(per_batch[1], scores(count_hard_pixels(*batches[1], num_classes=CLASSES)))
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
    metric.update(*batches[rank])
    torch.save(metric.compute(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_agree_on_the_whole(batches, tmp_path):
    cpu = [tuple(maps.cpu() for maps in batch) for batch in batches]
    torch.multiprocessing.spawn(_evaluate_half, (str(tmp_path), cpu), nprocs=2)
    for rank in range(2):
        assert_same(torch.load(tmp_path / f"{rank}.pt"), expected_scores(cpu))


def test_nan_logits_are_refused_and_leave_the_state_alone(batches, metric):
    logits = torch.zeros(2, CLASSES, 30, 40)
    logits[0, 1, 2, :3] = torch.nan
    with pytest.raises(ValueError, match="logits without NaN, got 3 of them"):
        metric.update(logits, batches[0][1].cpu())
    assert metric.confusion.sum() == 0


@pytest.mark.parametrize("shape", [(2, CLASSES + 1, 30, 40), (2, 30, 40)])
def test_floats_that_are_no_logits_are_refused(shape, batches, metric):
    with pytest.raises(ValueError, match=r"expected logits of shape \(N, 5, H, W\)"):
        metric.update(torch.zeros(shape), batches[0][1])


def test_bad_options_are_refused_when_it_is_made():
    with pytest.raises(ValueError, match="ignore_index"):
        HardPixelErrors(12, ignore_index=11)
