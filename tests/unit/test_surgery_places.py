"""Where filters go by default, and where they are asked to."""

import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dealias
from dealias.spectral import lowpass
from dealias.surgery import find_downsampling

X = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


class Both(nn.Module):
    """A step that an activation follows, and one that is followed by none, as in ConvNeXt."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.act = nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        self.second, self.head = nn.Conv2d(16, 32, 2, 2), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.act(self.first(self.stem(x)))))


def test_by_default_filters_go_after_where_they_can_and_before_elsewhere():
    net, x = Both().eval(), X
    plan = find_downsampling(net, x)
    places = [("first", "after"), ("second", "before")]
    assert [(site.name, site.filtered) for site in plan] == places
    assert (plan["first"].nyquist, round(plan["second"].nyquist, 4)) == (0.25, 0.3536)
    mended, report = dealias.dealias(net, x)
    assert [(item.site, item.place) for item in report.inserted] == places
    assert str(report).endswith("trained weights do not expect filters before steps")
    dense = functional.conv2d(net.stem(x), net.first.weight, net.first.bias, padding=1).relu()
    sampled = lowpass(dense, 0.25, border="reflect")[..., ::2, ::2]
    expected = net.head(net.second(lowpass(sampled, plan["second"].nyquist, border="reflect")))
    torch.testing.assert_close(mended(x), expected)


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({"place": "after"}, [("first", "after")]),
        ({"place": "before"}, [("first", "before"), ("second", "before")]),
        ({"sites": ["second"]}, [("second", "before")]),
        ({"filter": "blur"}, [("first", "after"), ("second", "before")]),
    ],
)
def test_the_places_that_are_asked_for(options, places):
    _, report = dealias.dealias(Both().eval(), X, **options)
    assert [(item.site, item.place) for item in report.inserted] == places


def test_a_filter_goes_before_its_step_where_the_place_after_it_is_taken():
    """The activation runs several times, and what reads it is filtered at its input itself."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()
            self.c0, self.c1 = nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
            self.c2, self.c3 = nn.Conv2d(16, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.c1(self.act(self.c0(self.act(self.stem(x)))))
            return self.c3(self.c2(self.act(x)))

    plan = find_downsampling(Net().eval(), X)
    places = [("c0", "before"), ("c1", "before"), ("c2", "before")]
    assert [(site.name, site.filtered) for site in plan] == places
    _, report = dealias.dealias(Net().eval(), X)
    assert [(item.site, item.place) for item in report.inserted] == places
    assert not report.left


@pytest.mark.parametrize("place", ["before", "after"])
def test_reports_of_pickles_without_a_place(place):
    """As they were before reports had one."""
    _, report = dealias.dealias(Both().eval(), X, sites=["first"], place=place)
    (item,) = report.inserted
    state = {name: value for name, value in vars(item).items() if name != "place"}
    earlier = object.__new__(type(item))
    earlier.__setstate__(state)
    assert earlier == item
    assert pickle.loads(pickle.dumps(item)) == item


def test_a_report_of_filters_after_alone_says_to_test():
    _, report = dealias.dealias(Both().eval(), X, sites=["first"])
    assert str(report).endswith("test the network; if the filters made it worse, train it further")
