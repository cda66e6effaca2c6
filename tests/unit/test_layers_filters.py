import copy
import pickle

import pytest
import torch
from torch import nn

from dealias.layers import (
    AdaptiveBlur,
    BlurFilter,
    DealiasingFilter,
    FrequencyMixing,
    adaptive_blur,
    binomial_kernel,
)
from dealias.spectral import aliasing_score, lowpass
from graphs import check_graphs


def test_dealiasing_filter_is_the_function() -> None:
    x = torch.randn(2, 3, 9, 12)
    options = {"transfer": "raised_cosine", "border": "reflect", "rolloff": 0.2, "backend": "fft"}
    module = DealiasingFilter((0.2, 0.3), **options)
    assert torch.equal(module(x), lowpass(x, (0.2, 0.3), **options))
    assert not module.state_dict()


def test_representation_tells_what_differs() -> None:
    assert repr(DealiasingFilter(0.25)) == "DealiasingFilter(cutoff=(0.25, 0.25))"
    assert "band_edge='official'" in repr(DealiasingFilter(0.25, band_edge="official"))
    other = repr(DealiasingFilter(0.25, transfer="butterworth", border="reflect"))
    assert "transfer='butterworth', border='reflect'" in other


def test_filter_refuses_bad_arguments_at_once() -> None:
    with pytest.raises(ValueError, match=r"got 0\.7"):
        DealiasingFilter(0.7)
    with pytest.raises(ValueError, match="transfer: expected one of"):
        DealiasingFilter(0.3, transfer="gaussian")
    with pytest.raises(ValueError, match="backend: expected one of"):
        DealiasingFilter(0.3, backend="dct")
    with pytest.raises(ValueError, match="backend='slabs' needs"):
        DealiasingFilter(0.3, transfer="butterworth", backend="slabs")


@pytest.mark.parametrize(
    "module", [DealiasingFilter((0.3, 0.2)), FrequencyMixing(4, (0.3, 0.2), reduction=2)], ids=type
)
def test_the_cutoff_is_checked_once(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter holds checked responses: a pass checks its map alone."""
    assert [response.cutoff for response in module.responses] == [0.3, 0.2]
    assert module.cutoff == (0.3, 0.2)
    monkeypatch.setattr("dealias.spectral.response.check_response", None)
    assert module(torch.zeros(1, 4, 8, 8)).shape == (1, 4, 8, 8)
    with pytest.raises(ValueError, match="x: expected real floating-point numbers"):
        module(torch.zeros(1, 4, 8, 8, dtype=torch.int64))


@pytest.mark.parametrize("size", range(2, 8))
def test_binomial_kernel(size: int) -> None:
    expected = torch.ones(1)
    for _ in range(size - 1):
        expected = nn.functional.conv1d(
            expected[None, None], torch.full((1, 1, 2), 0.5), padding=1
        ).flatten()
    torch.testing.assert_close(binomial_kernel(size), expected)


def test_blur_by_hand() -> None:
    x = torch.tensor([[4.0, 0.0, 8.0], [4.0, 0.0, 8.0]]).expand(1, 1, 2, 3)
    # Rows are alike, so only columns matter: mirrored 0 4 0 8 0.
    expected = torch.tensor([2.0, 3.0, 4.0]).expand(1, 1, 2, 3)
    torch.testing.assert_close(BlurFilter(1, 3)(x), expected)


@pytest.mark.parametrize("size", range(2, 8))
def test_blurs_keep_the_size_and_a_constant(size: int) -> None:
    x = torch.full((2, 8, 9, 11), 3.0)
    for module in (BlurFilter(8, size), AdaptiveBlur(8, size, groups=4)):
        torch.testing.assert_close(module(x), x)
        torch.testing.assert_close(module(x[0]), x[0])


def test_blur_of_any_channels() -> None:
    blur = BlurFilter(size=5)
    assert str(blur) == "BlurFilter(size=5)"
    for channels in (1, 3, 8):
        x = torch.randn(2, channels, 9, 8)
        torch.testing.assert_close(blur(x), BlurFilter(channels, 5)(x), rtol=0, atol=0)


def test_blur_lowers_the_aliasing_score() -> None:
    x = torch.randn(2, 4, 32, 32)
    assert (aliasing_score(BlurFilter(4, 3)(x), 0.25) < aliasing_score(x, 0.25) / 3).all()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_adaptive_blur_applies_the_kernel_of_each_position(size: int) -> None:
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    kernels = torch.rand(2, 2, size * size, 6, 5, dtype=torch.float64)
    before, after = (size - 1) // 2, size // 2
    padded = nn.functional.pad(x, (before, after, before, after), mode="reflect")
    expected = torch.zeros_like(x)
    for n, c, i, j in (
        (n, c, i, j) for n in range(2) for c in range(4) for i in range(6) for j in range(5)
    ):
        window = padded[n, c, i : i + size, j : j + size].flatten()
        expected[n, c, i, j] = window @ kernels[n, c // 2, :, i, j]
    torch.testing.assert_close(adaptive_blur(x, kernels), expected)


def test_adaptive_blur_starts_as_a_blur_and_learns() -> None:
    module = AdaptiveBlur(8, 3, groups=2)
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(module(x), BlurFilter(8, 3)(x))
    module(x).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())


def test_adaptive_blur_gradient() -> None:
    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    kernels = torch.rand(1, 1, 9, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(adaptive_blur, (x, kernels))


def test_fixed_kernels_are_not_in_the_state() -> None:
    assert not BlurFilter(8, 3).state_dict()
    assert set(AdaptiveBlur(8).state_dict()) == {"logits.weight", "logits.bias"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlurFilter(4, 8), "size: expected 2 to 7, got 8"),
        (lambda: BlurFilter(0, 3), "channels: expected a positive integer, got 0"),
        (lambda: AdaptiveBlur(4, 1, groups=2), "size: expected 2 to 7, got 1"),
        (
            lambda: AdaptiveBlur(6, 3, groups=4),
            "groups: expected a divisor of the 6 channels, got 4",
        ),
        (
            lambda: BlurFilter(4, 3)(torch.zeros(1, 3, 8, 8)),
            r"x: expected \[B, 4, H, W\], got \(1, 3, 8, 8\)",
        ),
        (lambda: AdaptiveBlur(8)(torch.zeros(8, 8)), r"x: expected \[B, 8, H, W\], got \(8, 8\)"),
        (lambda: BlurFilter(4, 5)(torch.zeros(1, 4, 8, 2)), "more than 2 pixels high and wide"),
    ],
)
def test_bad_arguments(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


MODULES = {
    "daf": DealiasingFilter(0.35),
    "daf-official": DealiasingFilter(0.35, band_edge="official"),
    "daf-reflect": DealiasingFilter((0.3, 0.4), border="reflect", transfer="butterworth"),
    "blur": BlurFilter(8, 3),
    "adaptive_blur": AdaptiveBlur(8, 3, groups=4),
}


@pytest.mark.parametrize("name", MODULES)
def test_copies_and_dtypes(name: str, device: torch.device) -> None:
    module = copy.deepcopy(MODULES[name]).to(device)
    x = torch.randn(2, 8, 10, 12, device=device)
    y = module(x)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), y)
    half = copy.deepcopy(module).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half - y).abs().max() < 0.1
    with torch.autocast(device.type, torch.bfloat16):
        assert (module(x) - y).abs().max() < 0.1


@pytest.mark.parametrize("name", MODULES)
def test_memory_format(name: str, device: torch.device) -> None:
    module = copy.deepcopy(MODULES[name]).to(device)
    x = torch.randn(2, 8, 10, 12, device=device)
    last = module(x.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, module(x))


@pytest.mark.parametrize("name", MODULES)
def test_compiles_and_exports(name: str) -> None:
    check_graphs(MODULES[name], torch.randn(2, 8, 10, 12))


@pytest.mark.parametrize("blur", [BlurFilter(8), AdaptiveBlur(8)])
@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64])
def test_blurs_refuse_what_is_no_real_map(blur: torch.nn.Module, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="floating-point"):
        blur(torch.ones(1, 8, 6, 6, dtype=dtype))
