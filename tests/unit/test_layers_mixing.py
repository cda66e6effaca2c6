import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from dealias.layers import FrequencyMixing, corner_values, frequency_mixing, relative_amplitudes
from dealias.spectral import lowpass
from graphs import check_graphs


def randomised(module: nn.Module) -> nn.Module:
    """The same module with weights that do something."""
    module = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return module


torch.manual_seed(0)  # with few hidden units, all may start dead
POWER = FrequencyMixing(16, 0.3, reduction=4)
OFFICIAL = FrequencyMixing(16, (0.3, 0.35), reduction=4, pooling="official")


@pytest.mark.parametrize("channels_last", [False, True])
def test_mixing_is_the_formula(channels_last: bool) -> None:
    x, low = torch.randn(2, 2, 3, 5, 4, dtype=torch.float64)
    s, a = torch.rand(2, 2, 5, 4, dtype=torch.float64), torch.rand(2, 2, 3, dtype=torch.float64)
    sl, sh, al, ah = s[:, :1], s[:, 1:], a[:, 0, :, None, None], a[:, 1, :, None, None]
    expected = sl * al * low + sh * ah * (x - low)
    if channels_last:
        x, low = (t.contiguous(memory_format=torch.channels_last) for t in (x, low))
    y = frequency_mixing(x, low, s, a)
    torch.testing.assert_close(y, expected)
    assert y.stride() == x.stride()


def test_mixing_gradient() -> None:
    shapes = (2, 3, 4, 2), (2, 3, 4, 2), (2, 2, 4, 2), (2, 2, 3)
    arguments = [torch.rand(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(frequency_mixing, arguments)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_new_module_is_the_identity(dtype: torch.dtype, device: torch.device) -> None:
    x = torch.randn(2, 16, 9, 12, dtype=dtype, device=device)
    assert torch.equal(copy.deepcopy(POWER).to(device, dtype)(x), x)


def test_a_new_official_module_is_the_identity() -> None:
    x = torch.randn(2, 16, 9, 12)
    torch.testing.assert_close(OFFICIAL(x), x, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("module", [POWER, OFFICIAL], ids=["power", "official"])
def test_every_parameter_learns(module: nn.Module) -> None:
    """The first layers of the channel networks from the second step on."""
    module, x = copy.deepcopy(module), torch.randn(2, 16, 9, 12)
    target = torch.randn(2, 16, 9, 12)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (module(x) - target).square().mean().backward()
        optimizer.step()
    still = [name for name, p in module.named_parameters() if not p.grad.abs().sum() > 0]
    assert not still


def test_default_initialisation_is_no_identity() -> None:
    x = torch.randn(1, 16, 9, 12)
    module = FrequencyMixing(16, 0.3, reduction=4, identity_init=False)
    assert not torch.allclose(module(x), x, atol=0.1)


@pytest.mark.parametrize("border", ["wrap", "reflect"])
def test_amplitudes_are_those_of_the_spectrum(border: str) -> None:
    x = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    low = lowpass(x, 0.3, border=border)
    powers = torch.stack([part.square().mean((-2, -1)) for part in (low, x - low)], 1)
    expected = (powers / x.square().mean((1, 2, 3))[:, None, None]).sqrt()
    torch.testing.assert_close(relative_amplitudes(x, low), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(relative_amplitudes(9 * x, 9 * low), relative_amplitudes(x, low))


def test_amplitudes_of_nothing() -> None:
    x = torch.zeros(1, 3, 4, 4, requires_grad=True)
    amplitudes = relative_amplitudes(x, lowpass(x, 0.3))
    assert amplitudes.max() < 0.01
    amplitudes.sum().backward()
    assert x.grad.isfinite().all()


def test_amplitude_gradient() -> None:
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: relative_amplitudes(x, lowpass(x, 0.3)), x)


@pytest.mark.parametrize("size", [(8, 10), (9, 8), (7, 5)])
def test_corner_values_are_means_of_the_spectra(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    cutoff = 0.35
    mask = np.zeros(size)
    rows, columns = (slice(round(n / 2 - n * cutoff), round(n / 2 + n * cutoff)) for n in size)
    mask[rows, columns] = 1
    spectrum = np.fft.fftshift(np.fft.fft2(x.numpy()), axes=(-2, -1))
    parts = np.stack([(spectrum * m).mean((-2, -1)) for m in (mask, 1 - mask)], 1)
    actual = corner_values(x, (cutoff, cutoff)).numpy()
    np.testing.assert_allclose(actual[0], parts.real, atol=1e-12)
    np.testing.assert_allclose(actual[1], parts.imag, atol=1e-12)


@pytest.mark.parametrize("module", [POWER, OFFICIAL], ids=["power", "official"])
def test_an_image_is_weighed_by_itself_alone(module: nn.Module) -> None:
    module, x = randomised(module), torch.randn(3, 16, 9, 12)
    alone = torch.cat([module(image[None]) for image in x])
    torch.testing.assert_close(module(x), alone)
    torch.testing.assert_close(module(x[1]), alone[1])


@pytest.mark.parametrize("module", [POWER, OFFICIAL], ids=["power", "official"])
def test_copies_formats_and_dtypes(module: nn.Module, device: torch.device) -> None:
    module, x = randomised(module).to(device), torch.randn(2, 16, 9, 12, device=device)
    y = module(x)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), y)
    last = module(x.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, y)
    half = copy.deepcopy(module).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half - y).abs().max() < 0.1
    with torch.autocast(device.type, torch.bfloat16):
        mixed = module(x)
    assert mixed.dtype == torch.float32
    assert (mixed - y).abs().max() < 0.1


@pytest.mark.parametrize("module", [POWER, OFFICIAL], ids=["power", "official"])
def test_compiles_and_exports(module: nn.Module) -> None:
    check_graphs(randomised(module), torch.randn(2, 16, 9, 12))


def test_sides_that_vary_export() -> None:
    module, x = randomised(POWER).eval(), torch.randn(2, 16, 9, 12)
    sides = {2: torch.export.Dim("height", max=256), 3: torch.export.Dim("width", max=256)}
    exported = torch.export.export(module, (x,), dynamic_shapes=(sides,)).module()
    other = torch.randn(2, 16, 20, 7)
    torch.testing.assert_close(exported(other), module(other))


def test_forward_changes_nothing() -> None:
    module = randomised(POWER)
    before = dict(vars(module))
    module(torch.randn(1, 16, 5, 5))
    assert vars(module) == before


def test_parameter_names_are_the_published_ones() -> None:
    parts = ["freq_weight_conv"]
    parts += [f"channel_att_{part}.{i}" for part in ("low", "high") for i in (1, 3)]
    expected = {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    assert set(POWER.state_dict()) == set(OFFICIAL.state_dict()) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 20}, "reduction: expected a divisor of the 20 channels, got 16"),
        ({"reduction": 0}, "divisor of the 32 channels, got 0"),
        ({"cutoff": 0.9}, "got 0.9"),
        ({"pooling": "max"}, "pooling: expected one of power, official, got 'max'"),
        ({"border": "zero"}, "border: expected one of wrap, reflect"),
        ({"pooling": "official", "border": "reflect"}, "pooling='official' needs border='wrap'"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrequencyMixing(**{"channels": 32, "cutoff": 0.3, **options})


@pytest.mark.parametrize("shape", [(2, 8, 4, 4), (4, 4), (1, 1, 16, 4, 4)])
def test_bad_maps(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x: expected \[B, 16, H, W\]"):
        POWER(torch.zeros(shape))


def test_the_position_convolution_may_be_watched_or_parametrised() -> None:
    x = torch.randn(1, 32, 8, 8)
    mixing = FrequencyMixing(32, 0.35, identity_init=False)
    expected = mixing(x)
    calls: list[int] = []
    mixing.freq_weight_conv.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(mixing(x), expected)
    assert calls == [1]
    torch.nn.utils.parametrizations.weight_norm(mixing.freq_weight_conv)
    torch.testing.assert_close(mixing(x), expected)
