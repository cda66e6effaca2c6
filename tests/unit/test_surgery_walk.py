"""Networks with attributes that hide methods of torch.nn.Module."""

import copy

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import dealias
from dealias.engine import aliasing
from dealias.probe import load_network, measure_aliasing
from dealias.surgery import find_downsampling, find_mixing
from networks import Block
from published import put_in

X = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
# All methods but those by which a module runs.
METHODS = sorted(
    name
    for name, value in vars(nn.Module).items()
    if callable(value) and not name.startswith("__") and name not in ("forward", "_call_impl")
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.block = Block()
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.block(self.stem(x)))


def hide(net: nn.Module, name: str) -> nn.Module:
    """Give every module an attribute of this name, as ESPNet's encoder has a list ``modules``."""
    for module in list(net.modules()):
        module.__dict__[name] = []
    return net


@pytest.mark.parametrize("name", METHODS)
def test_an_attribute_may_hide_a_method(name):
    plain, net = Net(), hide(Net(), name)
    assert find_downsampling(net, X) == find_downsampling(plain, X)
    assert find_mixing(net, X) == find_mixing(plain, X)
    mended, report = put_in(net, X)
    expected, plain_report = put_in(plain, X)
    assert report == plain_report
    assert torch.equal(mended(X), expected(X))
    assert torch.equal(copy.deepcopy(mended)(X), expected(X))
    assert torch.equal(dealias.restore(mended)(X), plain(X))


@pytest.mark.parametrize("name", ["modules", "train", "type", "register_forward_pre_hook"])
def test_an_attribute_may_hide_a_method_from_the_probe(name, tmp_path, monkeypatch):
    Image.effect_noise((64, 32), 64).convert("RGB").save(tmp_path / "a.png")
    results = {}
    for hidden in ("unused", name):
        monkeypatch.setattr(aliasing, "Built", lambda h=hidden: hide(Net(), h), raising=False)
        network = load_network("dealias.engine.aliasing:Built", trust=True)
        assert not network.model.block.training
        results[hidden] = measure_aliasing(network, [tmp_path / "a.png"], bins=4)
        first = aliasing.FirstAliasing(network.model, X)
        assert first(X).shape == (2, 32, 48)
    assert results[name] == results["unused"]


@pytest.mark.parametrize("name", ["modules", "children", "train", "type", "forward_hooks"])
def test_a_module_may_have_the_name_of_a_method(name):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            setattr(self, name, nn.Conv2d(3, 4, 3, stride=2, padding=1))

        def forward(self, x: Tensor) -> Tensor:
            return self._modules[name](x)

    net = nn.Sequential(nn.Conv2d(3, 3, 1), Named())
    _, report = put_in(net, X, mixing=False)
    assert [item.site for item in report.inserted] == [f"1.{name}"]
