"""Standard errors, intervals and p by a bootstrap over images."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counted import margin_table, tables_of
from dealias.metrics.functional import (
    MarginTable,
    difference_interval,
    figures,
    margins,
    p_values,
    share_interval,
    standard_errors,
)
from dealias.metrics.functional.bootstrap import draw_weights, t_quantile

SHARE = st.floats(0.01, 0.99)


def accuracy_table(correct, pixels=1000):
    """Images of one size with one class in the target: recall is a mean over images."""
    wrong = [pixels - part for part in correct]
    tables = torch.zeros(len(correct), 4, 2, 2, dtype=torch.int64)
    tables[:, 0, 0] = torch.tensor([correct, wrong]).T
    return margin_table(tables)


def recall(totals):
    return totals[:, 0, :, 0].sum(1) / totals[:, 1, :, 0].sum(1)


def test_each_resample_has_as_many_units_as_there_are():
    blocks = list(draw_weights(7, 50, seed=1))
    assert sum(block.shape[1] for block in blocks) == 50
    assert all((block.sum(0) == 7).all() for block in blocks)


def test_blocks_of_many_units_are_small():
    blocks = list(draw_weights(50_000, 200, seed=0))
    assert len(blocks) > 1
    assert sum(block.shape[1] for block in blocks) == 200
    assert max(block.size for block in blocks) <= 2**22


def test_against_resamples_that_are_made_one_by_one():
    tables = tables_of(12)
    found = standard_errors([margin_table(tables)], figures, resamples=30, seed=4)
    [weights] = draw_weights(12, 30, seed=4)
    drawn = []
    for column in weights.T.astype(int):
        images = [table for table, times in zip(tables, column, strict=True) for _ in range(times)]
        drawn.append(figures(margins(torch.stack(images).sum(0))).numpy())
    expected = np.nanstd(drawn, axis=0, ddof=1) * math.sqrt(12 / 11)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_class_that_a_resample_lacks_is_left_out_of_it():
    tables = torch.zeros(10, 4, 2, 2, dtype=torch.int64)
    tables[:, 0, 0, 0] = 10
    tables[0, 0, 1] = torch.tensor([5, 5])  # the second class is in the first image alone
    [weights] = draw_weights(10, 500, seed=0)
    totals = margin_table(tables).resampled(weights)
    found = figures(totals)[:, 0]
    absent = weights[0] == 0
    assert found[absent, 1].isnan().all()
    assert (found[absent, 2] == 1).all()  # the mean is of the first class alone
    assert not found[~absent].isnan().any()


def test_the_seed_decides():
    table = margin_table(tables_of(12))
    first, again, other = (standard_errors([table], figures, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_order_of_images_does_not_matter_for_sums():
    tables = tables_of(12)
    [weights] = draw_weights(12, 40, seed=0)
    order = np.random.default_rng(0).permutation(12)
    mine = margin_table(tables).resampled(weights)
    assert torch.equal(margin_table(tables[order]).resampled(weights[order]), mine)


def test_pairs_are_drawn_together():
    table = margin_table(tables_of(12))
    error = standard_errors([table, table], lambda a, b: figures(b) - figures(a))
    assert (error == 0).all()


@pytest.mark.parametrize("units", [1, 0])
def test_one_unit_is_refused(units):
    with pytest.raises(ValueError, match=f"at least 2, got {units}"):
        standard_errors([MarginTable.of(units * [b""], 3)], figures)


def test_other_numbers_of_units_are_refused():
    tables = [MarginTable.of(number * [b""], 3) for number in (2, 3)]
    with pytest.raises(ValueError, match="the same units in all, at least 2, got 2, 3"):
        standard_errors(tables, figures)


class TestAgainstSciPy:
    def test_mean_type_figures(self):
        correct = np.random.default_rng(3).beta(6, 3, 60) * 1000 // 1
        theirs = stats.bootstrap((correct / 1000,), np.mean, n_resamples=10_000, rng=0)
        table = accuracy_table(correct.astype(int).tolist())
        error = standard_errors([table], recall, resamples=10_000)
        value = recall(table.total()[None])[0]
        assert float(error) == pytest.approx(theirs.standard_error * math.sqrt(60 / 59), rel=0.03)
        exact = correct.std(ddof=1) / 1000 / math.sqrt(60) * math.sqrt(60 / 59)
        assert float(error) == pytest.approx(exact, rel=0.03)
        low, high = (float(limit) for limit in share_interval(value, error, 60))
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert low == pytest.approx(theirs.confidence_interval.low, abs=0.08 * width)
        assert high == pytest.approx(theirs.confidence_interval.high, abs=0.08 * width)

    def test_paired_differences_of_means(self):
        rng = np.random.default_rng(1)
        first = (rng.beta(6, 3, 50) * 1000).astype(int)
        second = np.clip(first + rng.normal(8, 30, 50), 0, 1000).astype(int)
        tables = [accuracy_table(side.tolist()) for side in (first, second)]
        error = standard_errors(tables, lambda a, b: recall(b) - recall(a), resamples=10_000)
        value = torch.tensor((second - first).mean() / 1000)
        theirs = stats.ttest_rel(second, first)
        assert float(p_values(value, error, 50)) == pytest.approx(theirs.pvalue, rel=0.15)
        limits = [float(limit) for limit in difference_interval(value, error, 50)]
        expected = [limit / 1000 for limit in theirs.confidence_interval()]
        assert limits == pytest.approx(expected, abs=0.05 * (expected[1] - expected[0]))

    @pytest.mark.parametrize("freedom", [9, 10, 29, 100, 5000])
    def test_quantiles_of_t(self, freedom):
        for share in (0.9, 0.975, 0.995):
            exact = stats.t.ppf(share, freedom)
            assert t_quantile(share, freedom) == pytest.approx(exact, rel=2e-3)

    @pytest.mark.parametrize("freedom", [9, 30, 400])
    def test_p_of_t(self, freedom):
        for statistic in (0.0, 0.5, 2.0, 3.5):
            found = p_values(torch.tensor(-statistic), torch.tensor(1.0), freedom + 1)
            exact = 2 * stats.t.sf(statistic, freedom)
            assert float(found) == pytest.approx(exact, rel=0.02, abs=1e-5)


class TestIntervals:
    @given(SHARE, st.floats(1e-4, 0.5), st.integers(10, 1000))
    def test_shares_stay_shares(self, value, error, units):
        low, high = share_interval(*map(torch.tensor, (value, error)), units)
        assert 0 <= low < value + 1e-6
        assert value - 1e-6 < high <= 1

    @given(st.floats(-0.5, 0.5), st.floats(1e-4, 0.5), st.integers(10, 1000))
    def test_p_is_below_5_percent_where_the_interval_excludes_zero(self, value, error, units):
        value, error = torch.tensor([value, error], dtype=torch.float64)
        low, high = difference_interval(value, error, units)
        p = float(p_values(value, error, units))
        if abs(p - 0.05) > 1e-9:
            assert (p < 0.05) == bool(low > 0 or high < 0)

    def test_more_units_and_less_confidence_make_narrower_intervals(self):
        value, error = torch.tensor(0.6), torch.tensor(0.05)

        def width(units, level=0.95):
            low, high = share_interval(value, error, units, level)
            return float(high - low)

        assert width(10) > width(30) > width(1000) > width(1000, level=0.8)

    @pytest.mark.parametrize("error", [0.0, math.nan])
    def test_no_error_no_interval(self, error):
        value, error = torch.tensor([0.5, error])
        assert all(limit.isnan() for limit in share_interval(value, error, 20))
        assert all(limit.isnan() for limit in difference_interval(value, error, 20))
        assert p_values(value, error, 20).isnan()

    def test_a_perfect_class_has_no_interval(self):
        limits = share_interval(torch.tensor([0.0, 1.0]), torch.tensor([0.1, 0.1]), 20)
        assert all(limit.isnan().all() for limit in limits)
