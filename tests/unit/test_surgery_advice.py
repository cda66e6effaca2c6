"""Plans and reports say why something was left, and what to do."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as the advice writes it

import dealias
from dealias.surgery import find_downsampling

IMAGE = torch.zeros(1, 3, 32, 32)
WEIGHT = torch.ones(16, 8, 3, 3)
STEPS = {
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), nn.MaxPool2d(2)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), nn.AvgPool2d(2)),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=0.5), nn.Upsample(scale_factor=0.5)),
    "conv2d": (lambda x: F.conv2d(x, WEIGHT, stride=2, padding=1), nn.Conv2d(8, 16, 3, 2, 1)),
}


class Network(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.step = step
        self.last = nn.LazyConv2d(4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)  # without it, the network would be the unit of the step
        self(IMAGE)

    def forward(self, x):
        return self.pool(self.last(self.step(self.first(x).relu()).relu()))


@pytest.mark.parametrize("name", STEPS)
def test_the_module_that_a_function_is_to_be_replaced_by_is_filtered(name):
    function, module = STEPS[name]
    left, _ = find_downsampling(Network(function), IMAGE)
    assert not left.filtered
    assert f"; replace F.{name} by nn.{type(module).__name__}" in left.reason
    site, _ = find_downsampling(Network(module), IMAGE)
    assert site.name == "step"
    assert site.filtered


def test_slices_have_no_module():
    left, _ = find_downsampling(Network(lambda x: x[..., ::2, ::2]), IMAGE)
    assert "no module to put a filter before" in left.reason
    assert "replace" not in left.reason


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


def test_why_nothing_was_mixed():
    plain = Network(nn.MaxPool2d(2))
    _, report = dealias.dealias(plain, IMAGE, place="before", mixing=True)
    assert re.search(r"left: \(mixing\): no residual unit after a filtered step", str(report))
    _, report = dealias.dealias(plain, IMAGE, place="before")
    assert "mixing" not in str(report)
    residual = Network(nn.Sequential(nn.MaxPool2d(2), Residual()))
    _, report = dealias.dealias(residual, IMAGE, place="before", mixing=True)
    assert "(mixing)" not in str(report)
