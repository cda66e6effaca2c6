"""Plans worked by hand: which steps are found, which module each belongs to, at what rate."""

from dataclasses import replace
from math import sqrt

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import dealias
from dealias.spectral import lowpass
from dealias.surgery import Place, find_downsampling

X = torch.randn(1, 8, 16, 24)


class Function(nn.Module):
    """A function as a module, so that it is a unit."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Block(nn.Module):
    """A residual block: two branches and a sum."""

    def __init__(self, shortcut):
        super().__init__()
        self.narrow = nn.Conv2d(8, 4, 1)
        self.conv = nn.Conv2d(4, 16, 3, stride=2, padding=1)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.narrow(x)) + self.shortcut(x)


class Merging(nn.Module):
    """Merging of patches (B, H, W, C) as in Swin, of tokens where the size comes along."""

    def __init__(self):
        super().__init__()
        self.reduction = nn.Linear(32, 16)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if size is not None:
            x = x.view(x.shape[0], *size, x.shape[2])
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        phases = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        x = self.reduction(torch.cat(phases, -1))
        return x if size is None else x.flatten(1, 2)


class MergingByReshape(Merging):
    """The same without slices."""

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        height, width = size or x.shape[1:3]
        x = x.reshape(x.shape[0], height // 2, 2, width // 2, 2, 8).permute(0, 1, 3, 4, 2, 5)
        x = self.reduction(x.flatten(3))
        return x if size is None else x.flatten(1, 2)


@pytest.mark.parametrize(
    ("module", "kind", "kernel", "stride", "esr"),
    [
        (nn.Conv2d(8, 16, 3, stride=2, padding=1), "convolution", 3, 2, sqrt(2) / 2),
        (nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), "convolution", 3, 2, 0.5),
        (nn.Conv2d(8, 128, 2, stride=2), "patch_embedding", 2, 2, 1.0),
        (nn.MaxPool2d(3, 2, 1), "max_pool", 3, 2, 0.5),
        (nn.AvgPool2d(2), "avg_pool", 2, 2, 0.5),
        (nn.PixelUnshuffle(2), "pixel_unshuffle", 2, 2, 1.0),
        (Function(lambda x: F.max_pool2d(x, 1, 2)), "max_pool", 1, 2, 0.5),
        (Function(lambda x: x[:, :, ::2, ::2]), "slicing", 1, 2, 0.5),
        (Function(lambda x: F.avg_pool2d(x, 4)), "avg_pool", 4, 4, 0.25),
        (
            nn.Conv2d(8, 16, 3, 2, 2, dilation=2, padding_mode="circular"),
            "convolution",
            3,
            2,
            sqrt(2) / 2,
        ),
    ],
)
def test_a_single_step(module, kind, kernel, stride, esr):
    plan = find_downsampling(nn.Sequential(nn.Identity(), module), X)
    (site,) = plan
    assert (site.name, site.kind) == ("1", kind)
    assert (site.kernel, site.stride) == ((kernel, kernel), (stride, stride))
    assert site.esr == pytest.approx(esr)
    assert site.nyquist == pytest.approx(esr / 2)
    assert (site.input_size, site.output_size) == ((16, 24), (16 // stride, 24 // stride))
    assert site.place == Place("channels_first", 0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_interpolation_has_the_ratio_of_the_sizes_as_stride(mode):
    shrink = Function(lambda x: F.interpolate(x, size=(12, 16), mode=mode))
    (site,) = find_downsampling(nn.Sequential(nn.Conv2d(8, 8, 1), shrink, nn.Conv2d(8, 8, 1)), X)
    assert site.kind == "interpolation"
    assert site.stride == pytest.approx((4 / 3, 3 / 2))
    assert site.esr == pytest.approx((3 / 4, 2 / 3))


def test_axes_may_differ():
    (site,) = find_downsampling(nn.Conv2d(8, 8, (3, 1), stride=(2, 1), padding=(1, 0)), X)
    assert (site.name, site.kernel, site.stride) == ("", (3, 1), (2, 1))
    assert (site.esr, site.nyquist) == ((0.5, 1.0), (0.25, 0.5))


@pytest.mark.parametrize(
    "shortcut",
    [
        nn.Conv2d(8, 16, 1, stride=2),
        nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(8, 16, 1)),
        Function(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))),
    ],
)
def test_branches_of_a_residual_block_count_once(shortcut):
    (site,) = find_downsampling(nn.Sequential(Block(shortcut)), X)
    assert (site.name, site.kernel, site.stride) == ("0", (3, 3), (2, 2))
    assert (site.in_channels, site.out_channels, site.step) == (8, 16, "0.conv")
    assert site.nyquist == pytest.approx(sqrt(2) / 4)


def test_steps_one_after_the_other_stay_apart():
    net = nn.Sequential(
        nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.MaxPool2d(2), nn.MaxPool2d(2)
    )
    assert find_downsampling(net, X).names == ("0", "2", "3")


@pytest.mark.parametrize("merging", [Merging(), MergingByReshape()])
def test_patch_merging(merging):
    (site,) = find_downsampling(merging, X.permute(0, 2, 3, 1))
    assert (site.kind, site.kernel, site.stride) == ("patch_merging", (2, 2), (2, 2))
    assert (site.in_channels, site.out_channels) == (8, 16)
    assert site.place == Place("channels_last", 0)
    tokens = X.flatten(2).mT
    (site,) = find_downsampling(merging, (tokens, (16, 24)))
    assert (site.place, site.input_size, site.output_size) == (
        Place("tokens", 0, 1),
        (16, 24),
        (8, 12),
    )
    assert site.esr == pytest.approx(sqrt(2) / 2)


@pytest.mark.parametrize("size", [(15, 24), (16, 23), (15, 23)])
def test_patch_merging_of_a_map_that_is_padded(size):
    maps = X[..., : size[0], : size[1]]
    (site,) = find_downsampling(Merging(), maps.permute(0, 2, 3, 1))
    assert (site.name, site.kind, site.kernel) == ("", "patch_merging", (2, 2))
    assert site.nyquist == pytest.approx(sqrt(2) / 4)
    assert (site.place, site.input_size) == (Place("channels_last", 0), size)
    (tokens,) = find_downsampling(Merging(), (maps.flatten(2).mT, size))
    assert tokens == replace(site, place=Place("tokens", 0, 1))


def test_a_convolution_without_padding_is_no_step():
    assert len(find_downsampling(nn.Conv2d(8, 8, 3), X[..., :4, :4])) == 0


def test_steps_and_an_enlargement_are_no_step_of_the_module_around_them():
    shrink = [nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)]
    net = nn.Sequential(*shrink, Function(lambda x: F.interpolate(x, size=(5, 8))))
    assert find_downsampling(nn.Sequential(net), X).names == ("0.0", "0.1", "0.2")


def test_context_is_no_site():
    class Context(nn.Module):
        def __init__(self):
            super().__init__()
            self.grid = nn.AdaptiveAvgPool2d(3)
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1))

        def forward(self, x: Tensor) -> Tensor:
            x = F.interpolate(x, scale_factor=0.5)
            x = x * self.gate(x)
            return F.avg_pool2d(x, x.shape[2:]) + x + F.interpolate(self.grid(x), x.shape[2:])

    plan = find_downsampling(Context(), X)
    assert len(plan) == 0
    reasons = {(e.name, e.kind): e.reason for e in plan.excluded}
    assert set(reasons) == {
        ("", "interpolation"),
        ("gate.0", "global_pool"),
        ("", "avg_pool"),
        ("grid", "adaptive_pool"),
    }
    assert "3 x 3" in reasons["grid", "adaptive_pool"]


def test_resizing_of_results_is_no_site():
    net = nn.Sequential(nn.Conv2d(8, 8, 1), Function(lambda x: F.interpolate(x, size=(4, 6))))
    plan = find_downsampling(net, X)
    assert len(plan) == 0
    assert plan.excluded[0].reason == "resizes a result, after every layer"


@pytest.mark.parametrize(
    ("shrink", "kernel"),
    [
        (Function(lambda x: F.interpolate(x, scale_factor=0.5, mode="area")), (2, 2)),
        (Function(lambda x: F.adaptive_avg_pool2d(x, (8, 12))), (2, 2)),
        (nn.AdaptiveMaxPool2d((8, 12)), (2, 2)),
        (nn.AdaptiveAvgPool2d((5, 9)), (4, 3)),
    ],
)
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_adaptive_pooling_to_a_map_is_a_step(shrink, kernel, padding):
    after = nn.Conv2d(8, 8, 3, padding=1, padding_mode=padding)
    (site,) = find_downsampling(nn.Sequential(nn.Conv2d(8, 8, 1), shrink, after), X)
    assert (site.name, site.kind, site.kernel) == ("1", "adaptive_pool", kernel)
    assert site.stride == pytest.approx((16 / site.output_size[0], 24 / site.output_size[1]))
    assert site.place == Place("channels_first", 0)


def test_steps_of_a_given_size_and_along_one_axis_are_filtered():
    pool, half = nn.AdaptiveAvgPool2d((8, 12)), Function(lambda x: x[:, :, ::2])
    net = nn.Sequential(nn.Conv2d(8, 8, 1), pool, nn.Conv2d(8, 8, 3), half, nn.Conv2d(8, 8, 3))
    mended, report = dealias.dealias(net, X)
    cutoffs = [(item.site, item.place, item.cutoff) for item in report.inserted]
    assert cutoffs == [("1", "before", 0.25), ("3", "before", (0.25, 0.5))]
    x = net[2](pool(lowpass(net[0](X), 0.25, border="reflect")))
    expected = net[4](half(lowpass(x, (0.25, 0.5), border="reflect")))
    torch.testing.assert_close(mended(X), expected)


class Grid(nn.Module):
    """Adaptive pooling to a grid, layers on it, and what is made of their map."""

    def __init__(self, cells, layer: nn.Module, back: bool):
        super().__init__()
        self.first, self.pool = nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(cells)
        self.layer, self.back = layer, back

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        grid = self.layer(self.pool(x))
        return x + F.interpolate(grid, x.shape[2:]) if self.back else grid


@pytest.mark.parametrize(
    ("cells", "kernel", "back", "step"),
    [
        (6, 1, False, False),  # the head of a classifier
        (6, 1, True, False),  # pyramid pooling
        (6, 3, True, False),
        (6, 3, False, True),
        (12, 1, True, False),
        (12, 3, True, True),  # the bottleneck of a U-Net
        (12, 1, False, True),
        ((1, 24), (1, 3), True, False),  # strip pooling
    ],
)
def test_a_small_grid_or_one_that_is_enlarged_back_is_context(cells, kernel, back, step):
    plan = find_downsampling(Grid(cells, nn.Conv2d(8, 8, kernel, padding="same"), back), X)
    assert plan.names == (("pool",) if step else ())
    assert step or plan.excluded[0].reason.endswith("cells, as context")


def test_a_convolution_on_the_enlarged_map_is_none_on_the_grid():
    """Seven cells of a map of eight rows: the convolution's padding does not make it eight."""
    net = nn.Sequential(Grid((7, 7), nn.Conv2d(8, 8, 1), True), nn.Conv2d(8, 8, 3, padding=1))
    plan = find_downsampling(net, X[..., :8, :8])
    assert len(plan) == 0
    assert plan.excluded[0].reason == "pools to a grid of 7 x 7 cells, as context"


@pytest.mark.parametrize(
    ("function", "stride", "size"),
    [
        (lambda x: x[:, :, ::2], (2, 1), (8, 24)),
        (lambda x: x[..., ::3], (1, 3), (16, 8)),
        (lambda x: x.permute(0, 2, 3, 1)[:, ::2].permute(0, 3, 1, 2), (2, 1), (8, 24)),
        (lambda x: x.permute(0, 2, 3, 1)[:, :, ::2].permute(0, 3, 1, 2), (1, 2), (16, 12)),
    ],
)
@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_a_slice_along_one_axis(function, stride, size, padding):
    after = nn.Conv2d(8, 8, 3, padding=1, padding_mode=padding)
    (site,) = find_downsampling(nn.Sequential(nn.Conv2d(8, 8, 1), Function(function), after), X)
    assert (site.name, site.kind, site.stride) == ("1", "slicing", stride)
    assert (site.input_size, site.output_size) == ((16, 24), size)
    assert (site.in_channels, site.out_channels) == (8, 8)
    assert site.nyquist == tuple(0.5 / s for s in stride)


def test_slices_along_one_axis_after_another():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x[:, :, ::2])[..., ::2])

    plan = find_downsampling(nn.Sequential(nn.Conv2d(8, 8, 1), Net(), nn.Conv2d(8, 8, 1)), X)
    assert plan.names == ("1:slicing", "1:slicing#2")
    assert [site.stride for site in plan] == [(2, 1), (1, 2)]


def test_slices_along_both_axes_of_a_module_are_its_step():
    function = Function(lambda x: F.relu(x[:, :, ::2])[..., ::2])
    (site,) = find_downsampling(nn.Sequential(function, nn.Conv2d(8, 8, 3, padding=1)), X)
    assert (site.name, site.stride) == ("0", (2, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, ::2].repeat(1, 2, 1, 1),
        lambda x: torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(3),  # rotary embedding
        lambda x: torch.cat([x.mT[..., ::2], x.mT[..., 1::2]], -1).mT,
    ],
)
def test_slices_of_channels_are_no_step(function):
    plan = find_downsampling(nn.Sequential(Function(function), nn.Conv2d(8, 8, 3, padding=1)), X)
    assert len(plan) + len(plan.excluded) == 0
    # Height, width and channels of a size: a slice of channels looks like one of rows.
    cube = torch.randn(1, 16, 8, 8)
    split = nn.Sequential(Function(lambda x: x[:, ::2]), nn.Conv2d(8, 8, 3, padding=1))
    assert len(find_downsampling(split, cube)) == 0


class Attention(nn.Module):
    """Attention of each pixel of a map to those of a smaller one."""

    def __init__(self, attend, reduce, before=None):
        super().__init__()
        self.attend, self.reduce, self.before = attend, reduce, before or nn.Identity()
        self.softmax = nn.Softmax(-1)
        self.multihead = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.before(x)
        queries, keys = maps.flatten(2).mT, self.reduce(maps).flatten(2).mT
        result = self.attend(self, queries, keys).mT.unflatten(2, maps.shape[2:])
        return F.interpolate(result, x.shape[2:])


def by_einsum(_: nn.Module, queries: Tensor, keys: Tensor) -> Tensor:
    weights = torch.einsum("bqc,bkc->bqk", queries, keys).softmax(-1)
    return torch.einsum("bqk,bkc->bqc", weights, keys)


ATTENTIONS = {
    "fused": lambda _, q, k: F.scaled_dot_product_attention(q[:, None], k[:, None], k[:, None])[0],
    "composite": lambda _, q, k: F.scaled_dot_product_attention(q, k, k),
    "a softmax module": lambda self, q, k: self.softmax((q @ k.mT) * 0.5 + 1) @ k,
    "einsum": by_einsum,
    "keys first": lambda _, q, k: (k.mT @ (k @ q.mT).softmax(1)).mT,
    "matrices": lambda _, q, k: ((q[0] @ k[0].mT).softmax(-1) @ k[0])[None],
    "multihead": lambda self, q, k: self.multihead(q, k, k)[0],
}
THINNED = "thins out the keys and values of an attention that keeps the resolution"


@pytest.mark.parametrize("attend", ATTENTIONS.values(), ids=ATTENTIONS)
@pytest.mark.parametrize(
    "reduce", [nn.Conv2d(8, 8, 2, stride=2), nn.AdaptiveAvgPool2d(10), lambda x: F.max_pool2d(x, 2)]
)
def test_keys_and_values_of_an_attention_are_no_site(attend, reduce):
    net = nn.Sequential(nn.Conv2d(8, 8, 1), Attention(attend, reduce))
    plan = find_downsampling(net, X)
    assert len(plan) == 0
    assert [step.reason for step in plan.excluded] == [THINNED]


@pytest.mark.parametrize("attend", ATTENTIONS.values(), ids=ATTENTIONS)
def test_a_step_of_queries_and_keys_is_a_site(attend):
    before, reduce = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.MaxPool2d(2)
    plan = find_downsampling(
        nn.Sequential(nn.Conv2d(8, 8, 1), Attention(attend, reduce, before)), X
    )
    assert plan.names == ("1.before",)
    assert [(step.name, step.reason) for step in plan.excluded] == [("1.reduce", THINNED)]


def test_weights_that_are_no_product_may_be_of_an_attention():
    class Outlook(nn.Module):
        """Each window of a map is weighted by what layers make of its centre, as in VOLO."""

        def __init__(self):
            super().__init__()
            self.unfold, self.weights = nn.Unfold(3, padding=1, stride=2), nn.Conv2d(8, 81, 1, 2)

        def forward(self, x: Tensor) -> Tensor:
            windows = self.unfold(x).unflatten(1, (8, 9)).permute(0, 3, 2, 1)
            weights = self.weights(x).flatten(2).mT.unflatten(2, (9, 9)).softmax(-1)
            windows = (weights @ windows).permute(0, 3, 2, 1).flatten(1, 2)
            return F.fold(windows, x.shape[2:], 3, padding=1, stride=2)

    plan = find_downsampling(nn.Sequential(nn.Conv2d(8, 8, 1), Outlook()), X)
    assert len(plan) == 0
    assert {step.reason for step in plan.excluded} == {THINNED}


class Gate(nn.Module):
    """A map of half the size, weighted by a softmax, and enlarged back."""

    def __init__(self, gate):
        super().__init__()
        self.down, self.layer = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Linear(8, 8)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.gate(self.layer, self.down(x)), x.shape[2:])


def one_of_two(layer: nn.Module, x: Tensor) -> Tensor:
    weights = F.softmax(layer(x.mean((2, 3)))[:, :2], 1)
    return torch.einsum("bk,bkchw->bchw", weights, torch.stack([x, -x], 1))


def by_pixel(layer: nn.Module, x: Tensor) -> Tensor:
    x = x.movedim(1, 3)
    return layer(x * layer(x).softmax(-1)).movedim(3, 1)


@pytest.mark.parametrize(
    "gate",
    [
        lambda layer, x: x * F.softmax(layer(x.mean((2, 3))), 1)[..., None, None],
        by_pixel,
        one_of_two,
    ],
    ids=["channels", "pixels", "branches"],
)
def test_a_gate_is_no_attention(gate):
    plan = find_downsampling(nn.Sequential(nn.Conv2d(8, 8, 1), Gate(gate)), X)
    assert plan.names == ("1.down",)
    assert not plan.excluded


def test_a_network_of_as_many_classes_as_colours_may_have_a_softmax():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
            self.head, self.classes = nn.Conv2d(8, 3, 1), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = F.relu(self.down(self.conv(x)))
            scores = F.interpolate(self.head(y), x.shape[2:])
            return scores, F.softmax(self.classes(y.mean((2, 3))), 1)

    assert find_downsampling(Net(), X[:, :3]).names == ("down",)


def test_pooling_right_after_the_first_convolution_is_one_step_with_it():
    stem = [nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)]
    image = torch.randn(1, 3, 32, 32)
    plan = find_downsampling(nn.Sequential(*stem), image, place="before")
    assert plan["0"].reason == "a Nyquist frequency of 0.5 needs no filter"
    assert plan["1"].nyquist == 0.25
    # K = 7 + 2 * 2, s = 4, 3 -> 64 channels: min(11, sqrt(64 / 3)) / 4 = 1.15.
    assert plan["1"].reason == "with 0, one step from the image of Nyquist frequency 0.5"
    # With 32 channels sqrt(32 / 3) / 4 = 0.82: the image no longer fits.
    stem[0] = nn.Conv2d(3, 32, 7, stride=2, padding=3)
    assert find_downsampling(nn.Sequential(*stem), image, place="before")["1"].reason == ""
    # A second pooling is no part of the stem.
    plan = find_downsampling(
        nn.Sequential(stem[0], nn.MaxPool2d(2), nn.MaxPool2d(2)), image, place="before"
    )
    assert plan["2"].reason == ""


def test_a_function_that_no_module_holds_has_nothing_to_put_a_filter_before():
    class Pyramid(nn.Module):
        def forward(self, maps: list[Tensor]) -> list[Tensor]:
            return [*maps, F.max_pool2d(maps[-1], 1, 2)]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.extra = Pyramid()

        def forward(self, x: Tensor) -> list[Tensor]:
            return self.extra([x])

    (site,) = find_downsampling(Net(), X)
    assert (site.name, site.kernel, site.place) == ("extra:max_pool", (1, 1), None)
    assert "extra" in site.reason


def test_a_module_at_several_resolutions_is_one_site():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, stride=2, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x))

    (site,) = find_downsampling(Pyramid(), X)
    assert (site.name, site.input_size) == ("conv", (16, 24))


def test_the_model_is_left_as_it_was():
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    net = nn.Sequential(Noisy(), nn.BatchNorm2d(8), nn.Dropout(), nn.MaxPool2d(2))
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    find_downsampling(net, X)
    assert [m.training for m in net] == [True, False, True, True]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_buffer_written_in_evaluation_mode_is_restored():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x

    net = Counter()
    calls = net.calls
    find_downsampling(net, X)
    assert net.calls is calls
    assert net.calls == 0


def test_a_failing_model_is_named_and_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(8, 4, 3), nn.Conv2d(8, 4, 3))
    with pytest.raises(ValueError, match=r"\(1, 8, 16, 24\), in 1: RuntimeError.*channels") as info:
        find_downsampling(net, X)
    assert isinstance(info.value.__cause__, RuntimeError)
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("example", [X, (X,), {"x": X}, [X]])
def test_examples_come_in_four_forms(example):
    pool = Function(lambda x: F.max_pool2d(x[0] if isinstance(x, list) else x, 2))
    assert len(find_downsampling(pool, example if not isinstance(example, dict) else {"x": X})) == 1


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"model: expected a torch\.nn\.Module, got function"):
        find_downsampling(lambda x: x, X)
    with pytest.raises(ValueError, match="example_input holds no tensor: list"):
        find_downsampling(nn.Identity(), [])


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_refused():
    with pytest.raises(ValueError, match="got TorchScript, which takes no hooks"):
        find_downsampling(nn.Sequential(torch.jit.trace(nn.ReLU(), X)), X)


def test_an_unflattened_export_has_the_sites_of_the_network():
    net = nn.Sequential(nn.Conv2d(8, 8, 1), Block(nn.Conv2d(8, 16, 1, stride=2)))
    program = torch.export.export(net, (X,))
    assert find_downsampling(torch.export.unflatten(program), X) == find_downsampling(net, X)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_only_shapes_matter(device):
    net = nn.Sequential(Block(nn.Conv2d(8, 16, 1, stride=2)))
    plan = find_downsampling(net.to(device), X.to(device))
    assert plan == find_downsampling(nn.Sequential(Block(nn.Conv2d(8, 16, 1, stride=2))), X)


def test_a_plan_is_a_sequence_with_names_that_prints_as_a_table():
    plan = find_downsampling(nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.AdaptiveAvgPool2d(1)), X)
    assert plan[0] is plan["0"]
    assert plan[:1] == (plan["0"],)
    assert "0" in plan
    assert "1" not in plan
    assert repr(plan) == "Plan(0)"
    with pytest.raises(KeyError, match="no site 'layer2'; there are: 0"):
        plan["layer2"]
    header, row, excluded = str(plan).splitlines()
    columns = "site kind kernel stride channels size ESR Nyquist filter left because"
    assert header.split() == columns.split()
    assert " ".join(row.split()) == "0 convolution 3 2 8 -> 16 16x24 -> 8x12 0.707 0.354 before"
    assert excluded == "no site: 1: pools the whole map"


class Parts(nn.ModuleDict):
    """Two strided convolutions, each of one half of the channels."""

    def forward(self, x):
        halves = zip(x.chunk(2, 1), self.values(), strict=True)
        return torch.cat([step(half) for half, step in halves], 1)


def test_a_container_that_runs_its_children_has_no_place():
    parts = {f"p{k}": nn.Conv2d(4, 4, k, stride=2, padding=k // 2) for k in (3, 5)}
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Parts(parts), nn.ReLU())
    for place in ("before", "auto"):
        plan = find_downsampling(net, torch.zeros(1, 3, 32, 32), place=place)
        assert {site.reason for site in plan} == {
            "a container that runs its children, as it would a filter"
        }
        assert not any(site.filtered for site in plan)
