import json

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, spearmanr

from dealias.report import AliasingErrors, higher_share, rank_correlation

GROUPS = ["right_boundary", "false_response", "merging_mistake", "displacement", "interior"]


def example(seed, shape=(30, 40)):
    rng = np.random.default_rng(seed)
    boundary = rng.random(shape) < 0.5
    errors = np.where(boundary, rng.integers(0, 4, shape), 4 * rng.integers(0, 2, shape))
    errors[rng.random(shape) < 0.1] = 255
    scores = rng.random(shape) ** (1 + (errors > 0))
    return scores, errors.astype(np.uint8), boundary


def test_pixels_are_counted_in_their_group():
    scores, errors, boundary = example(0)
    found = AliasingErrors.of(scores, errors, boundary).to_dict()["groups"]
    for mark, name in enumerate(GROUPS):
        expected = errors == mark if mark else (errors == 0) & boundary
        assert found[name]["pixels"] == expected.sum() == sum(found[name]["histogram"])
        assert found[name]["mean"] == pytest.approx(scores[expected].mean(), abs=2e-3)
        middle = np.median(scores[expected])
        assert found[name]["quantiles"]["50"] == pytest.approx(middle, abs=0.02)
    assert found["right_interior"]["pixels"] == ((errors == 0) & ~boundary).sum()


def test_the_histogram_is_over_its_edges():
    scores, errors, boundary = example(1)
    found = AliasingErrors.of(scores, errors, boundary).to_dict()
    own = scores[(errors == 0) & boundary]
    expected = np.histogram(own, np.array(found["edges"]))[0]
    assert found["groups"]["right_boundary"]["histogram"] == expected.tolist()


def test_images_add_up():
    parts = [AliasingErrors.of(*example(seed)) for seed in (1, 2)]
    pairs = zip(example(1), example(2), strict=True)
    whole = AliasingErrors.of(*map(np.concatenate, pairs))
    total = AliasingErrors.empty() + parts[0] + parts[1]
    assert total.to_dict() == whole.to_dict()
    assert total.counts.shape == parts[0].counts.shape


def test_the_rank_correlation_is_spearmans():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 12, 500)
    wrong = rng.random(500) < 0.1 + 0.05 * scores
    right_bins, wrong_bins = (np.bincount(scores[own], minlength=12) for own in (~wrong, wrong))
    found = rank_correlation(right_bins, wrong_bins)
    assert found == pytest.approx(spearmanr(scores, wrong).statistic)
    assert found > 0.1
    pairs = wrong.sum() * (~wrong).sum()
    above = mannwhitneyu(scores[wrong], scores[~wrong]).statistic / pairs
    assert higher_share(right_bins, wrong_bins) == pytest.approx(above)


def test_the_rank_correlation_of_everything_is_over_the_bands():
    scores, errors, boundary = example(4)
    scores = (np.floor(1000 * np.sqrt(scores)) / 1000) ** 2 + 1e-9
    found = AliasingErrors.of(scores, errors, boundary).to_dict()
    own = boundary & (errors < 4)
    expected = spearmanr(scores[own], errors[own] > 0).statistic
    assert found["rank_correlation"] == pytest.approx(expected)
    interior = found["groups"]["interior"]
    own = (errors == 4) | ((errors == 0) & ~boundary)
    assert interior["rank_correlation"] == pytest.approx(
        spearmanr(scores[own], errors[own] > 0).statistic
    )


def test_nothing_counted_is_none_in_json():
    found = AliasingErrors.empty().to_dict()
    assert found["rank_correlation"] is found["higher_share"] is None
    assert found["groups"]["interior"]["mean"] is None
    json.dumps(found, allow_nan=False)


def test_pixels_without_a_score_are_left_out():
    scores, errors, boundary = example(5)
    scores[:, :20] = np.nan
    found = AliasingErrors.of(scores, errors, boundary)
    half = AliasingErrors.of(scores[:, 20:], errors[:, 20:], boundary[:, 20:])
    assert (found.counts == half.counts).all()


def test_scores_of_1_are_in_the_last_bin():
    errors = np.zeros((1, 2), np.uint8)
    found = AliasingErrors.of(np.array([[0.0, 1.0]]), errors, errors > 0)
    assert np.flatnonzero(found.counts.sum(0)).tolist() == [0, 999]


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_scores_outside_0_to_1_are_refused(value):
    errors = np.zeros((1, 2), np.uint8)
    with pytest.raises(ValueError, match=r"aliasing: expected scores in \[0, 1\], got"):
        AliasingErrors.of(np.array([[0.5, value]]), errors, errors > 0)


def test_shapes_that_differ_are_refused():
    errors = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="expected one shape"):
        AliasingErrors.of(np.zeros((2, 3)), errors, errors > 0)
