"""Modules that a network runs at several steps."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn

from dealias.layers import BlurFilter
from dealias.probe import (
    LoadedNetwork,
    capture_maps,
    first_filtered,
    image_paths,
    measure_aliasing,
    read_image,
)
from dealias.spectral import aliasing_score, lowpass
from dealias.surgery import find_downsampling, find_mixing
from published import put_in

X = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class UNet(nn.Module):
    """An encoder of three levels with one pooling module; no step before the first pooling."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.levels = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 8), (8, 16), (16, 32))
        )
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor, reduce=lambda x: x) -> Tensor:
        x = self.levels[0](x).relu()
        for level in self.levels[1:]:
            x = level(self.pool(reduce(x))).relu()
        return x


class Resize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(8, 12), mode="bilinear")


def test_the_plan_says_that_a_module_is_shared():
    plan = find_downsampling(UNet(), X)
    assert plan.names == ("pool",)
    first, second = plan["pool"].uses
    assert (first.name, second.name) == ("pool", "pool#2")
    assert (first.call, second.call) == (0, 1)
    assert (first.in_channels, second.in_channels) == (8, 16)
    assert (first.input_size, second.input_size) == ((64, 96), (32, 48))
    text = str(plan)
    assert "pool (shared, 2 uses)" in text
    assert "8 -> 8, 16 -> 16" in text
    assert "64x96 -> 32x48, 32x48 -> 16x24" in text
    (single,) = find_downsampling(nn.MaxPool2d(2), X)
    assert single.uses == (single,)
    assert "shared" not in str(single.row)


@pytest.mark.parametrize(
    ("name", "reduce"),
    [
        ("daf", lambda x: lowpass(x, 0.25)),
        ("blur", lambda x: BlurFilter(x.shape[1])(x)),
    ],
)
def test_one_filter_serves_every_use(name, reduce):
    net = UNet()
    mended, report = put_in(net, X, filter=name)
    assert [item.module for item in report.inserted] == ["pool.dealias_filter"]
    torch.testing.assert_close(mended(X), net(X, reduce))


def test_adaptive_blur_is_left_where_channels_differ():
    reason = "one module for maps of 8 and 16 channels"
    with pytest.raises(ValueError, match=f"nothing to put in(.|\n)*left: pool: {reason}"):
        put_in(UNet(), X, filter="adaptive_blur")
    with pytest.raises(ValueError, match=f"sites: 'pool' can't be filtered: {reason}"):
        put_in(UNet(), X, filter="adaptive_blur", sites=["pool"])
    net = nn.Sequential(UNet(), nn.AvgPool2d(2))
    _, report = put_in(net, X, filter="adaptive_blur")
    assert [item.site for item in report.inserted] == ["1"]
    assert ("0.pool", reason) in {(step.name, step.reason) for step in report.left}

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.pool(x))

    x = torch.randn(1, 8, 32, 48)
    mended, _ = put_in(Twice(), x, filter="adaptive_blur")
    blur = BlurFilter(8)
    expected = F.avg_pool2d(blur(F.avg_pool2d(blur(x), 2)), 2)
    torch.testing.assert_close(mended(x), expected)  # it starts as a blur


def test_uses_of_different_nyquist_frequencies_have_no_filter_in_common():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.resize = Resize()
            self.last = nn.Conv2d(6, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.last(torch.cat([self.resize(x), self.resize(x[..., ::2, ::2])], 1))

    plan = find_downsampling(Net(), X)
    # Two taps in place of eight, and of four: half of 1 / 8 and of 1 / 4.
    assert [use.nyquist for use in plan["resize"].uses] == [0.0625, 0.125]
    assert plan["resize"].reason == "one module for steps of Nyquist frequencies 0.062 and 0.125"
    _, report = put_in(Net(), X, sites=["resize"])
    assert report.inserted[0].cutoff == 0.0625  # the lowest
    _, report = put_in(Net(), X, sites=["resize"], cutoff=0.2)
    assert report.inserted[0].cutoff == 0.2


def test_one_use_that_needs_a_filter_is_enough():
    class Net(nn.Module):
        """The first pooling is one step with the convolution of the image; the second is not."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3)
            self.pool = nn.MaxPool2d(2)
            self.conv = nn.Conv2d(64, 64, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.conv(self.pool(self.stem(x))))

    site = find_downsampling(Net(), X)["pool"]
    assert site.reason == ""
    assert [bool(use.reason) for use in site.others] == [False]


def test_a_map_in_another_argument_has_no_place():
    class Pool(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.avg_pool2d(x, 2)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.pool = Pool()

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(x=self.pool(self.conv(x)))

    site = find_downsampling(Net(), X)["pool"]
    assert site.place is None
    assert site.reason == "takes the map in different ways from one call to the next"


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Levels(nn.Module):
    """A residual unit after two steps."""

    def __init__(self, second: nn.Module, units: int):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.first = nn.MaxPool2d(2)
        self.second = second
        self.units = nn.ModuleList(Residual() for _ in range(units))

    def forward(self, x: Tensor) -> Tensor:
        x = self.units[0](self.first(self.stem(x)))
        return self.units[-1]((self.second or self.first)(x))


def test_mixing_in_a_shared_unit():
    same = find_mixing(Levels(nn.MaxPool2d(2), 1), X)
    assert same.names == ("units.0.conv",)
    assert same.excluded == ()
    other = find_mixing(Levels(nn.MaxPool2d(3, stride=3), 1), X)
    assert other.names == ()
    reason = "one module after steps of Nyquist frequencies 0.250 and 0.167"
    assert [(step.name, step.reason) for step in other.excluded] == [("units.0.conv", reason)]
    _, report = put_in(Levels(nn.MaxPool2d(3, stride=3), 1), X)
    assert "units.0.conv" in {step.name for step in report.left}


def test_mixing_follows_every_use_of_a_shared_step():
    plan = find_mixing(Levels(None, 2), X)
    assert plan.names == ("units.0.conv", "units.1.conv")
    assert {site.after for site in plan} == {"first"}


def test_the_probe_tells_uses_apart(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in ("a.png", "b.png"):
        pixels = torch.randint(0, 256, (64, 96, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
    paths, network = image_paths(tmp_path), LoadedNetwork(UNet().eval())
    plan, results = measure_aliasing(network, paths, bins=4)
    assert [result.site.name for result in results] == ["pool", "pool#2"]
    expected = {"pool": [], "pool#2": []}
    with torch.no_grad():
        for path in paths:
            x = network.model.levels[0](network.arguments(read_image(path))).relu()
            y = network.model.levels[1](F.max_pool2d(x, 2)).relu()
            for name, entered in (("pool", x), ("pool#2", y)):
                expected[name].append(aliasing_score(entered, 0.25).item())
    assert {r.site.name: list(r.scores) for r in results} == {
        name: pytest.approx(scores) for name, scores in expected.items()
    }
    assert results[0].score != pytest.approx(results[1].score, rel=0.01)
    assert [result.to_dict()["in_channels"] for result in results] == [8, 16]
    maps = capture_maps(network, plan, read_image(paths[0]))
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "pool": (1, 8, 64, 96),
        "pool#2": (1, 16, 32, 48),
    }
    assert first_filtered(plan).name == "pool"
