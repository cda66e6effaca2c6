import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dealias.spectral import aliasing_map, aliasing_score, lowpass

CUTOFFS = st.floats(0.01, 0.5)
SIZES = st.integers(1, 20)
BORDERS = st.sampled_from(["wrap", "reflect"])
TRANSFERS = st.sampled_from(["ideal", "hamming", "raised_cosine", "butterworth"])


@st.composite
def maps(draw: st.DrawFn) -> Tensor:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = 2, draw(SIZES), draw(SIZES)
    return torch.randn(size, generator=generator, dtype=torch.float64)


@given(maps(), CUTOFFS, CUTOFFS, TRANSFERS, BORDERS)
def test_linear(x: Tensor, rows: float, columns: float, transfer: str, border: str) -> None:
    def low(x: Tensor) -> Tensor:
        return lowpass(x, (rows, columns), transfer=transfer, border=border)

    y = x.flip(0) + 1
    torch.testing.assert_close(low(2 * x - 3 * y), 2 * low(x) - 3 * low(y))


@given(maps(), CUTOFFS, BORDERS)
def test_an_ideal_filter_is_an_orthogonal_projection(x: Tensor, cutoff: float, border: str) -> None:
    low = lowpass(x, cutoff, border=border)
    torch.testing.assert_close(lowpass(low, cutoff, border=border), low)
    assert abs((low * (x - low)).sum().item()) < 1e-10 * (1 + x.square().sum().item())


@given(maps(), CUTOFFS, TRANSFERS, BORDERS)
def test_keeps_the_mean(x: Tensor, cutoff: float, transfer: str, border: str) -> None:
    low = lowpass(x, cutoff, transfer=transfer, border=border)
    torch.testing.assert_close(low.mean((-2, -1)), x.mean((-2, -1)))


@given(maps(), CUTOFFS, TRANSFERS, st.integers(0, 19), st.integers(0, 19))
def test_commutes_with_circular_shifts(
    x: Tensor, cutoff: float, transfer: str, down: int, right: int
) -> None:
    shifted = lowpass(x.roll((down, right), (-2, -1)), cutoff, transfer=transfer)
    low = lowpass(x, cutoff, transfer=transfer)
    torch.testing.assert_close(shifted, low.roll((down, right), (-2, -1)))


@given(maps(), CUTOFFS, TRANSFERS, BORDERS)
def test_commutes_with_flips(x: Tensor, cutoff: float, transfer: str, border: str) -> None:
    flipped = lowpass(x.flip(-1), cutoff, transfer=transfer, border=border)
    torch.testing.assert_close(
        flipped, lowpass(x, cutoff, transfer=transfer, border=border).flip(-1)
    )


@given(maps(), CUTOFFS)
def test_a_mirrored_border_does_not_see_the_other_end(x: Tensor, cutoff: float) -> None:
    """Filtering the mirror-extended map gives the same, so a step across the border is none."""
    extended = torch.cat((x, x.flip(-1)), -1)
    expected = lowpass(extended, (0.5, cutoff))[..., : x.shape[-1]]
    torch.testing.assert_close(lowpass(x, (0.5, cutoff), border="reflect"), expected)


@given(maps(), CUTOFFS)
def test_the_score_is_a_share(x: Tensor, cutoff: float) -> None:
    score = aliasing_score(x, cutoff)
    assert 0 <= score <= 1
    low = lowpass(x, cutoff)
    assert aliasing_score(low, cutoff) < 1e-20
    high = x - low
    if high.square().sum() > 1e-12:
        assert aliasing_score(high, cutoff) > 1 - 1e-10
    torch.testing.assert_close(aliasing_score(7 * x, cutoff), score)
    found = aliasing_map(x, cutoff, window=3)
    assert found.min() >= 0
    assert found.max() <= 1


@given(maps(), CUTOFFS, CUTOFFS)
def test_the_score_falls_with_the_cutoff(x: Tensor, one: float, other: float) -> None:
    lower, higher = sorted((one, other))
    assert aliasing_score(x, higher) <= aliasing_score(x, lower) + 1e-12


@pytest.mark.parametrize("n", range(1, 41))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"border": "reflect"},
        {"band_edge": "official"},
        {"transfer": "raised_cosine", "border": "reflect", "rolloff": 0.7},
        {"transfer": "butterworth"},
        {"transfer": "hamming"},
        {"transfer": "hamming", "border": "reflect"},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_the_two_backends_agree(n: int, options: dict) -> None:
    x = torch.randn(2, n, 41 - n, dtype=torch.float64)
    for step in range(1, 26):
        cutoff = step / 50
        by_matmul = lowpass(x, cutoff, backend="matmul", **options)
        by_fft = lowpass(x, cutoff, backend="fft", **options)
        torch.testing.assert_close(by_matmul, by_fft)
