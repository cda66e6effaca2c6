import pytest
import torch

from dealias.metrics.functional import (
    ERROR_KINDS,
    HardPixelCounts,
    costly_pairs,
    count_hard_pixels,
    error_map,
    error_pixels,
    error_shares,
    miou_gain,
    scores,
)
from helpers import VOID, random_maps

REGIONS = {"interior": 0, "false_response": 1, "merging_mistake": 2, "displacement": 3}


def table_of(*regions):
    return torch.tensor(regions, dtype=torch.int64)


@pytest.fixture
def table():
    return torch.randint(1, 50, (4, 5, 5), generator=torch.Generator().manual_seed(0))


def test_metrics_of_a_table_worked_by_hand():
    table = table_of(
        [[10, 0], [0, 20]],  # interior
        [[3, 1], [0, 0]],  # predicted band only
        [[0, 0], [2, 6]],  # target band only
        [[4, 4], [0, 8]],  # both
    )
    counts = HardPixelCounts(table, torch.tensor([2, 10, 1, 4]))
    result = scores(counts)
    # All: [[17, 5], [2, 34]].
    assert result["IoU_per_class"].tolist() == [17 / 24, 34 / 41]
    assert result["mIoU"] == pytest.approx((17 / 24 + 34 / 41) / 2)
    assert result["mAcc"] == pytest.approx((17 / 22 + 34 / 36) / 2)
    assert result["aAcc"] == pytest.approx(51 / 58)
    # Either band: [[7, 5], [2, 14]].
    assert result["BIoU"] == pytest.approx((7 / 14 + 14 / 21) / 2)
    assert result["BAcc"] == pytest.approx((7 / 12 + 14 / 16) / 2)
    # P: [[7, 5], [0, 8]]; T: [[4, 4], [2, 14]].
    assert result["FErr_per_class"].tolist() == pytest.approx([5 / 12, 0])
    assert result["MErr"] == pytest.approx((4 / 8 + 2 / 16) / 2)
    assert result["DErr"] == pytest.approx((4 / 8 + 0) / 2)
    assert result["edge_false_rate"] == 2 / 10
    assert result["edge_missing_rate"] == 1 / 4


def test_classes_without_pixels_are_nan_and_left_out_of_means():
    table = torch.zeros(4, 3, 3, dtype=torch.int64)
    table[0, 0, 0] = 5
    table[0, 0, 1] = 5
    result = scores(table)
    assert result["IoU_per_class"].isnan().tolist() == [False, False, True]
    assert result["mIoU"] == pytest.approx((0.5 + 0) / 2)
    assert result["Acc_per_class"].isnan().tolist() == [False, True, True]
    assert result["mAcc"] == 0.5
    assert result["FErr"].isnan()
    assert "edge_false_rate" not in result


def test_no_counts_at_all_are_nan():
    result = scores(HardPixelCounts.zeros(3))
    assert all(value.isnan().all() for value in result.values())
    assert all(share.isnan() for share in error_shares(HardPixelCounts.zeros(3).confusion).values())


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (torch.zeros(3, 3, dtype=torch.int64), r"\[4, C, C\], got \[3, 3\]"),
        (torch.zeros(4, 3, 2, dtype=torch.int64), r"got \[4, 3, 2\]"),
        (torch.zeros(4, 3, 3), "expected int64, got torch.float32"),
    ],
)
def test_what_is_no_table_is_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        scores(counts)


def test_shares_are_of_all_wrong_pixels():
    table = table_of([[9, 1], [0, 9]], [[0, 2], [0, 0]], [[5, 0], [3, 0]], [[0, 0], [4, 7]])
    assert {key: int(n) for key, n in error_pixels(table).items()} == {
        "interior": 1,
        "false_response": 2,
        "merging_mistake": 3,
        "displacement": 4,
    }
    assert error_shares(table)["displacement"] == 0.4


def test_what_if_equals_evaluating_the_corrected_table(table):
    gains = miou_gain(table)
    before = scores(table)
    for kind in ERROR_KINDS:
        mended = table.clone()
        region = mended[REGIONS[kind.key]]
        for t in range(5):
            for p in range(5):
                if t != p:
                    region[t, t] += region[t, p]
                    region[t, p] = 0
        after = scores(mended)
        mean, per_class = gains[kind.key]
        torch.testing.assert_close(mean, after["mIoU"] - before["mIoU"])
        torch.testing.assert_close(per_class, after["IoU_per_class"] - before["IoU_per_class"])
        assert mean > 0


def test_mending_every_kind_makes_the_prediction_perfect(table):
    for kind in ERROR_KINDS:
        table = kind.corrected(table)
    assert scores(table)["mIoU"] == 1


def test_costly_pairs_equal_mending_each_pair_alone(table):
    before = scores(table)["mIoU"]
    for kind in ERROR_KINDS:
        gains = {}
        for t in range(5):
            for p in range(5):
                if t != p and kind.wrong(table)[t, p]:
                    mended = table.clone()
                    pixels = int(mended[kind.region, t, p])
                    mended[kind.region, t, t] += pixels
                    mended[kind.region, t, p] = 0
                    gains[t, p, pixels] = float(scores(mended)["mIoU"] - before)
        expected = sorted(gains.items(), key=lambda item: -item[1])[:4]
        found = costly_pairs(table, kind, limit=4)
        assert [pair[:3] for pair in found] == [pair for pair, _ in expected]
        assert [pair.miou_gain for pair in found] == pytest.approx([gain for _, gain in expected])


def test_a_costly_pair_may_take_a_class_out_of_the_mean():
    table = torch.zeros(4, 2, 2, dtype=torch.int64)
    table[0] = torch.tensor([[6, 2], [0, 0]])  # class 1 is only ever predicted by mistake
    (pair,) = costly_pairs(table, ERROR_KINDS[3])
    assert pair[:3] == (0, 1, 2)
    assert pair.miou_gain == pytest.approx(1 - (6 / 8 + 0) / 2)


def test_the_error_map_marks_what_the_table_counts(device):
    preds, target = (maps.to(device) for maps in random_maps(1, 50, 70, classes=5))
    for protocol in ("paper", "exact"):
        table = count_hard_pixels(preds, target, num_classes=5, protocol=protocol).confusion
        marks = error_map(preds, target, num_classes=5, protocol=protocol)
        for mark, kind in enumerate(ERROR_KINDS, start=1):
            assert (marks == mark).sum() == error_pixels(table)[kind.key]
        assert ((marks == 255) == (target == VOID)).all()
        assert ((marks == 0) == (preds == target)).all()
