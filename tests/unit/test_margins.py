"""Margins of tables of counts, one image at a time and many."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counted import margin_table, tables_of
from dealias.metrics.functional import (
    ERROR_KINDS,
    FIGURES,
    MarginTable,
    class_scores,
    count_better,
    count_hard_pixels,
    figures,
    fine_grained_miou,
    margin_gains,
    margins,
    pack_margins,
    scores,
)
from helpers import random_maps

CLASSES = 5
MEAN_OF = {"IoU": "mIoU"}


def six(table):
    """The figures of one table, [6, C + 1], from the function that takes tables."""
    found = scores(table)
    rows = [[*found[f"{name}_per_class"], found[MEAN_OF.get(name, name)]] for name in FIGURES]
    return torch.tensor(rows, dtype=torch.float64)


def test_margins_worked_by_hand():
    table = torch.zeros(4, 2, 2, dtype=torch.int64)
    table[0] = torch.tensor([[5, 2], [0, 3]])
    table[2] = torch.tensor([[0, 1], [4, 0]])
    correct, target, preds = margins(table)
    assert correct.tolist() == [[5, 3], [0, 0], [0, 0], [0, 0]]
    assert target.tolist() == [[7, 3], [0, 0], [1, 4], [0, 0]]
    assert preds.tolist() == [[5, 5], [0, 0], [4, 1], [0, 0]]
    assert class_scores(margins(table))["IoU"].tolist() == [5 / 12, 3 / 10]


def test_margins_of_sums_are_sums_of_margins():
    tables = tables_of(6)
    assert torch.equal(margins(tables).sum(0), margins(tables.sum(0)))
    assert torch.equal(margin_table(tables).total(), margins(tables.sum(0)))


def test_figures_from_margins_are_those_from_the_table():
    for table in tables_of(7):
        assert torch.equal(figures(margins(table)).nan_to_num(-1), six(table).nan_to_num(-1))


def test_gains_from_margins_are_those_of_the_corrected_table():
    table = tables_of(4).sum(0)
    for kind in ERROR_KINDS:
        mean, each = margin_gains(margins(table))[kind.key]
        after = scores(kind.corrected(table))
        assert float(mean) == pytest.approx(float(after["mIoU"] - scores(table)["mIoU"]))
        expected = after["IoU_per_class"] - scores(table)["IoU_per_class"]
        assert torch.allclose(each, expected, equal_nan=True)


def test_packed_margins_hold_classes_with_pixels_only():
    target = torch.zeros(6, 8, dtype=torch.int64)
    target[:, 4:] = 140
    counts = count_hard_pixels(target, target, num_classes=150)
    rows = np.frombuffer(pack_margins(margins(counts.confusion)), np.int64).reshape(-1, 13)
    assert rows[:, 0].tolist() == [0, 140]
    assert rows[:, 1:5].sum(1).tolist() == [24, 24]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_resampling_repeats_images(seed, number):
    tables = tables_of(number, seed)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(number, size=(3, number))
    weights = np.stack([np.bincount(row, minlength=number) for row in drawn], 1).astype(float)
    found = margin_table(tables).resampled(weights)
    for resample, row in zip(found, drawn, strict=True):
        assert torch.equal(resample, margins(tables[row].sum(0)).double())


def test_groups_add_up_in_the_order_of_their_names():
    tables = tables_of(5)
    grouped = margin_table(tables).grouped(["b", "a", "b", "c", "a"])
    assert grouped.units == 3
    for unit, members in enumerate(([1, 4], [0, 2], [3])):
        weights = np.zeros((3, 1))
        weights[unit] = 1
        expected = margins(tables[members].sum(0)).double()
        assert torch.equal(grouped.resampled(weights)[0], expected)


def test_support_counts_the_units_that_have_a_figure():
    tables = tables_of(8)
    each = torch.stack([figures(margins(table)) for table in tables])
    assert torch.equal(margin_table(tables).support(), (~each.isnan()).sum(0))


def test_figures_of_units_are_means_over_their_classes():
    tables = tables_of(8)
    expected = torch.stack([figures(margins(table))[:, -1] for table in tables])
    found = torch.from_numpy(margin_table(tables).unit_figures())
    assert torch.allclose(found, expected, equal_nan=True)


def test_better_and_worse_images_are_counted_one_by_one():
    first, second = tables_of(9, seed=1), tables_of(9, seed=2)
    better, worse = count_better(margin_table(first), margin_table(second))
    up = torch.tensor([1.0, 1, 1, -1, -1, -1])[:, None]
    pairs = zip(first, second, strict=True)
    change = [up * (figures(margins(b)) - figures(margins(a))) for a, b in pairs]
    assert torch.equal(better, (torch.stack(change) > 1e-12).sum(0))
    assert torch.equal(worse, (torch.stack(change) < -1e-12).sum(0))


class TestFineGrainedMiou:
    def test_two_images_by_hand(self):
        tables = torch.zeros(2, 4, 3, 3, dtype=torch.int64)
        tables[0, 0] = torch.tensor([[8, 2, 0], [0, 10, 0], [0, 0, 0]])  # IoU 8/10, 10/12
        tables[1, 0] = torch.tensor([[3, 0, 1], [0, 0, 0], [0, 0, 0]])  # IoU 3/4; class 2 is absent
        found = fine_grained_miou(margin_table(tables))
        images = [(8 / 10 + 10 / 12) / 2, 3 / 4]
        assert found["mIoU_I"] == pytest.approx(np.mean(images))
        assert found["mIoU_I_worst_tenth"] == pytest.approx(3 / 4)  # one of two
        assert found["mIoU_C"] == pytest.approx(((8 / 10 + 3 / 4) / 2 + 10 / 12) / 2)
        assert found["mIoU_C_worst_tenth"] == pytest.approx((3 / 4 + 10 / 12) / 2)

    def test_against_a_slow_oracle(self):
        tables = tables_of(27)
        by_image, by_class = [], {k: [] for k in range(CLASSES)}
        for table in tables:
            confusion = table.sum(0)
            values = []
            for k in range(CLASSES):
                if confusion[k].sum() == 0:
                    continue
                union = confusion[k].sum() + confusion[:, k].sum() - confusion[k, k]
                values.append(float(confusion[k, k] / union))
                by_class[k].append(values[-1])
            if values:
                by_image.append(np.mean(values))
        lowest = {k: sorted(values)[: max(1, len(values) // 10)] for k, values in by_class.items()}
        found = fine_grained_miou(margin_table(tables))
        assert 20 <= len(by_image) < 27  # some are void
        assert found["mIoU_I"] == pytest.approx(np.mean(by_image))
        assert found["mIoU_I_worst_tenth"] == pytest.approx(np.mean(sorted(by_image)[:2]))
        assert found["mIoU_C"] == pytest.approx(np.mean([np.mean(v) for v in by_class.values()]))
        assert found["mIoU_C_worst_tenth"] == pytest.approx(
            np.mean([np.mean(values) for values in lowest.values()])
        )

    def test_nothing_is_undefined(self):
        for table in (MarginTable.of([], 3), MarginTable.of([b"", b""], 3)):
            assert all(np.isnan(value) for value in fine_grained_miou(table).values())


def test_real_maps_give_the_same_from_their_table():
    preds, target = random_maps(0, 40, 60, classes=5)
    counts = count_hard_pixels(preds, target, num_classes=5)
    assert torch.equal(figures(margins(counts.confusion)), six(counts.confusion))
