"""Filters after the activation: which steps get one, where, and that it comes out again."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dealias
from dealias.layers import set_strength
from dealias.spectral import lowpass
from dealias.surgery import check_inserted, find_downsampling, find_mixing
from networks import varied
from published import put_in

X = torch.randn(2, 3, 33, 48, generator=torch.Generator().manual_seed(0))


def after(net, x=X, **options):
    torch.manual_seed(0)
    options = {"place": "after", "filter_options": {"border": "wrap"}, **options}
    return dealias.dealias(net.eval(), x, **options)


def reasons(net, x=X):
    return {site.name: site.reason for site in find_downsampling(net.eval(), x, place="after")}


class Net(nn.Module):
    """A stem, a strided convolution with its activation, and a head."""

    def __init__(self, step=None, activation=None, reads=""):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = step or nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.act = activation or nn.ReLU()
        self.head = nn.Conv2d(16, 4, 1)
        self.reads = reads

    def forward(self, x: Tensor):
        y = self.conv(self.stem(x))
        y = y[0] if isinstance(y, tuple) else y
        z = self.bn(y) if y.shape[1] == 16 else y
        z = functional.relu(z) if self.reads == "function" else self.act(z)
        out = self.head(z) if z.shape[1] == 16 else z
        if self.reads == "raw":
            return out, y.mean((2, 3))
        if self.reads == "raw, returned":
            return out, y
        if self.reads == "size":
            return functional.interpolate(out, size=y.shape[-2:])
        return (out, 2 * z) if self.reads == "twice" else out


class Shared(nn.Module):
    """A residual block with one activation for all, as in torchvision."""

    def __init__(self, inplace=True):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.down = nn.Conv2d(8, 16, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.conv2(self.relu(self.bn1(self.conv1(x))))
        return self.relu(y + self.down(x))


def test_by_hand():
    net = varied(Net())
    mended, report = after(net)
    (item,) = report.inserted
    assert (item.site, item.module, item.step) == ("conv", "act.dealias_sampling", "conv")
    assert item.cutoff == 0.25
    dense = functional.conv2d(net.stem(X), net.conv.weight, net.conv.bias, padding=1)
    expected = net.head(lowpass(net.bn(dense).relu(), 0.25)[..., ::2, ::2])
    torch.testing.assert_close(mended(X), expected)
    assert mended.conv.stride == (1, 1)
    assert net.conv.stride == (2, 2)


def test_a_shared_activation_by_hand():
    net = varied(Shared())
    mended, report = after(net)
    assert [(i.module, i.step) for i in report.inserted] == [
        ("conv2.dealias_filter", "conv1"),
        ("down.dealias_filter", ""),
    ]
    x = net.stem(X)
    main = lowpass(net.bn1(functional.conv2d(x, net.conv1.weight, padding=1)).relu(), 0.25)[
        ..., ::2, ::2
    ]
    torch.testing.assert_close(mended(X), (net.conv2(main) + net.down(lowpass(x, 0.25))).relu())
    # A 1x1 convolution at stride 1 that is filtered and subsampled is the same.
    dense = functional.conv2d(x, net.down.weight, net.down.bias)
    torch.testing.assert_close(net.down(lowpass(x, 0.25)), lowpass(dense, 0.25)[..., ::2, ::2])


class PReLUPerChannel(nn.PReLU):
    def __init__(self):
        super().__init__(16)


class Scaled(nn.Module):
    """An activation with a scalar parameter."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return (self.scale * x).tanh()


STEPS = {
    "plain": lambda: Net(),
    "in place": lambda: Net(activation=nn.ReLU(inplace=True)),
    "SiLU in place": lambda: Net(activation=nn.SiLU(inplace=True)),
    "PReLU": lambda: Net(activation=PReLUPerChannel()),
    "an activation with a scalar": lambda: Net(activation=Scaled()),
    "two readers of the activation": lambda: Net(reads="twice"),
    "groups": lambda: Net(nn.Conv2d(8, 16, 5, stride=2, padding=2, groups=4)),
    "dilated": lambda: Net(nn.Conv2d(8, 16, 3, stride=2, padding=9, dilation=9)),
    "no padding": lambda: Net(nn.Conv2d(8, 16, 3, stride=2)),
    "an extent larger than the samples": lambda: Net(nn.Conv2d(8, 16, 21, stride=2)),
    "circular": lambda: Net(nn.Conv2d(8, 16, 3, stride=2, padding=1, padding_mode="circular")),
    "rows": lambda: Net(nn.Conv2d(8, 16, 3, stride=(2, 1), padding=1)),
    "four": lambda: Net(nn.Conv2d(8, 16, 7, stride=4, padding=3)),
    "three": lambda: Net(nn.Conv2d(8, 16, 3, stride=3, padding=1)),
    "1x1 with an activation": lambda: Net(nn.Conv2d(8, 16, 1, stride=2)),
    "max pooling": lambda: Net(nn.MaxPool2d(3, 2, 1)),
    "average pooling": lambda: Net(nn.AvgPool2d(2)),
    "a shared activation": lambda: Shared(),
    "a shared activation that copies": lambda: Shared(inplace=False),
    "parametrized": lambda: Net(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 16, 3, stride=2, padding=1))
    ),
    "in a sequence": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Dropout(), nn.GELU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.Hardswish(inplace=True)),
    ),
}


def assert_same(a, b):
    for one, other in zip(*(v if isinstance(v, tuple) else (v,) for v in (a, b)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", STEPS)
def test_without_strength_nothing_changes(name):
    net = varied(STEPS[name]())
    mended, _ = after(net, strength=0.0)
    for size in ((33, 48), (64, 64), (46, 47), (31, 50)):
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(2, 3, *size).to(memory_format=layout)
            with torch.no_grad():
                assert_same(mended(x), net(x))
    assert set_strength(mended, 1.0) > 0
    with torch.no_grad():
        full = after(net)[0](X)
        assert_same(mended(X), full)
        changed = full[0] if isinstance(full, tuple) else full
        plain = net(X)[0] if isinstance(full, tuple) else net(X)
        assert (changed - plain).abs().max() > 1e-3


@pytest.mark.parametrize("name", STEPS)
def test_everything_comes_out_again(name):
    net = varied(STEPS[name]())
    mended, _ = after(net, strength="learned")
    assert any(key.endswith("strength") for key in mended.state_dict())
    check_inserted(mended, example_input=X)
    dealias.restore(mended)
    for (path, a), (other, b) in zip(net.named_modules(), mended.named_modules(), strict=True):
        assert path == other
        assert getattr(a, "stride", None) == getattr(b, "stride", None)
        assert len(a._forward_hooks) == len(b._forward_hooks)
        assert len(a._forward_pre_hooks) == len(b._forward_pre_hooks)
        assert not [key for key in vars(b) if key.startswith("_dealias")]
    assert list(mended.state_dict()) == list(net.state_dict())
    with torch.no_grad():
        assert_same(mended(X), net(X))
    with pytest.raises(ValueError, match="nothing to restore"):
        dealias.restore(mended)
    again, _ = after(mended, strength="learned")
    assert again.state_dict().keys() > net.state_dict().keys()


class Functional(nn.Module):
    """A convolution of two kernels by functions, with attributes like those of a convolution."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(16, 8, 3, 3))
        self.second = nn.Parameter(torch.randn(16, 8, 3, 3))
        self.kernel_size, self.stride = 3, 2

    def forward(self, x: Tensor) -> Tensor:
        a = functional.conv2d(x, self.first, stride=self.stride, padding=1)
        return a + functional.conv2d(x, self.second, stride=self.stride, padding=1)


class PoolByFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 2)


class Twice(nn.Module):
    """A convolution that runs at two steps."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.conv(self.first(self.conv(self.stem(x)))))


LEFT = {
    "an activation by a function": (lambda: Net(reads="function"), "conv", "no activation follows"),
    "no activation": (lambda: Net(activation=nn.Identity()), "conv", "no activation follows"),
    "a spatial norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU()
        ),
        "1",
        "no activation follows 1",
    ),
    "the raw map is read": (lambda: Net(reads="raw"), "conv", "not only that reads its map"),
    "the raw map is returned": (
        lambda: Net(reads="raw, returned"),
        "conv",
        "not only that reads its map",
    ),
    "pooling by a function": (lambda: Net(PoolByFunction()), "conv", "by a function"),
    "two kernels": (lambda: Net(Functional()), "conv", "by a function, or several times"),
    "a shared convolution": (Twice, "conv", "runs at several steps"),
    "rounded up": (lambda: Net(nn.MaxPool2d(3, 2, ceil_mode=True)), "conv", "at stride 1"),
    "indices": (lambda: Net(nn.MaxPool2d(2, return_indices=True)), "conv", "at stride 1"),
    "the image": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU()),
        "0",
        "takes the image itself",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_left_with_the_reason(name):
    build, site, reason = LEFT[name]
    net = build()
    assert reason in reasons(net)[site]
    with pytest.raises(ValueError, match="nothing to put in; the sites of this network are:"):
        after(net)
    with pytest.raises(ValueError, match=f"sites: '{site}' can't be filtered: .*{reason}"):
        after(net, sites=[site])
    assert not [key for module in net.modules() for key in vars(module) if "dealias" in key]


def test_a_network_that_reads_the_size_of_the_larger_map_is_refused():
    net = Net(reads="size")
    with pytest.raises(
        ValueError, match="activation, the model returns maps of 33 x 48, not 17 x 24"
    ):
        after(net, inplace=True)
    assert net.conv.stride == (2, 2)


def test_a_shared_activation_whose_map_has_two_readers():
    class Two(Shared):
        def forward(self, x: Tensor) -> Tensor:
            y = self.relu(self.bn1(self.conv1(self.stem(x))))
            return self.relu(self.conv2(y)) + y

    assert "conv1 runs" not in reasons(Two())["conv1"]
    assert "relu runs several times, and no single module" in reasons(Two())["conv1"]


def test_a_norm_that_holds_its_activation():
    layers = pytest.importorskip("timm.layers")
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, 2, 1, bias=False), layers.BatchNormAct2d(8)
    )
    _, report = after(varied(net))
    assert [item.module for item in report.inserted] == ["2.dealias_sampling"]
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 3, 2, 1, bias=False),
        layers.BatchNormAct2d(8, apply_act=False),
    )
    assert "no activation follows 1" in reasons(plain)["1"]


@pytest.mark.parametrize("module", ["conv", "bn"])
def test_a_step_whose_map_hooks_of_others_change_is_filtered_before(module):
    net = Net().eval()
    change = getattr(net, module).register_forward_hook
    change(lambda _module, _args, made: functional.instance_norm(made))
    assert "has hooks, which would get a larger map" in reasons(net)["conv"]
    changed, report = dealias.dealias(net, X, strength=0)
    assert [done.place for done in report.inserted] == ["before"]
    torch.testing.assert_close(changed(X), net(X))


def test_a_map_that_somebody_looks_at_first_is_no_hindrance():
    net = Net().eval()
    net.conv.register_forward_pre_hook(lambda _module, args: (2 * args[0],))
    changed, report = dealias.dealias(net, X, strength=0)
    assert [done.place for done in report.inserted] == ["after"]
    torch.testing.assert_close(changed(X), net(X))


def test_a_step_that_did_not_run_is_listed():
    class Either(Net):
        def __init__(self):
            super().__init__()
            self.night = nn.Conv2d(8, 16, 3, stride=2, padding=1)

        def forward(self, x):
            return super().forward(x) if x.mean() >= 0 else self.act(self.night(self.stem(x)))

    _, report = dealias.dealias(Either().eval(), X.abs())
    assert "left: night: did not run on the example" in str(report)
    assert "no site: night: did not run" in str(find_downsampling(Either().eval(), X.abs()))


def test_hooks_of_others_see_the_small_map():
    net = Net()
    seen = []
    net.act.register_forward_hook(lambda *args: seen.append(args[-1].shape))
    mended, _ = after(net)
    mended(X)
    assert {tuple(shape) for shape in seen} == {(2, 16, 17, 24)}


def test_a_learned_strength_of_a_pooling_of_two_numbers_of_channels():
    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
            self.c, self.pool = nn.Conv2d(16, 16, 3, 2, 1), nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.pool(self.b(self.pool(self.a(x)))))

    _, report = dealias.dealias(Pools(), X, mixing=False, strength="learned")
    assert [item.site for item in report.inserted] == ["c"]
    (left,) = report.left
    assert left.reason == "one module for maps of 8 and 16 channels"


@pytest.mark.parametrize("strength", [0.5, "learned"])
@pytest.mark.parametrize("make", [Net, Shared])
def test_plain_checkpoints_load_before_and_after(make, strength):
    net, other = varied(make()), varied(make())
    mended, _ = after(net, strength=strength)
    with torch.no_grad():
        for name, parameter in mended.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.75)
    kept = {k: v.clone() for k, v in mended.state_dict().items() if k.endswith("strength")}
    assert len(kept) == (2 if make is Shared else 1)
    mended.load_state_dict(other.state_dict())
    for key, value in mended.state_dict().items():
        assert torch.equal(value, kept[key] if key in kept else other.state_dict()[key])
    fresh, _ = after(make(), strength=strength)
    fresh.load_state_dict(mended.state_dict())
    torch.testing.assert_close(fresh(X), mended(X))
    expected, _ = after(other, strength=0.75 if strength == "learned" else strength)
    torch.testing.assert_close(fresh(X), expected(X))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        net.load_state_dict(mended.state_dict())


@pytest.mark.parametrize("make", [Net, Shared])
def test_copies_call_their_own_modules(make):
    mended, _ = after(varied(make()), strength=0.5)
    expected = mended(X)
    for other in (copy.deepcopy(mended), pickle.loads(pickle.dumps(mended))):
        check_inserted(other, example_input=X)
        torch.testing.assert_close(other(X), expected)
        set_strength(other, 0.0)
        assert (other(X) - expected).abs().max() > 1e-4
        dealias.restore(other)
        torch.testing.assert_close(other(X), dealias.restore(copy.deepcopy(mended))(X))
    torch.testing.assert_close(mended(X), expected)


def test_what_is_lost_is_noticed():
    def broken(change):
        mended, _ = after(varied(Net()))
        change(mended)
        return mended

    def replace(net, name, module):
        setattr(net, name, module)

    for change, problem in (
        (lambda n: replace(n, "act", nn.ReLU()), "act.dealias_sampling .is gone"),
        (lambda n: n.act._forward_hooks.clear(), "act.dealias_sampling .has lost its hook"),
        (lambda n: setattr(n.conv, "stride", (2, 2)), "conv does not run at stride 1 any more"),
        (
            lambda n: replace(n, "conv", nn.Conv2d(8, 16, 3, stride=2, padding=1)),
            "conv does not run at stride 1 any more",
        ),
        (lambda n: replace(n, "conv", nn.Identity()), "conv does not run at stride 1 any more"),
        (lambda n: delattr(n, "conv"), "conv is gone"),
    ):
        with pytest.raises(ValueError, match=f"of 1 module put in, 1 does not run.*{problem}"):
            check_inserted(broken(change))

    class Skips(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.bn(self.conv(self.stem(x))))

    mended = broken(lambda n: setattr(n, "__class__", Skips))
    check_inserted(mended)
    with pytest.raises(ValueError, match=r"act\.dealias_sampling \(is not called"):
        check_inserted(mended, example_input=X)


def test_gradients_reach_every_weight_and_the_strength():
    mended, _ = after(varied(Shared()), strength="learned")
    mended.train()(X).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in mended.parameters())


def test_mixing_leaves_a_convolution_at_stride_1_out():
    class Basic(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
            self.last, self.down = nn.Conv2d(16, 16, 1), nn.Conv2d(8, 16, 1, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.act(self.conv(x))) + self.down(x)

    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Basic())
    _, report = after(net, mixing=True)
    assert [item.kind for item in report.inserted] == ["daf", "daf"]
    assert ("1.conv", "runs at stride 1 now") in {(e.name, e.reason) for e in report.left}
    assert not find_mixing(net, X)
    _, before = put_in(net, X)
    assert [item.kind for item in before.inserted] == ["daf", "mixing"]
    assert find_mixing(net, X, place="before").names == ("1.conv",)


def circular(channels=16) -> nn.Module:
    """Strided convolutions, of which nothing but the stride breaks the equivariance."""

    def conv(a, b, stride):
        return nn.Conv2d(a, b, 3, stride, 1, padding_mode="circular")

    torch.manual_seed(0)
    return nn.Sequential(
        conv(3, channels, 1), nn.ReLU(), conv(channels, channels, 2), nn.ReLU(),
        conv(channels, channels, 2), nn.ReLU(), nn.Conv2d(channels, 5, 1),
    ).eval()  # fmt: skip


def test_shifts_by_the_stride_commute_and_others_nearly():
    x = torch.randn(4, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    net = circular()
    mended, report = after(net, x)
    assert len(report.inserted) == 2
    with torch.no_grad():
        for model in (net, mended):
            torch.testing.assert_close(
                model(x.roll((4, 8), (2, 3))), model(x).roll((1, 2), (2, 3)), atol=1e-4, rtol=1e-4
            )

        def disagreement(model):
            """Of the maps before subsampling, aligned by interpolation in the Fourier domain."""
            y, shifted = model(x), model(x.roll((0, 2), (2, 3)))
            phase = torch.exp(-2j * torch.pi * torch.fft.rfftfreq(y.shape[-1]) * 0.5)
            aligned = torch.fft.irfft(torch.fft.rfft(y) * phase, n=y.shape[-1])
            return ((shifted - aligned).square().mean() / y.var()).item()

        plain, filtered = disagreement(net), disagreement(mended)
        assert filtered < plain / 4


@pytest.mark.parametrize("make", [Net, Shared])
def test_compiled_and_exported_with_free_sizes(make):
    mended, _ = after(varied(make()), strength="learned")
    nn.init.constant_(mended.get_parameter("head.weight" if make is Net else "down.weight"), 0.1)
    auto = torch.export.Dim.AUTO
    torch._dynamo.reset()
    with torch.no_grad():
        program = torch.export.export(mended, (X,), dynamic_shapes=({2: auto, 3: auto},)).module()
        compiled = torch.compile(mended, dynamic=True, fullgraph=True, backend="eager")
        for size in ((33, 48), (48, 65), (64, 64)):
            x = torch.randn(2, 3, *size)
            torch.testing.assert_close(program(x), mended(x), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(compiled(x), mended(x), rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()
