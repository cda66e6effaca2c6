import math

import numpy as np
import pytest
from scipy import stats

from dealias.study import UNDEFINED, mean_cell, summarise
from dealias.study.tables import difference_cell

SEEDS = (3, 5, 8)


def found_of(**values):
    """Figures "x" of each variant by seed; a run that is missing is "gone"."""
    return {
        (name, seed): {"x": value}
        for name, row in values.items()
        for seed, value in zip(SEEDS, row, strict=True)
        if value != "gone"
    }


def test_three_seeds_by_hand():
    found = found_of(plain=(0.01, 0.02, 0.03), other=(0.02, 0.04, 0.06))
    summary = summarise(found, ["plain", "other"], SEEDS)
    assert summary["plain"]["x"] == pytest.approx({"mean": 0.02, "std": 0.01, "n": 3})
    row = summary["other"]["x"]
    assert (row["mean"], row["std"]) == pytest.approx((0.04, 0.02))
    assert (row["difference"], row["difference_std"]) == pytest.approx((0.02, 0.01))
    t = 2 / (1 / math.sqrt(3))  # and with two degrees of freedom p is in closed form
    assert row["p"] == pytest.approx(1 - t / math.sqrt(2 + t**2))
    reach = 4.302653 * 0.01 / math.sqrt(3)  # the quantile is that of printed tables
    assert (row["low"], row["high"]) == pytest.approx((0.02 - reach, 0.02 + reach))
    assert mean_cell(row) == "4.00 ± 2.00"
    assert difference_cell(row) == "+2.00 [-0.48, +4.48], p 0.07"


def test_as_scipy_has_it():
    draw = np.random.default_rng(0)
    plain, other = draw.random((2, 8))
    seeds = range(8)
    found = {(n, s): {"x": v[s]} for n, v in (("a", plain), ("b", other)) for s in seeds}
    row = summarise(found, ["a", "b"], seeds)["b"]["x"]
    test = stats.ttest_rel(other, plain)
    assert row["p"] == pytest.approx(test.pvalue)
    interval = test.confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


def test_seeds_are_paired():
    found = found_of(plain=(1.0, 5.0, 9.0), other=(2.0, 6.5, 9.5))
    assert summarise(found, ["plain", "other"], SEEDS)["other"]["x"]["difference_std"] == 0.5
    found = found_of(plain=(5.0, 9.0, 1.0), other=(2.0, 6.5, 9.5))
    assert summarise(found, ["plain", "other"], SEEDS)["other"]["x"]["difference_std"] > 5


def test_what_one_seed_leaves_undefined_is_undefined():
    found = found_of(plain=(1.0, 2.0, 3.0), other=(2.0, None, 6.0))
    rows = summarise(found, ["plain", "other"], SEEDS)
    assert rows["plain"]["x"]["mean"] == 2
    row = rows["other"]["x"]
    assert {row[key] for key in ("mean", "std", "difference", "low", "high", "p")} == {None}
    assert mean_cell(row) == difference_cell(row) == UNDEFINED


def test_runs_that_are_missing_are_left_out_of_pairs():
    found = found_of(plain=(1.0, 2.0, "gone"), other=(2.0, 4.0, 9.0))
    row = summarise(found, ["plain", "other"], SEEDS)["other"]["x"]
    assert (row["mean"], row["n"]) == (5, 3)
    assert (row["difference"], row["pairs"]) == (1.5, 2)
    found = found_of(plain=(1.0, "gone", "gone"), other=(2.0, 4.0, 9.0))
    rows = summarise(found, ["plain", "other"], SEEDS)
    assert rows["plain"]["x"]["mean"] is None
    assert rows["other"]["x"]["difference"] is None


def test_differences_that_are_all_the_same_have_no_p():
    found = found_of(plain=(0.01, 0.02, 0.03), other=(0.01, 0.02, 0.03))
    row = summarise(found, ["plain", "other"], SEEDS)["other"]["x"]
    assert (row["difference"], row["p"]) == (0, None)
    assert difference_cell(row) == f"+0.00 [+0.00, +0.00], p {UNDEFINED}"
    found = found_of(plain=(0.1, 0.2, 0.3), other=(0.2, 0.3, 0.4))  # the same but for rounding
    assert summarise(found, ["plain", "other"], SEEDS)["other"]["x"]["p"] is None


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.0042, "0.004"), (0.5, "0.50")])
def test_small_probabilities_keep_a_digit(p, text):
    row = {"difference": 0.0, "low": 0.0, "high": 0.0, "p": p}
    assert difference_cell(row).endswith(f"p {text}")
