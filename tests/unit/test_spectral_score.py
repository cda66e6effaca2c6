import math

import pytest
import torch
from torch import Tensor

from dealias.spectral import aliasing_map, aliasing_score, filter_orthogonality, radial_spectrum


def spectrum_share(x: Tensor, rows: float, columns: float) -> Tensor:
    """The definition, in the frequency domain."""
    power = torch.fft.fft2(x).abs().square().sum(-3)
    u = torch.fft.fftfreq(x.shape[-2], dtype=torch.float64).abs() > rows
    v = torch.fft.fftfreq(x.shape[-1], dtype=torch.float64).abs() > columns
    return (power * (u[:, None] | v)).sum((-2, -1)) / power.sum((-2, -1))


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (1, 7)])
def test_score_is_the_share_of_the_spectrum(size: tuple[int, int]) -> None:
    x = torch.randn(3, 4, *size, dtype=torch.float64)
    torch.testing.assert_close(aliasing_score(x, (0.3, 0.2)), spectrum_share(x, 0.3, 0.2))


def test_score_by_hand() -> None:
    fast = torch.tensor([1.0, -1.0]).repeat(4, 2)  # power 1, all at half a cycle
    slow = torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(4, 4)  # power 1, at a quarter
    x = torch.stack((fast, slow))
    assert aliasing_score(x, 0.25).item() == pytest.approx(0.5)
    assert aliasing_score(x, 0.2).item() == pytest.approx(1.0)
    assert aliasing_score(x + 1, 0.25).item() == pytest.approx(0.25)
    assert aliasing_score(x + 1, 0.25, include_dc=False).item() == pytest.approx(0.5)


def test_score_sees_very_little_power() -> None:
    """One minus the share that is left would round to 0."""
    fast = torch.tensor([1.0, -1.0]).repeat(4, 2)
    assert aliasing_score(1 + 1e-5 * fast, 0.25).item() == pytest.approx(1e-10, rel=0.1)


def test_nothing_scores_nothing() -> None:
    assert aliasing_score(torch.zeros(2, 3, 4, 4), 0.25).tolist() == [0, 0]
    flat = torch.full((1, 3, 5, 7), 0.1)
    assert aliasing_score(flat, 0.25, include_dc=False).item() == 0
    assert aliasing_score(flat, 0.25).item() < 1e-12


def test_score_of_any_rank_and_dtype() -> None:
    x = torch.randn(2, 5, 3, 8, 8)
    scores = aliasing_score(x, 0.3)
    assert scores.shape == (2, 5)
    torch.testing.assert_close(aliasing_score(x[1, 2], 0.3), scores[1, 2])
    assert aliasing_score(x[0, 0, 0], 0.3).shape == ()
    half = aliasing_score(x.half(), 0.3)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, scores, atol=1e-3, rtol=0)


def test_score_gradient() -> None:
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: aliasing_score(x, 0.3, include_dc=False), x)


def test_map_finds_the_place() -> None:
    x = torch.ones(2, 3, 32, 32)
    x[..., 16:] += torch.tensor([1.0, -1.0]).repeat(8)
    found = aliasing_map(x, 0.25, window=5)
    assert found.shape == (2, 32, 32)
    assert found[..., 4:12].max() < 0.02
    assert found[..., 20:28].min() > 0.4


@pytest.mark.parametrize("window", [1, 3, 7])
def test_map_averages_inside_the_image(window: int) -> None:
    """The window is cut off at the border rather than padded."""
    fast = torch.tensor([1.0, -1.0]).repeat(6, 3)
    torch.testing.assert_close(aliasing_map(fast + 1, 0.25, window=window), torch.full((6, 6), 0.5))


def test_map_of_nothing() -> None:
    assert aliasing_map(torch.zeros(1, 4, 4), 0.3).tolist() == [[0.0] * 4] * 4


def test_map_needs_an_odd_window() -> None:
    with pytest.raises(ValueError, match="window: expected an odd positive number, got 4"):
        aliasing_map(torch.zeros(4, 4), 0.3, window=4)


@pytest.mark.parametrize("bins", [1, 4, 32])
def test_spectrum_adds_up_to_the_power(bins: int) -> None:
    x = torch.randn(2, 3, 9, 16, dtype=torch.float64)
    spectrum = radial_spectrum(x, bins=bins)
    assert spectrum.power.shape == (2, 3, bins)
    torch.testing.assert_close(spectrum.power.sum(-1), x.square().mean((-2, -1)))


def test_spectrum_beyond_the_cutoff_is_the_score() -> None:
    x = torch.randn(3, 20, 30, dtype=torch.float64)
    spectrum = radial_spectrum(x, bins=10)
    beyond = spectrum.power[:, spectrum.frequency > 0.3].sum() / spectrum.power.sum()
    torch.testing.assert_close(beyond, aliasing_score(x, 0.3))


def test_spectrum_of_one_wave() -> None:
    t = torch.arange(16, dtype=torch.float64)
    wave = math.sqrt(2) * torch.cos(2 * math.pi * 3 * t / 16).expand(16, 16)  # 3 / 16 of a cycle
    power = radial_spectrum(wave, bins=4).power
    torch.testing.assert_close(power, torch.tensor([0.0, 1, 0, 0], dtype=torch.float64))


def test_spectrum_needs_a_bin() -> None:
    with pytest.raises(ValueError, match="bins: expected at least 1, got 0"):
        radial_spectrum(torch.zeros(4, 4), bins=0)


def test_orthogonality_by_hand() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-2.0, 2.0]])
    pairs = [0, 2**-0.5, 2**-0.5]
    assert filter_orthogonality(weight).item() == pytest.approx(sum(pairs) / 3)
    assert filter_orthogonality(weight[:2, :, None, None]).item() == 0
    assert filter_orthogonality(torch.ones(4, 2, 3, 3)).item() == pytest.approx(1)


def test_orthogonality_across_groups() -> None:
    weight = torch.ones(4, 1, 3, 3)
    assert filter_orthogonality(weight, groups=4).item() == 0
    assert filter_orthogonality(weight, groups=2).item() == pytest.approx(2 / 6)


def test_orthogonality_of_degenerate_weights() -> None:
    assert filter_orthogonality(torch.ones(1, 3)).isnan()
    assert filter_orthogonality(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).item() == 0


@pytest.mark.parametrize(
    ("weight", "groups", "message"),
    [
        (torch.ones(3), 1, r"got shape \(3,\)"),
        (torch.ones(3, 3).long(), 1, "torch.int64"),
        (torch.ones(4, 3), 3, "groups: expected a divisor of the 4 filters, got 3"),
    ],
)
def test_orthogonality_of_bad_weights(weight: Tensor, groups: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filter_orthogonality(weight, groups=groups)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_no_number_is_not_scored_as_free_of_aliasing(value: float) -> None:
    x = torch.randn(2, 3, 8, 8)
    x[1, 0, 2, 3] = value
    assert aliasing_score(x, 0.25).isnan().tolist() == [False, True]
    assert aliasing_map(x, 0.25, window=3).isnan().flatten(1).any(1).tolist() == [False, True]


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_an_image_does_not_matter(scale: float) -> None:
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(aliasing_score(x * scale, 0.25), aliasing_score(x, 0.25))
    torch.testing.assert_close(aliasing_map(x * scale, 0.25), aliasing_map(x, 0.25))


@pytest.mark.parametrize(("n", "bins"), [(25, 25), (28, 42), (41, 41), (40, 8)])
def test_a_frequency_on_the_edge_of_a_ring_is_inside(n: int, bins: int) -> None:
    for k in range(1, n // 2 + 1):
        wave = torch.cos(2 * torch.pi * k * torch.arange(n, dtype=torch.float64) / n)
        ring = radial_spectrum(wave.expand(n, n), bins=bins).power.argmax().item()
        assert ring == -(-2 * bins * k // n) - 1
