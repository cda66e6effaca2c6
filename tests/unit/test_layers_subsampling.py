"""A strided module is the same module at stride 1, subsampled."""

import itertools

import pytest
import torch
from torch import nn

from dealias.layers import Subsample

SIZES = [(9, 12), (12, 9), (16, 16), (17, 23), (18, 19)]


def map_of(size, channels=2):
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))


def check(strided: nn.Module, stride, same=None, sizes=SIZES):
    sample = Subsample(stride, same)
    with torch.no_grad():
        expected = [strided(map_of(size)) for size in sizes]
        strided.stride = (1, 1)
        for size, once in zip(sizes, expected, strict=True):
            torch.testing.assert_close(sample(strided(map_of(size))), once)


@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_convolutions(kernel, stride, dilation):
    extent = dilation * (kernel - 1) + 1
    for padding in {0, extent // 2, extent - 1}:
        sizes = [size for size in SIZES if min(size) + 2 * padding >= extent]
        conv = nn.Conv2d(2, 3, kernel, stride=stride, padding=padding, dilation=dilation)
        check(conv, (stride, stride), sizes=sizes)


@pytest.mark.parametrize("stride", [(2, 1), (1, 2), (3, 2)])
def test_strides_that_differ_by_axis(stride):
    check(nn.Conv2d(2, 3, (3, 5), stride=stride, padding=(1, 2)), stride)


@pytest.mark.parametrize(("kernel", "stride"), list(itertools.product((2, 3, 5), (2, 3))))
def test_pooling(kernel, stride):
    for padding in {0, kernel // 2}:
        check(nn.MaxPool2d(kernel, stride, padding), (stride, stride))
        check(nn.AvgPool2d(kernel, stride, padding), (stride, stride))


@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_padding_that_depends_on_the_stride(kernel, stride, dilation):
    layers = pytest.importorskip("timm.layers")
    conv = layers.Conv2dSame(2, 3, kernel, stride=stride, dilation=dilation)
    extent = dilation * (kernel - 1) + 1
    check(conv, (stride, stride), (extent, extent))


def test_padding_that_depends_on_the_stride_and_differs_by_axis():
    layers = pytest.importorskip("timm.layers")
    check(layers.Conv2dSame(2, 3, (3, 6), stride=(2, 3)), (2, 3), (3, 6))


def test_the_first_sample_counts_without_padding_that_depends_on_the_stride():
    x = torch.arange(35.0).reshape(1, 1, 5, 7)
    assert Subsample((2, 3))(x)[0, 0].tolist() == [[0, 3, 6], [14, 17, 20], [28, 31, 34]]
    # A kernel of 3 on 8 columns pads only at the right; on 7, at both sides.
    assert Subsample((1, 2), (3, 3))(torch.arange(8.0)[None])[0].tolist() == [1, 3, 5, 7]
    assert Subsample((1, 2), (3, 3))(torch.arange(7.0)[None])[0].tolist() == [0, 2, 4, 6]


def test_it_shows_what_it_takes():
    assert repr(Subsample((2, 2))) == "Subsample(stride=(2, 2))"
    assert repr(Subsample((2, 2), (3, 3))) == "Subsample(stride=(2, 2), same=(3, 3))"
