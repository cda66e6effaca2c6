"""Filters that compute only the samples that are taken of their map."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dealias
from dealias.layers import (
    AdaptiveBlur,
    BlurFilter,
    DealiasingFilter,
    PartialFilter,
    Subsample,
    filter_sampled,
)
from dealias.surgery import find_downsampling

FILTERS = {
    "ideal": DealiasingFilter(0.25, border="reflect"),
    "along the columns": DealiasingFilter((0.5, 0.2)),
    "along the rows": DealiasingFilter((0.2, 0.5)),
    "nothing": DealiasingFilter(0.5),
    "cosine": DealiasingFilter(0.3, transfer="raised_cosine"),
    "fft": DealiasingFilter(0.3, backend="fft"),
    "complex": DealiasingFilter(0.3, band_edge="official"),
    "blur": BlurFilter(),
    "even blur": BlurFilter(size=4),
    "adaptive blur": AdaptiveBlur(8).double(),
    "a part": PartialFilter(DealiasingFilter(0.25), 0.3),
    "a learned part": PartialFilter(BlurFilter(), "learned", channels=8),
}
SAMPLES = {
    "2": Subsample((2, 2)),
    "3x2": Subsample((3, 2)),
    "same 3": Subsample((2, 2), (3, 3)),
    "same 5": Subsample((2, 2), (5, 5)),
}


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_samples_are_those_of_the_whole_map(name, sample, layout):
    for size in ((16, 19), (17, 12)):
        x = torch.randn(2, 8, *size, dtype=torch.float64).contiguous(memory_format=layout)
        whole, fewer = x.requires_grad_(), x.detach().clone().requires_grad_()
        expected = SAMPLES[sample](FILTERS[name](whole))
        found = filter_sampled(FILTERS[name], fewer, SAMPLES[sample])
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, atol=1e-10)
        expected.square().sum().backward()
        found.square().sum().backward()
        assert torch.allclose(fewer.grad, whole.grad, atol=1e-10)


def test_fewer_products_are_computed():
    x = torch.randn(1, 1, 64, 64)

    def operations(run):
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    filtered, sample = DealiasingFilter(0.25), Subsample((2, 2))
    whole = operations(lambda: sample(filtered(x)))
    assert operations(lambda: filtered(x, sample)) == whole * 3 / 8


def test_under_autocast_the_dtype_is_that_of_the_map():
    x = torch.randn(1, 4, 16, 16, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = DealiasingFilter(0.25)(x, Subsample((2, 2)))
        assert DealiasingFilter(0.25)(x.float(), Subsample((2, 2))).dtype == torch.float32
    assert found.dtype == torch.bfloat16


def test_a_plan_and_hooks_see_the_filtered_map():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3))
    x = torch.randn(1, 3, 33, 48)
    deep = nn.Sequential(nn.Conv2d(3, 3, 1), net)
    mended, _ = dealias.dealias(deep, x, filter_options={"border": "wrap"})
    plan = find_downsampling(mended, x)
    assert plan.names == ("1.1.dealias_sampling.sample",)
    expected, seen = mended(x), []
    sampling = mended[1][1].dealias_sampling
    sampling.sample.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert torch.allclose(mended(x), expected, atol=1e-5)
    dense = nn.functional.conv2d(mended[0](x), net[0].weight, net[0].bias, padding=1).relu()
    assert torch.allclose(seen[0], DealiasingFilter(0.25)(dense), atol=1e-5)
