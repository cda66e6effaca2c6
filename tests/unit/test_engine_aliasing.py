"""Where a network aliases first."""

import pytest
import torch
from torch import nn

from dealias.engine.aliasing import FirstAliasing
from dealias.probe import pixel_scores
from published import put_in

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


def expected(stem, cutoff):
    with torch.no_grad():
        return pixel_scores(stem(IMAGES), cutoff, (48, 64))


def test_a_plain_network_is_looked_at_where_it_would_be_filtered():
    network = Network()
    found = FirstAliasing(network, IMAGES)
    assert found.site.name == "second"
    torch.testing.assert_close(found(IMAGES), expected(network.stem, 2**0.5 / 4))


@pytest.mark.parametrize("cutoff", ["auto", 0.2])
def test_a_de_aliased_network_is_looked_at_before_its_filter(cutoff):
    network, _ = put_in(Network(), IMAGES, mixing=False, cutoff=cutoff)
    scores = FirstAliasing(network, IMAGES)(IMAGES)
    plain = expected(network.stem, 2**0.5 / 4 if cutoff == "auto" else cutoff)
    torch.testing.assert_close(scores, plain)
    assert scores.max() > 0.05  # there is nothing left behind the filter


def test_the_first_filter_counts_and_the_network_stays_as_it_was():
    network, _ = put_in(Network(), IMAGES, mixing=False, sites=["third"])
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


@pytest.mark.parametrize("cutoff", ["auto", 0.2])
def test_the_de_aliased_part_of_a_network_is_found(cutoff):
    whole = nn.Sequential(nn.Identity(), Network())
    put_in(whole[1], IMAGES, mixing=False, cutoff=cutoff, sites=["third"], inplace=True)
    found = FirstAliasing(whole, IMAGES)
    assert found.site.name == "1.third"
    assert found.cutoff == pytest.approx(2**0.5 / 4 if cutoff == "auto" else cutoff)
    assert found(IMAGES).shape == (2, 48, 64)


def test_mixing_alone_is_no_filter():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
            self.same = nn.Conv2d(32, 32, 3, padding=1)

        def forward(self, x):
            return self.second(x) + self.same(self.second(x))

    network = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), Block())
    first = FirstAliasing(network, IMAGES).site
    assert first.name == "1"
    mixed, report = put_in(network, IMAGES, filter=None)
    assert {item.kind for item in report.inserted} == {"mixing"}
    assert FirstAliasing(mixed, IMAGES).site == first


def test_the_filter_of_a_sequence_hangs_on_its_first_child():
    class Split(nn.Module):
        def forward(self, x):
            return x.flatten(2)

    class Join(nn.Module):
        def forward(self, x):
            x = x.unflatten(2, (24, 32))
            return x[:, :, ::2, ::2]

    network = nn.Sequential(Network().stem, nn.Sequential(Split(), Join()))
    mended, report = put_in(network, IMAGES, mixing=False)
    assert [(item.site, item.module) for item in report.inserted] == [("1", "1.0.dealias_filter")]
    found = FirstAliasing(mended, IMAGES)
    torch.testing.assert_close(found(IMAGES), expected(network[0], 0.25))
