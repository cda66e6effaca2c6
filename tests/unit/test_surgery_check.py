"""What folding, tracing and other changes of a network do to what was put into it."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import dealias
from dealias.models import create_model, save
from dealias.surgery import check_inserted, keep_inserted
from networks import varied
from published import put_in

X = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
GONE = r"of \d+ modules? put in, {} do(es)? not run any more: .*{}.*fold, trace and replace"


class Block(nn.Module):
    """A strided residual block with normalisation, 16 -> 32 channels."""

    def __init__(self, bias=False):
        super().__init__()
        self.conv1 = nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(32)
        self.shortcut = nn.Conv2d(16, 32, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(y)) + self.shortcut(x)


class Net(nn.Module):
    def __init__(self, bias=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.block = Block(bias)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.block(self.stem(x)))


def mended(bias=False, **options):
    torch.manual_seed(0)
    net, report = put_in(Net(bias), X, **options)
    return varied(net), report


def fold(block: nn.Module) -> None:
    for i in ("1", "2"):
        conv, norm = getattr(block, f"conv{i}"), getattr(block, f"bn{i}")
        setattr(block, f"conv{i}", fuse_conv_bn_eval(conv, norm))
        setattr(block, f"bn{i}", nn.Identity())


@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_folded_below_its_mixing_refuses_to_run(bias):
    net, report = mended(bias)
    fold(net.block)
    with pytest.raises(ValueError, match=r"folded with the normalisation.*fold first"):
        net(X)
    for arguments in ((), (report,)):
        with pytest.raises(ValueError, match=GONE.format(1, r"conv2\.frequency_mixing \(its conv")):
            check_inserted(net, *arguments)


def test_folding_first_keeps_everything():
    torch.manual_seed(0)
    net = varied(Net())
    expected, _ = put_in(net, X)
    fold(net.block)
    folded, _ = put_in(net, X)
    check_inserted(folded, example_input=X)
    torch.testing.assert_close(folded(X), expected(X), rtol=1e-4, atol=1e-5)


def test_folding_above_a_filter_is_right():
    net, _ = mended(mixing=False)
    expected = net(X)
    fold(net.block)
    torch.testing.assert_close(net(X), expected, rtol=1e-4, atol=1e-5)
    check_inserted(net, example_input=X)


class Conv(nn.Conv2d):
    """A convolution of another library."""


def with_other_convolutions(net):
    for parent in [*net.modules()]:
        for name, conv in parent.named_children():
            if type(conv) is nn.Conv2d:
                other = Conv(
                    conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
                )
                other.load_state_dict(conv.state_dict(), strict=False)
                setattr(parent, name, other)
    return net


def test_a_replaced_convolution_has_its_stride_back_when_all_is_taken_out():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.ReLU(),
    )
    mended, report = dealias.dealias(net, X)
    assert [item.step for item in report.inserted] == ["1", "3"]
    expected = mended(X)
    kept = keep_inserted(mended, with_other_convolutions)
    assert torch.equal(kept(X), expected)
    check_inserted(kept, example_input=X)
    assert torch.equal(dealias.restore(kept)(X), net(X))
    assert type(kept[1]) is Conv


def replace_host(net):
    net.block = Block()


def replace_convolution(net):
    net.block.conv2 = nn.Conv2d(32, 32, 3, padding=1)


def clear_hooks(net):
    for module in net.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()


def call_no_more(net):
    net.forward = lambda x: net.block(net.stem(x))


@pytest.mark.parametrize(
    ("change", "number", "message"),
    [
        (replace_host, 2, r"block\.dealias_filter \(is gone\)"),
        (replace_convolution, 1, r"block\.conv2\.frequency_mixing \(is gone\)"),
        (clear_hooks, 3, r"pool\.dealias_filter \(has lost its hook\)"),
        (call_no_more, 1, r"pool\.dealias_filter \(is not called\)"),
    ],
)
def test_what_is_lost_is_named(change, number, message):
    net, report = mended()
    change(net)
    for arguments in ((), (report,)):
        with pytest.raises(ValueError, match=GONE.format(number, message)):
            check_inserted(net, *arguments, example_input=X)
    dealias.restore(net)
    with pytest.raises(ValueError, match="report: expected that of"):
        check_inserted(net)


def unchanged(net):
    return net


def assign(net):
    net.load_state_dict({k: v.clone() for k, v in net.state_dict().items()}, assign=True)
    return net


def assign_plain(net):
    state = {k: v.clone() for k, v in net.state_dict().items() if "frequency" not in k}
    net.load_state_dict(state, assign=True)
    return net


def weight_norm(net):
    nn.utils.parametrizations.weight_norm(net.block.conv2)
    return net


def hold(net):
    return nn.ModuleDict({"backbone": net})["backbone"]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        unchanged,
        copy.deepcopy,
        lambda net: pickle.loads(pickle.dumps(net)),
        assign,
        assign_plain,
        weight_norm,
        nn.SyncBatchNorm.convert_sync_batchnorm,
        lambda net: net.double().float(),
        lambda net: net.to(memory_format=torch.channels_last),
        nn.DataParallel,
        lambda net: torch.compile(net, backend="eager", fullgraph=True),
    ],
)
def test_what_a_network_may_go_through(change, bias):
    net, _ = mended(bias)
    expected = net(X)
    changed = change(net)
    check_inserted(changed, example_input=X)
    torch.testing.assert_close(changed(X), expected, rtol=1e-4, atol=1e-5)
    assert not any("_dealias" in name for name in changed.state_dict())


def test_a_network_to_be_filled_later():
    net, _ = put_in(Net(bias=True).to("meta"), X.to("meta"))
    net.to_empty(device="cpu")
    varied(net)
    check_inserted(net, example_input=X)


def test_tracing_a_unit_loses_its_own_filter():
    block = Block().eval()
    x = torch.randn(1, 16, 16, 24)
    net, report = put_in(block, x, sites=[""])
    graph = torch.fx.symbolic_trace(net)
    with pytest.raises(ValueError, match="report: expected that of"):
        check_inserted(graph)
    with pytest.raises(ValueError, match=GONE.format(1, r"dealias_filter \(is gone\)")):
        check_inserted(graph, report)


def test_tracing_keeps_mixing_and_refuses_filters():
    net, report = mended(filter=None)
    graph = torch.fx.symbolic_trace(net)
    check_inserted(graph, report, example_input=X)
    torch.testing.assert_close(graph(X), net(X))
    with pytest.raises(ValueError, match="got Proxy"):
        torch.fx.symbolic_trace(mended()[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_torchscript_is_checked_before():
    net, report = mended()
    with pytest.raises(ValueError, match="got TorchScript: check before tracing"):
        check_inserted(torch.jit.trace(net, X), report)


def test_resnet18_folded_after():
    models = pytest.importorskip("torchvision.models")
    net, _ = put_in(models.resnet18(weights=None).eval(), X)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in layer:
            fold(block)
    with pytest.raises(ValueError, match=GONE.format(6, r"layer2\.0\.conv2\.frequency_mixing")):
        check_inserted(net)


def test_repvit_reparameterized_after():
    timm = pytest.importorskip("timm")
    utilities = pytest.importorskip("timm.utils.model")
    x = torch.randn(1, 3, 64, 64)
    plain = varied(timm.create_model("repvit_m0_9", num_classes=7))
    net, report = put_in(plain, x)
    for arguments in ((), (report,)):
        with pytest.raises(ValueError, match=r"put in, \d+ do not run.*\.dealias_filter \(is gone"):
            check_inserted(utilities.reparameterize_model(net), *arguments)
    fused, _ = put_in(utilities.reparameterize_model(plain), x)
    check_inserted(fused, example_input=x)


def test_a_network_that_lost_something_is_not_saved(tmp_path):
    pytest.importorskip("timm")
    model = create_model("upernet", num_classes=3, backbone="test_resnet", channels=8, dealias={})
    save(model, tmp_path / "whole")
    for module in model.backbone.modules():
        module._forward_pre_hooks.clear()
    with pytest.raises(ValueError, match="has lost its hook"):
        save(model, tmp_path / "lost")
    assert not (tmp_path / "lost").exists()
