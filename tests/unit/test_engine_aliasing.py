"""Where a network aliases first."""

import pytest
import torch
from torch import nn

import dealias
from dealias.engine.aliasing import FirstAliasing
from dealias.probe import pixel_scores

IMAGES = torch.rand(2, 3, 48, 64)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)  # its Nyquist frequency is 0.5
        self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.third = nn.Conv2d(32, 64, 3, stride=2, padding=1)

    def forward(self, x):
        return self.third(self.second(self.stem(x)))


def expected(network, cutoff):
    with torch.no_grad():
        return pixel_scores(network.stem(IMAGES), cutoff, (48, 64))


def test_a_plain_network_is_looked_at_where_it_would_be_filtered():
    network = Network()
    found = FirstAliasing(network, IMAGES)
    assert found.site.name == "second"
    torch.testing.assert_close(found(IMAGES), expected(network, 2**0.5 / 4))


@pytest.mark.parametrize("cutoff", ["auto", 0.2])
def test_a_de_aliased_network_is_looked_at_before_its_filter(cutoff):
    network, _ = dealias.dealias(Network(), IMAGES, mixing=False, cutoff=cutoff)
    scores = FirstAliasing(network, IMAGES)(IMAGES)
    plain = expected(network, 2**0.5 / 4 if cutoff == "auto" else cutoff)
    torch.testing.assert_close(scores, plain)
    assert scores.max() > 0.05  # there is nothing left behind the filter


def test_the_first_filter_counts_and_the_network_stays_as_it_was():
    network, _ = dealias.dealias(Network(), IMAGES, mixing=False, sites=["third"])
    before = network(IMAGES)
    found = FirstAliasing(network, IMAGES)
    assert found.site.name == "third"
    assert found(IMAGES).shape == (2, 48, 64)
    assert torch.equal(network(IMAGES), before)


def test_a_network_that_needs_no_filter_has_no_scores():
    network = nn.Conv2d(3, 16, 3, stride=2, padding=1)
    found = FirstAliasing(network, IMAGES)
    assert found.site is None
    assert found(IMAGES) is None
