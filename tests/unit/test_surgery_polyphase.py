"""Samples that images choose, in any network: agreement, where it is refused, and coming out."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dealias
from circular import circular, labels_agree, varied
from dealias.layers import PolyphaseShift, collect_offsets
from dealias.surgery import check_inserted, find_downsampling, report_of

X = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CHOSEN = ["adaptive", "learned"]


class Block(nn.Module):
    """A residual block whose shortcut runs first or last."""

    def __init__(self, a: int, b: int, shortcut_first: bool = False):
        super().__init__()
        self.conv1, self.bn, self.act = nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()
        self.conv2 = nn.Conv2d(b, b, 3, padding=1)
        self.down = nn.Conv2d(a, b, 1, 2)
        self.first = shortcut_first

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.down(x) if self.first else None
        y = self.conv2(self.act(self.bn(self.conv1(x))))
        return functional.relu(y + (self.down(x) if shortcut is None else shortcut))


class Toy(nn.Module):
    """Like a ResNet, to class scores of the whole image."""

    def __init__(self, shortcut_first: bool = False):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.block = Block(8, 16, shortcut_first)
        self.head = nn.Linear(16, 6)

    def maps(self, x: Tensor) -> Tensor:
        return self.block(self.pool(functional.relu(self.stem(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).mean((2, 3)))


def toy(**options):
    torch.manual_seed(0)
    return circular(varied(Toy(**options))).double().eval()


def put_in(net, sampling, x=X, **options):
    torch.manual_seed(1)
    if options.get("filter", "daf") == "daf":
        options["filter_options"] = {"border": "wrap"}
    return dealias.dealias(net, x[:1], sampling=sampling, **options)


def shifted_apart(net, x=X):
    """The largest difference of class scores between shifts of the image."""
    with torch.no_grad():
        return max(
            (net(x.roll(shift, (2, 3))) - net(x)).abs().max().item()
            for shift in ((1, 0), (0, 1), (3, 2), (-5, 7), (4, 4))
        )


@pytest.mark.parametrize("shortcut_first", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"filter": None}, {"place": "before"}, {"filter": None, "mixing": True}],
    ids=str,
)
@pytest.mark.parametrize("sampling", CHOSEN)
def test_class_scores_do_not_change_under_shifts(sampling, options, shortcut_first):
    net = toy(shortcut_first=shortcut_first)
    chosen, report = put_in(net, sampling, **options)
    assert [i.site for i in report.inserted if i.kind == sampling] == ["stem", "pool", "block"]
    assert shifted_apart(chosen) < 1e-12
    regular = net if options.get("filter", "") is None else put_in(net, "regular", **options)[0]
    assert shifted_apart(regular) > 1e-4


@pytest.mark.parametrize("sampling", CHOSEN)
def test_a_map_lies_where_the_offsets_say(sampling):
    net, _ = put_in(toy(), sampling)
    net.forward = net.maps

    def run(x):
        with collect_offsets() as offsets, torch.no_grad():
            maps = net(x)
        return maps, offsets.at(8)

    maps, places = run(X)
    moved, own = run(X.roll((3, -9), (2, 3)))
    whole = places + torch.tensor([3, -9]) - own
    assert (whole % 8 == 0).all()
    for a, b, cells in zip(maps, moved, (whole // 8).tolist(), strict=True):
        torch.testing.assert_close(b, a.roll(cells, (1, 2)))


def test_both_branches_of_a_block_take_the_same_samples():
    net, report = put_in(toy(), "adaptive", filter=None)
    assert [i.module for i in report.inserted] == [
        "stem.dealias_phase", "pool.dealias_phase", "block.dealias_phase",
    ]  # fmt: skip
    x = torch.zeros(1, 8, 8, 8, dtype=torch.float64)
    x[..., 3, 2] = 1  # phase (1, 0)
    plain = toy().block
    with torch.no_grad():
        assert torch.equal(net.block(x), plain(x.roll((-1, 0), (2, 3))))
    assert net.block.conv1.stride == (2, 2)


def test_phases_are_chosen_before_the_filter_of_their_step_and_after_that_of_another():
    class Net(nn.Module):
        """Steps right after each other, with one activation for all."""

        def __init__(self):
            super().__init__()
            self.stem, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()
            self.conv, self.pool = nn.Conv2d(8, 8, 3, 2, 1), nn.AvgPool2d(2)
            self.head = nn.Linear(8, 6)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.conv(self.act(self.stem(x))))
            return self.head(self.act(self.pool(x)).mean((2, 3)))

    net = circular(varied(Net())).double().eval()
    for place in ("auto", "after", "before"):
        chosen, report = put_in(net, "adaptive", place=place)
        assert shifted_apart(chosen) < 1e-12, report


def test_restore_leaves_nothing_behind():
    net = toy()
    before, keys = net(X), list(net.state_dict())
    for sampling in CHOSEN:
        chosen, report = put_in(net, sampling)
        assert not torch.equal(chosen(X), before)
        check_inserted(chosen, example_input=X)
        assert report_of(chosen) == report
        dealias.restore(chosen)
        assert list(chosen.state_dict()) == keys
        assert torch.equal(chosen(X), before)
        assert not any(isinstance(m, PolyphaseShift) for m in chosen.modules())
        assert not any(m._forward_pre_hooks for m in chosen.modules())


@pytest.mark.parametrize("sampling", CHOSEN)
def test_copies_and_pickles_choose_alike_and_plain_checkpoints_load(sampling):
    net, _ = put_in(toy(), sampling)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(X), net(X))
        check_inserted(other)
    assert bool(dealias_keys(net)) == (sampling == "learned")
    net.load_state_dict(toy().state_dict())
    other, _ = put_in(toy(), sampling)
    for p in other.parameters():
        nn.init.zeros_(p)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(X), net(X))


def dealias_keys(net):
    return [key for key in net.state_dict() if "dealias_phase" in key]


def test_a_lost_choice_is_noticed():
    net, _ = put_in(toy(), "adaptive")
    net.block._forward_pre_hooks.clear()
    with pytest.raises(ValueError, match=r"block\.dealias_phase \(has lost its hook\)"):
        check_inserted(net)


def test_the_sites_are_those_of_the_plain_network():
    names = find_downsampling(toy(), X).names
    for sampling in CHOSEN:
        chosen, _ = put_in(toy(), sampling, filter=None)
        assert find_downsampling(chosen, X, place="before").names == names


def test_learned_choices_are_trained_with_the_network():
    net, _ = put_in(toy().train(), "learned")
    assert all(module.training for module in net.modules())
    net(X).square().sum().backward()
    choosers = [p for name, p in net.named_parameters() if "dealias_phase" in name]
    assert len(choosers) == 9
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in choosers)


class Functional(nn.Module):
    """Steps that are functions of the network, and one that is a patch embedding."""

    def __init__(self, mode: str):
        super().__init__()
        self.mode = mode
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.conv(self.embed(x)).relu(), 2)
        return self.conv(functional.interpolate(x, scale_factor=0.5, mode=self.mode)).mean((2, 3))


@pytest.mark.parametrize(
    ("mode", "kind"), [("nearest", "interpolation"), ("area", "adaptive_pool")]
)
def test_steps_that_keep_the_regular_samples_say_why(mode, kind):
    net, report = put_in(Functional(mode).double(), "adaptive", filter=None)
    assert [i.module for i in report.inserted] == ["embed.dealias_phase"]
    assert net.embed.dealias_phase.filter.stride == (4, 4)
    left = {(step.kind, step.reason) for step in report.left}
    assert len(left) == 2
    reasons = dict(left)
    assert "no samples that an image could choose among" in reasons[kind]
    assert "replace F.max_pool2d by nn.MaxPool2d" in reasons["max_pool"]
    assert "embed.dealias_phase" in str(report)
    assert "collect_offsets" in str(report)


def test_one_module_for_several_steps_is_left():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.pool = nn.Conv2d(3, 8, 3, 2, 1), nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.pool(self.stem(x))).mean((2, 3))

    _, report = put_in(Shared().double(), "adaptive", filter=None)
    assert [i.site for i in report.inserted] == ["stem"]
    assert any("one module for several steps" in step.reason for step in report.left)


class UNet(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.c, self.last = nn.Conv2d(3, 8, 5, 2, 2), nn.Conv2d(8, 4, 3, 4, 1)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        if self.kind == "side by side":
            return self.c(x).mean((2, 3)) * a.mean((2, 3))
        up = a + functional.interpolate(self.b(a).relu(), scale_factor=2)
        return self.last(up).mean((2, 3)) if self.kind == "hourglass" else up


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("side by side", "sampling: expected steps one after another, got a and c side by side"),
        ("u-net", "sampling: expected a network that returns maps .* to 16 x 24 after b"),
        ("hourglass", "sampling: expected .* got one that enlarges maps"),
    ],
)  # fmt: skip
def test_networks_in_which_displaced_maps_meet_are_refused(kind, message):
    net = UNet(kind).double()
    with pytest.raises(ValueError, match=message) as caught:
        put_in(net, "adaptive", filter=None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sampling", ["adaptiv", None, True, ["adaptive"]])
def test_other_words_are_refused(sampling):
    with pytest.raises(ValueError, match="sampling: expected one of regular, adaptive, learned"):
        put_in(toy(), sampling)
    with pytest.raises(ValueError, match="leave nothing to put in"):
        put_in(toy(), "regular", filter=None)


def test_agreement_of_the_helper_can_fail():
    assert not labels_agree(lambda x: x.flatten(2).cumsum(2).view_as(x), X)
