"""How often intervals hold the truth, and how often a difference is seen where there is none."""

import numpy as np
import pytest
import torch

from dealias.evaluation import Unit, find_differences
from dealias.evaluation.intervals import find_intervals
from dealias.metrics.functional import figures, pack_margins

REPETITIONS = 1000
IMAGES = 60
PRESENT = np.array([1, 1, 0.95, 0.9, 0.8, 0.6])  # share of the images that have a class
SIZE = np.array([8, 6, 4, 2, 1, 0.5])


def population(number, seed):
    """Margins of images, [N, 3, 4, C]: classes come and go, and some images are hard."""
    rng = np.random.default_rng(seed)
    present = rng.random((number, len(SIZE))) < PRESENT
    area = rng.gamma(2, 1, present.shape) * SIZE * present
    pixels = 20_000 * area / area.sum(1, keepdims=True)
    target = pixels[:, None] * np.array([0.6, 0.05, 0.05, 0.3])[:, None]
    quality = rng.beta(12, 3, (number, 1, 1)) * rng.beta(16, 2, (number, 1, len(SIZE)))
    correct = target * np.clip(quality * np.array([1.1, 0.9, 0.9, 0.95])[:, None], 0, 1)
    taken = (present + 0.02) * SIZE
    wrong = (target - correct).sum(2, keepdims=True) * (taken / taken.sum(1, keepdims=True))[
        :, None
    ]
    margins = np.stack([correct, target, correct + wrong], 1)
    return torch.from_numpy(np.round(margins).astype(np.int64))


@pytest.fixture(scope="module")
def images():
    return population(20_000, seed=1)


def packed(margins):
    return [Unit(pack_margins(image)) for image in margins]


@pytest.mark.slow
def test_intervals_hold_the_truth_95_times_of_100(images):
    truth = figures(images.sum(0))
    rng = np.random.default_rng(2)
    held = torch.zeros_like(truth)
    for _ in range(REPETITIONS):
        drawn = packed(images[rng.integers(len(images), size=IMAGES)])
        found = find_intervals(tuple(drawn), len(SIZE))
        held += (found.low <= truth) & (truth <= found.high)
    shares = held / REPETITIONS
    assert (shares[:, -1] >= 0.93).all(), shares
    assert (shares[:, -1] <= 0.97).all(), shares
    assert (shares[0, :-1] >= 0.92).all(), shares  # IoU by class, the rarest in 60 % of the images


@pytest.mark.slow
def test_a_difference_is_seen_5_times_of_100_where_there_is_none(images):
    rng = np.random.default_rng(3)
    seen = torch.zeros(len(figures(images[0])), len(SIZE) + 1)
    for _ in range(REPETITIONS):
        drawn = images[rng.integers(len(images), size=IMAGES)]
        # Another prediction as good: of the correct pixels of an image, some more or some less.
        sides = [vary(drawn, rng), vary(drawn, rng)]
        p = find_differences(*map(packed, sides), len(SIZE)).p
        seen += p < 0.05
    shares = seen / REPETITIONS
    assert (abs(shares[:, -1] - 0.05) <= 0.015).all(), shares


def vary(margins, rng):
    """Another prediction of the same targets, its errors more or fewer image by image."""
    correct, target, preds = margins.double().unbind(1)
    more = torch.from_numpy(rng.uniform(0.5, 1.3, (len(margins), 1, margins.shape[-1])))
    wrong = (target - correct) * more
    found = torch.stack([target - wrong, target, target - wrong + (preds - correct) * more], 1)
    return found.round().long()
