"""What is put into a network, that it works like any network, and that it comes out again."""

import copy
import io
import pickle
from math import sqrt

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import dealias
from dealias.layers import AdaptiveBlur, BlurFilter, DealiasingFilter, FrequencyMixing
from dealias.spectral import lowpass
from dealias.surgery import find_downsampling, find_mixing
from networks import Block
from published import put_in

X = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
NYQUIST = sqrt(2) / 4


class Net(nn.Module):
    """A stem, a strided block, and pooling in a sequence; 0.354 before the block."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.block = Block()
        self.head = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(32, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = checkpoint(self.block, x, use_reentrant=False) if self.training else self.block(x)
        return self.head(x)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def mended(net) -> Net:
    """A de-aliased network whose mixing has learned something."""
    result, _ = put_in(net, X)
    for name, parameter in result.named_parameters():
        if "frequency_mixing" in name:
            nn.init.normal_(parameter, std=0.1)
    return result


def test_the_map_that_enters_the_unit_is_filtered(net):
    seen = []
    for conv in (net.block.conv1, net.block.shortcut):
        conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    result, report = put_in(net, X, mixing=False, sites=["block"])
    result(X)
    stem = net.stem(X)
    torch.testing.assert_close(seen[-2:], [lowpass(stem, NYQUIST)] * 2)
    (inserted,) = report.inserted
    assert (inserted.site, inserted.module) == ("block", "block.dealias_filter")
    assert (inserted.kind, inserted.cutoff) == ("daf", pytest.approx(NYQUIST))
    assert ("head.0", "not among the sites asked for") in {(e.name, e.reason) for e in report.left}


def test_mixing_starts_as_the_identity(net):
    result, report = put_in(net, X, filter=None)
    assert torch.equal(result(X), net(X))
    assert [item.module for item in report.inserted] == ["block.conv2.frequency_mixing"]
    assert isinstance(result.block.conv2.frequency_mixing, FrequencyMixing)


@pytest.mark.parametrize(
    ("name", "kind", "cutoff"),
    [
        ("daf", DealiasingFilter, NYQUIST),
        ("flc", DealiasingFilter, 0.25),
        ("blur", BlurFilter, None),
        ("adaptive_blur", AdaptiveBlur, None),
    ],
)
def test_each_filter(net, name, kind, cutoff):
    result, report = put_in(net, X, filter=name, mixing=False)
    module = result.block.dealias_filter.filter
    assert isinstance(module, kind)
    assert report.inserted[0].cutoff == (cutoff and pytest.approx(cutoff))
    if cutoff is not None:
        assert module.cutoff == pytest.approx((cutoff, cutoff))
    assert result(X).shape == net(X).shape


def test_options_reach_the_modules(net):
    result, _ = put_in(
        net,
        X,
        filter="blur",
        filter_options={"size": 5},
        mixing_options={"pooling": "official", "reduction": 8},
    )
    assert result.block.dealias_filter.filter.size == 5
    assert result.block.conv2.frequency_mixing.pooling == "official"
    assert result.block.conv2.frequency_mixing.channel_att_low[0].out_channels == 4


@pytest.mark.parametrize(
    ("cutoff", "block", "pool", "mixing"),
    [
        (0.3, 0.3, 0.3, 0.3),
        ({"block": 0.3}, 0.3, 0.25, 0.3),
        ({"block.conv2": 0.2}, NYQUIST, 0.25, 0.2),
        ((0.3, 0.4), (0.3, 0.4), (0.3, 0.4), (0.3, 0.4)),
    ],
)
def test_cutoffs(net, cutoff, block, pool, mixing):
    _, report = put_in(net, X, cutoff=cutoff)
    expected = [pytest.approx(c) for c in (block, pool, mixing)]
    assert [item.cutoff for item in report.inserted] == expected


def test_a_site_left_by_default_can_be_asked_for():
    net = nn.Sequential(nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(2))
    with pytest.raises(ValueError, match="nothing to put in; the sites of this network are:\nsite"):
        put_in(net, X)
    _, report = put_in(net, X, sites=["1"])
    assert [item.site for item in report.inserted] == ["1"]


def test_in_a_sequence_the_filter_hangs_on_the_first_child():
    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, ::2, ::2]

    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), Two()))
    result, _ = put_in(net, X, mixing=False)
    assert [type(m).__name__ for m in result[0]] == ["Conv2d", "Two"]


def test_keyword_arguments_and_tokens():
    class Merge(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(12, 6)

        def forward(self, *, size: tuple[int, int], tokens: Tensor) -> Tensor:
            x = tokens.view(tokens.shape[0], *size, 3)
            x = torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
            return self.linear(x).flatten(1, 2)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.merge = Merge()

        def forward(self, x: Tensor) -> Tensor:
            return self.merge(size=(x.shape[2], x.shape[3]), tokens=x.flatten(2).mT)

    net = Tokens()
    result, report = put_in(net, X)
    assert [item.site for item in report.inserted] == ["merge"]
    torch.testing.assert_close(result(X), net(lowpass(X, NYQUIST)))
    # Other sizes than the example's.
    smaller = X[:, :, :16, :20]
    torch.testing.assert_close(result(smaller), net(lowpass(smaller, NYQUIST)))


def test_parameters_keep_their_names_and_checkpoints_load(net):
    state = net.state_dict()
    result, _ = put_in(net, X)
    new = [name for name in result.state_dict() if name not in state]
    assert [name for name in result.state_dict() if name in state] == list(state)
    assert all(name.startswith("block.conv2.frequency_mixing.") for name in new)
    assert new
    nn.init.ones_(result.get_parameter(new[0]))
    for duplicate in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
        copied = duplicate(result)
        nn.init.zeros_(copied.block.conv2.weight)
        copied.load_state_dict(state)  # strictly, though it lacks the mixing modules
        assert torch.equal(copied.block.conv2.weight, net.block.conv2.weight)
        assert (copied.get_parameter(new[0]) == 1).all()
    again, _ = put_in(net, X)
    again.load_state_dict(result.state_dict())
    partial = {name: value for name, value in result.state_dict().items() if name != new[1]}
    with pytest.raises(RuntimeError, match=new[1]):
        again.load_state_dict(partial)


def test_it_can_be_trained_if_it_was_mended_in_inference_mode(net):
    with torch.inference_mode():
        result, _ = put_in(net, X)
    mixing = result.block.conv2.frequency_mixing
    assert not any(p.is_inference() for p in mixing.parameters())


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_was_built_in_inference_mode(training):
    with torch.inference_mode():
        built = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8))
        built = nn.Sequential(built, nn.ReLU()).train(training)
    state = {name: value.clone() for name, value in built.state_dict().items()}
    _, report = dealias.dealias(built, X)
    assert [item.place for item in report.inserted] == ["after"]
    assert {module.training for module in built.modules()} == {training}
    assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())


def test_a_buffer_that_a_module_reaches_in_another_way_is_as_before():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))
            self.also = [self.calls]

        def forward(self, x):
            self.also[0].add_(1)
            return x

    net = nn.Sequential(Counting(), nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
    find_downsampling(net, X)
    assert net[0].calls == 0
    assert net[0].also[0] is net[0].calls


def test_an_axis_that_is_enlarged_needs_no_filter():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Upsample(size=(40, 12)), nn.Conv2d(4, 4, 3)
    )
    for name in ("daf", "flc"):
        _, report = dealias.dealias(net, X, filter=name, sites=["1"])
        assert report.inserted[0].cutoff == (0.5, 0.125)


def test_a_model_that_cannot_be_copied_is_an_error_that_says_so(net):
    net.cache = torch.ones(1, requires_grad=True) * 2  # not a leaf
    with pytest.raises(ValueError, match=r"can't be copied .*inplace=True"):
        put_in(net, X)
    put_in(net, X, inplace=True)


def test_unknown_options_are_named(net):
    with pytest.raises(ValueError, match="bogus"):
        put_in(net, X, filter_options={"bogus": 1})


def test_what_is_put_in_trains_or_not_as_its_host_does(net):
    net.train()
    net.block.eval()
    result, report = put_in(net, X)
    assert len(report.inserted) > 1
    for inserted in report.inserted:
        host = result.get_submodule(inserted.module.rpartition(".")[0])
        modules = list(result.get_submodule(inserted.module).modules())
        assert {module.training for module in modules} == {host.training}
    assert {host.training for host in (result, result.block)} == {True, False}


def test_the_model_itself_is_changed_only_if_asked(net):
    before = net(X)
    result, _ = put_in(net, X)
    assert result is not net
    assert torch.equal(net(X), before)
    result, _ = put_in(net, X, inplace=True)
    assert result is net
    assert not torch.equal(net(X), before)


def test_restore(net, mended):
    restored = dealias.restore(mended)
    assert restored is mended
    assert torch.equal(restored(X), net(X))
    assert list(restored.state_dict()) == list(net.state_dict())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in restored.modules())
    assert str(restored) == str(net)
    with pytest.raises(ValueError, match="nothing to restore"):
        dealias.restore(restored)
    put_in(restored, X)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_use_filters_of_their_own(mended, duplicate):
    expected = mended(X)
    other = duplicate(mended)
    assert torch.equal(other(X), expected)
    nn.init.ones_(other.block.conv2.frequency_mixing.freq_weight_conv.weight)
    assert torch.equal(mended(X), expected)
    assert not torch.equal(other(X), expected)
    dealias.restore(other)
    assert torch.equal(mended(X), expected)


def test_a_loaded_model_keeps_its_filter_beside_later_hooks(mended):
    """Numbers of hooks count anew in each process; the pickled ones must not be given again."""
    data = io.BytesIO()
    torch.save(mended, data)
    data.seek(0)
    counter = torch.utils.hooks.RemovableHandle
    saved, counter.next_id = counter.next_id, 0
    try:
        loaded = torch.load(data, weights_only=False)
        for _ in range(saved + 1):
            loaded.block.register_forward_pre_hook(print).remove()
        torch.testing.assert_close(loaded(X), mended(X), rtol=0, atol=0)
        assert len(loaded.block._forward_pre_hooks) == 1
    finally:
        counter.next_id = max(saved, counter.next_id)


def test_checkpointing_gives_the_same_gradients(mended):
    mended.eval()(X).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in mended.named_parameters()}
    mended.zero_grad()
    mended.train()(X).square().sum().backward()
    for name, parameter in mended.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_autocast(mended):
    with torch.autocast("cpu", torch.bfloat16):
        result = mended(X)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), mended(X), rtol=0.1, atol=0.1)


def test_double_precision(net):
    result, _ = put_in(net.double(), X.double())
    assert {p.dtype for p in result.parameters()} == {torch.float64}


def test_distributed(mended, tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(mended)
        wrapped(X).sum().backward()
        assert torch.equal(wrapped(X), mended(X))
    finally:
        dist.destroy_process_group()
    assert all(p.grad is not None for p in mended.parameters())


def test_compile_in_one_graph(mended):
    compiled = torch.compile(mended, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), mended(X))


def test_export_with_a_dynamic_batch(mended):
    batch = {0: torch.export.Dim("batch", min=1, max=8)}
    program = torch.export.export(mended, (X,), dynamic_shapes={"x": batch})
    more = X.repeat(3, 1, 1, 1)
    torch.testing.assert_close(program.module()(more), mended(more))


def test_a_mended_network_has_the_sites_it_had(net, mended):
    assert find_downsampling(mended, X) == find_downsampling(net, X)
    assert find_mixing(mended, X) == find_mixing(net, X)


def test_a_unit_that_runs_all_its_children_is_left_as_it_was():
    class Every(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            for child in self.children():
                x = child(x)
            return x[:, :, ::2, ::2]

    net = nn.Sequential(Every())
    with pytest.raises(
        ValueError, match=r"with the filters put in, the model fails .* in 0\.dealias"
    ):
        put_in(net, X, mixing=False, inplace=True)
    assert str(net) == str(nn.Sequential(Every()))


def test_a_second_time_is_an_error(mended):
    with pytest.raises(ValueError, match=r"already, at block\.dealias_filter: restore\(model\)"):
        put_in(mended, X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": ["layer2"]}, "sites: no site 'layer2'; there are: block, head.0"),
        (
            {"cutoff": {"layer2": 0.3}},
            "cutoff: no site 'layer2'; there are: block, head.0, block.co",
        ),
        ({"cutoff": 0.6}, r"cutoff: expected 'auto', .*cycles per pixel in \(0, 0\.5\].*got 0\.6"),
        ({"cutoff": {"block": 0}}, "cutoff: expected 'auto'"),
        ({"cutoff": "nyquist"}, "cutoff: expected 'auto'.*got 'nyquist'"),
        ({"filter": "gauss"}, "filter: expected one of 'daf', .* or None, got 'gauss'"),
        ({"filter": None, "mixing": False}, "filter=None and mixing=False"),
    ],
)
def test_bad_arguments(net, options, message):
    with pytest.raises(ValueError, match=message):
        put_in(net, X, inplace=True, **options)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_function_without_module_cannot_be_asked_for():
    class Functional(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [nn.functional.max_pool2d(x, 2)]

    with pytest.raises(
        ValueError, match=r"sites: ':max_pool' can't be filtered: .*no module to put"
    ):
        put_in(Functional(), X, sites=[":max_pool"])


def test_public_names():
    assert all(hasattr(dealias.surgery, name) for name in dealias.surgery.__all__)
    assert dealias.dealias is dealias.surgery.dealias


def test_pickles_find_the_hooks_in_the_module_of_insertion(mended):
    """A saved network finds them by the path of that module: they must not move."""
    hooks = {
        hook
        for module in mended.modules()
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    }
    assert {hook.__name__ for hook in hooks} == {"_filter_input", "_mix_output"}
    assert {hook.__module__ for hook in hooks} == {"dealias.surgery.insertion"}
