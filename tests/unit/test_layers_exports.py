"""Exports whose height and width are free agree with the modules, in ONNX Runtime too."""

import pytest
import torch
from torch import Tensor, nn

from dealias.layers import (
    AdaptiveBlur,
    BlurFilter,
    DealiasingFilter,
    FrequencyMixing,
    PartialFilter,
    PolyphaseShift,
    Subsample,
    collect_offsets,
    polyphase_upsample,
)

CUTOFF = 2**0.5 / 4
AUTO = torch.export.Dim.AUTO
SIZES = [(48, 80), (64, 96), (96, 64), (65, 97)]


def learned(module: nn.Module) -> nn.Module:
    """With weights that make it do something."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return module.eval()


class PutBack(nn.Module):
    """Take samples that the image chooses, and put them back."""

    def __init__(self):
        super().__init__()
        self.shift = PolyphaseShift((2, 2))

    def forward(self, x: Tensor) -> Tensor:
        with collect_offsets() as offsets:
            samples = self.shift(x)[..., ::2, ::2]
        return polyphase_upsample(samples, (x.shape[2], x.shape[3]), 2, offsets.at())


MODULES = {
    "ideal": DealiasingFilter(CUTOFF),
    "one axis": DealiasingFilter((0.5, 0.4)),
    "reflect": DealiasingFilter(CUTOFF, border="reflect"),
    "raised cosine": DealiasingFilter(CUTOFF, transfer="raised_cosine"),
    "hamming": DealiasingFilter(CUTOFF, transfer="hamming", border="reflect"),
    "butterworth": DealiasingFilter((0.3, 0.4), transfer="butterworth", border="reflect"),
    "official": DealiasingFilter(0.25, band_edge="official"),
    "fft": DealiasingFilter(CUTOFF, backend="fft"),
    "mixing": learned(FrequencyMixing(16, CUTOFF)),
    "mixing, reflect": learned(FrequencyMixing(16, CUTOFF, border="reflect")),
    "mixing, official": learned(FrequencyMixing(16, CUTOFF, pooling="official")),
    "blur": BlurFilter(4),
    "blur of any channels": BlurFilter(),
    "adaptive blur": learned(AdaptiveBlur(16, groups=4)),
    "in part": PartialFilter(DealiasingFilter(CUTOFF), 0.3),
    "in a learned part": learned(PartialFilter(DealiasingFilter(CUTOFF), "learned", channels=16)),
    "subsampling": Subsample((2, 3)),
    "subsampling, same": Subsample((2, 3), (3, 5)),
    "polyphase": PolyphaseShift((2, 2)),
    "polyphase, learned": learned(PolyphaseShift((2, 3), "learned", channels=16)),
    "polyphase, put back": PutBack(),
}
X = torch.randn(1, 16, *SIZES[0], generator=torch.Generator().manual_seed(0))
# The new exporter to ONNX takes seconds for each; the others are alike.
FAST = ("ideal", "fft", "blur", "subsampling, same", "polyphase, put back")


class Network(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.first = nn.Conv2d(16, 4, 1) if isinstance(module, BlurFilter) else nn.Identity()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(self.first(x))


def check(network: nn.Module, exported) -> None:
    for size in SIZES:
        x = torch.randn(1, 16, *size, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(exported(x), network(x), rtol=1e-4, atol=2e-5)


def runtime(path):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", MODULES)
def test_torch_export(name):
    network = Network(MODULES[name]).eval()
    program = torch.export.export(network, (X,), dynamic_shapes=({2: AUTO, 3: AUTO},))
    check(network, program.module())


@pytest.mark.parametrize("name", MODULES)
def test_compile(name):
    network = Network(MODULES[name]).eval()
    check(network, torch.compile(network, dynamic=True, fullgraph=True, backend="eager"))


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in MODULES]
)
def test_onnx(name, tmp_path):
    pytest.importorskip("onnxscript")
    network = Network(MODULES[name]).eval()
    free = ({2: AUTO, 3: AUTO},)
    program = torch.onnx.export(network, (X,), dynamo=True, dynamic_shapes=free, verbose=False)
    program.save(tmp_path / "network.onnx")
    check(network, runtime(tmp_path / "network.onnx"))


@pytest.mark.filterwarnings("ignore")  # the older exporter is on its way out, and says so
@pytest.mark.parametrize("axes", [None, {"x": {2: "height", 3: "width"}}], ids=["fixed", "free"])
@pytest.mark.parametrize("name", MODULES)
def test_onnx_by_torchscript(name, axes, tmp_path):
    pytest.importorskip("onnx")
    network, path = Network(MODULES[name]).eval(), tmp_path / "network.onnx"
    torch.onnx.export(network, (X,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
    run = runtime(path)
    if axes is None:
        torch.testing.assert_close(run(X), network(X), rtol=1e-4, atol=2e-5)
    else:
        check(network, run)


@pytest.mark.filterwarnings("ignore")  # as above
@pytest.mark.parametrize("name", MODULES)
def test_torchscript_by_tracing(name):
    network = Network(MODULES[name]).eval()
    check(network, torch.jit.trace(network, X))
