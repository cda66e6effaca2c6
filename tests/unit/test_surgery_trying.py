"""Networks of which one pass does not tell that a filter after an activation would harm them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dealias
from dealias.surgery import find_downsampling

X = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
REASON = "with a filter after its activation, {} has maps of 32 x 32, not 16 x 16"


def conv(a: int, b: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, stride, 1)


class Net(nn.Module):
    """A stem, a step, and a body; the scores are resized to the image, whatever their size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.bn = conv(3, 8), conv(8, 16, 2), nn.BatchNorm2d(16)
        self.relu, self.body, self.head = nn.ReLU(), conv(16, 16), nn.Conv2d(16, 4, 1)

    def features(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.down(functional.relu(self.stem(x)))))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(functional.relu(self.body(self.features(x))))
        return functional.interpolate(scores, size=x.shape[2:], mode="bilinear")


class Statement(Net):
    """The activation changes its map in place, and what it returns is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def features(self, x: Tensor) -> Tensor:
        y = self.bn(self.down(functional.relu(self.stem(x))))
        self.relu(y)
        return y


class EarlySize(Net):
    """The size of the map is read before its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.act = conv(16, 16, 2), nn.ReLU()

    def features(self, x: Tensor) -> Tensor:
        y = self.down(functional.relu(self.stem(x)))
        size = y.shape[2:]
        return functional.interpolate(self.act(self.second(self.relu(y))), size=size)


class Auxiliary(Net):
    """A head that trains alone shares the activation."""

    def __init__(self) -> None:
        super().__init__()
        self.aux, self.aux_head = conv(16, 16), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor):
        y = self.features(x)
        out = self.head(functional.relu(self.body(y)))
        return (out, self.aux_head(self.relu(self.aux(y)))) if self.training else out


def sizes(net: nn.Module, *, train: bool = False) -> dict[str, tuple[int, ...]]:
    """The shapes of the maps that modules return."""
    found = {}
    for name in ("body", "aux_head"):
        if hasattr(net, name):
            getattr(net, name).register_forward_hook(
                lambda _m, _a, out, name=name: found.update({name: tuple(out.shape)})
            )
    net.train(train)(X)
    return found


@pytest.mark.parametrize(("build", "maker"), [(Statement, "body"), (EarlySize, "body")])
def test_the_step_is_filtered_before_where_the_rest_would_run_on_larger_maps(build, maker):
    net = build().eval()
    mended, report = dealias.dealias(net, X)
    first = report.inserted[0]
    assert (first.site, first.place, first.module) == ("down", "before", "down.dealias_filter")
    assert sizes(mended) == sizes(net)
    with pytest.raises(ValueError, match=f"'down' can't be filtered: {REASON.format(maker)}"):
        dealias.dealias(net, X, place="after", sites=["down"], inplace=True)
    assert net.down.stride == (2, 2)
    assert not [key for module in net.modules() for key in vars(module) if "dealias" in key]


def test_the_other_steps_keep_their_place():
    _, report = dealias.dealias(EarlySize().eval(), X)
    assert [(i.site, i.place) for i in report.inserted] == [("down", "before"), ("second", "after")]
    _, report = dealias.dealias(EarlySize().eval(), X, place="after")
    assert [i.site for i in report.inserted] == ["second"]
    assert [(step.name, step.reason) for step in report.left if step.name == "down"] == [
        ("down", REASON.format("body"))
    ]


def test_a_head_that_trains_alone_keeps_its_map():
    net = Auxiliary()
    mended, report = dealias.dealias(net, X)
    assert report.inserted
    assert sizes(mended, train=True) == sizes(net, train=True)
    assert sizes(mended) == sizes(net)


def test_a_network_that_does_not_train_on_the_example_alone():
    class Detector(Net):
        def forward(self, x: Tensor, targets=None):
            if self.training and targets is None:
                raise ValueError("targets are needed in training")
            return super().forward(x)

    _, report = dealias.dealias(Detector(), X)
    assert [(i.site, i.place) for i in report.inserted] == [("down", "after")]


def test_flags_and_statistics_are_those_of_before():
    net = Net().train()
    net.bn.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    find_downsampling(net, X)
    assert [m.training for m in net.modules()] == [m is not net.bn for m in net.modules()]
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


class Halving(nn.Module):
    """Average pooling by a function, with the stride as an attribute."""

    def __init__(self, prepare) -> None:
        super().__init__()
        self.stride, self.prepare = 2, prepare

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.prepare(x), self.stride)


class Rectified(nn.Conv2d):
    """A 1x1 convolution of what is above zero."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.relu(x))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Halving(nn.Sequential(conv(8, 8), nn.ReLU())), "before"),
        (Halving(nn.Identity()), "after"),
        (nn.LPPool2d(2, 2), "after"),
        (nn.AvgPool2d(2), "after"),
        (nn.Conv2d(8, 8, 1, 2), "after"),
        (Rectified(8, 8, 1, 2), "before"),
    ],
    ids=["not linear", "linear", "root of powers", "mean", "1x1", "1x1 of positive"],
)
def test_only_what_is_linear_is_filtered_at_its_input_instead(step, expected):
    """A filter before it is no other than one after it."""
    net = nn.Sequential(conv(3, 8), step, conv(8, 4))
    (site,) = find_downsampling(net, X)
    assert site.filtered == expected
    mended, report = dealias.dealias(net, X)
    at_input = report.inserted[0].module.endswith("dealias_filter")
    assert at_input == (not isinstance(step, nn.LPPool2d))
    if isinstance(step, nn.LPPool2d):  # its power is not linear: dense, then filtered
        assert mended[1].stride == 1


def test_pooling_of_maps_with_the_channels_last():
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stride = 2

        def forward(self, x: Tensor) -> Tensor:
            return functional.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pool, self.last = conv(3, 8), Last(), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.pool(self.first(x).permute(0, 2, 3, 1)))

    mended, report = dealias.dealias(Whole(), X)
    assert mended.pool.dealias_filter.place.layout == "channels_last"
    assert report.inserted[0].place == "before"


def test_weights_without_values_have_the_places_of_those_with():
    with torch.device("meta"):
        empty = Net()
    plan = find_downsampling(empty, X.to("meta"))
    assert [site.filtered for site in plan] == [s.filtered for s in find_downsampling(Net(), X)]


def test_a_normalisation_before_a_fixed_grid():
    net = nn.Sequential(
        conv(3, 8), nn.ReLU(), conv(8, 8, 2), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(8)
    )
    assert find_downsampling(net, X)["2"].filtered == "before"


def test_an_activation_that_also_takes_the_shortcut():
    class Both(nn.Module):
        def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
            return functional.relu(x if skip is None else x + skip)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.shortcut, self.both = conv(8, 16, 2), nn.Conv2d(8, 16, 1, 2), Both()

        def forward(self, x: Tensor) -> Tensor:
            return self.both(self.conv(x), self.shortcut(x))

    net = nn.Sequential(conv(3, 8), nn.ReLU(), Block(), conv(16, 4))
    _, report = dealias.dealias(net, X)
    assert [i.place for i in report.inserted] == ["before"]


@pytest.mark.parametrize("size", [64, 96, 128])
def test_maps_with_as_many_channels_as_rows_and_columns(size):
    """At 96, the first map of this Swin is 24 x 24 of 24 channels, which come last."""
    transformer = pytest.importorskip("torchvision.models.swin_transformer")
    torch.manual_seed(0)
    net = transformer.SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4]).eval()
    plan = find_downsampling(net, torch.zeros(1, 3, size, size))
    assert plan["features.2"].place.layout == "channels_last"
    assert (plan["features.2"].in_channels, plan["features.2"].out_channels) == (24, 48)


def test_checkpoints_of_the_plain_network_leave_adaptive_blurs_unchanged():
    net = Net()
    mended, report = dealias.dealias(net, X, filter="adaptive_blur")
    path = report.inserted[0].module
    before = {k: v.clone() for k, v in mended.state_dict().items() if k.startswith(path)}
    assert before
    mended.load_state_dict(net.state_dict())
    assert all(torch.equal(mended.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing_options": {"pooling": "official"}}, "mixing_options: is for mixing=True"),
        ({"filter": "blur", "cutoff": 0.1}, "cutoff: filter='blur' has none, and mixing is False"),
        ({"filter": "adaptive_blur", "cutoff": {"down": 0.1}}, "filter='adaptive_blur' has none"),
        ({"cutoff": {"down": 0.1, "stem": 0.1}}, "cutoff: no site 'stem'"),
        ({"filter": None, "sampling": "adaptive", "strength": 0.5}, "strength: is for filters"),
        (
            {"filter": None, "sampling": "adaptive", "filter_options": {"border": "wrap"}},
            "filter_options: is for filters, and filter is None",
        ),
        ({"filter": None, "sampling": "adaptive", "cutoff": 0.1}, "filter=None has none"),
    ],
)
def test_options_for_what_is_not_put_in_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dealias.dealias(Net(), X, **options)


def test_cutoffs_of_sites_that_get_no_filter_are_refused():
    net = nn.Sequential(conv(3, 16, 2), nn.ReLU(), conv(16, 16, 2), nn.ReLU())
    with pytest.raises(ValueError, match="cutoff: nothing is put in at '0'"):
        dealias.dealias(net, X, cutoff={"0": 0.1, "2": 0.2})
