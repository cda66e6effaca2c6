import math

import numpy as np
import pytest
import torch

from dealias.spectral import lowpass_matrix


def dense(gain: np.ndarray) -> np.ndarray:
    """The matrix of a gain in the order of ``fft``, column by column."""
    return np.fft.ifft(gain[:, None] * np.fft.fft(np.eye(len(gain)), axis=0), axis=0)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 40])
@pytest.mark.parametrize("cutoff", [0.01, 0.25, 0.35, 0.4999, 0.5])
def test_ideal_matrix_is_the_masked_transform(n: int, cutoff: float) -> None:
    k = np.arange(n)
    expected = dense(np.minimum(k, n - k) / n <= cutoff)
    assert np.abs(expected.imag).max() < 1e-12
    actual = lowpass_matrix(n, cutoff, dtype=torch.float64)
    np.testing.assert_allclose(actual.numpy(), expected.real, atol=1e-13)


def test_ideal_matrix_is_the_dirichlet_kernel() -> None:
    n, m = 10, 3
    actual = lowpass_matrix(n, 0.3, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            d = math.pi * (i - j) / n
            kernel = math.sin((2 * m + 1) * d) / math.sin(d) if i != j else 2 * m + 1
            assert actual[i, j].item() == pytest.approx(kernel / n, abs=1e-14)


@pytest.mark.parametrize(("k", "n"), [(7, 20), (3, 10), (1, 3), (29, 100), (57, 190)])
def test_the_cutoff_itself_is_kept(k: int, n: int) -> None:
    kept = lowpass_matrix(n, k / n, dtype=torch.float64).trace()
    below = lowpass_matrix(n, math.nextafter(k / n, 0), dtype=torch.float64).trace()
    assert kept.item() == pytest.approx(2 * k + 1)
    assert below.item() == pytest.approx(2 * k - 1)


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_half_a_cycle_keeps_everything(n: int) -> None:
    for border in ("wrap", "reflect"):
        actual = lowpass_matrix(n, 0.5, border=border, dtype=torch.float64)
        torch.testing.assert_close(actual, torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("transfer", ["ideal", "hamming", "raised_cosine", "butterworth"])
@pytest.mark.parametrize("n", [1, 6, 9])
def test_reflect_filters_the_mirrored_signal(transfer: str, n: int) -> None:
    options = {"transfer": transfer, "dtype": torch.float64}
    x = torch.randn(n, dtype=torch.float64)
    mirrored = lowpass_matrix(2 * n, 0.3, **options) @ torch.cat((x, x.flip(0)))
    actual = lowpass_matrix(n, 0.3, border="reflect", **options) @ x
    torch.testing.assert_close(actual, mirrored[:n])


@pytest.mark.parametrize("n", [4, 11, 16])
@pytest.mark.parametrize("transfer", ["ideal", "hamming", "raised_cosine", "butterworth"])
@pytest.mark.parametrize("border", ["wrap", "reflect"])
def test_symmetric_and_keeps_the_mean(n: int, transfer: str, border: str) -> None:
    a = lowpass_matrix(n, 0.2, transfer=transfer, border=border, dtype=torch.float64)
    torch.testing.assert_close(a, a.T)
    torch.testing.assert_close(a.sum(0), torch.ones(n, dtype=torch.float64))
    eigenvalues = torch.linalg.eigvalsh(a)
    assert eigenvalues.min() > -1e-12
    assert eigenvalues.max() < 1 + 1e-12


def gain_of(n: int, **options: object) -> torch.Tensor:
    """Gain of a wrapped filter at 0, 1 / n, ... up to 0.5."""
    kernel = lowpass_matrix(n, dtype=torch.float64, **options)[:, 0]
    return torch.fft.rfft(kernel).real


def test_raised_cosine_gain() -> None:
    gain = gain_of(40, cutoff=0.2, transfer="raised_cosine", rolloff=0.5)  # ramp from 0.1 to 0.3
    frequency = torch.arange(21, dtype=torch.float64) / 40
    ramp = (1 + torch.cos(math.pi * (frequency - 0.1) / 0.2)) / 2
    expected = torch.where(frequency < 0.1, 1.0, torch.where(frequency > 0.3, 0.0, ramp))
    torch.testing.assert_close(gain, expected)
    assert gain[8].item() == pytest.approx(0.5)


def test_hamming_gain() -> None:
    gain = gain_of(40, cutoff=0.2, transfer="hamming")
    assert gain[0].item() == pytest.approx(1)
    assert gain[4].item() == pytest.approx(0.54)  # half way to the cutoff
    assert gain[8].item() == pytest.approx(0.08)
    assert gain[9:].abs().max().item() < 1e-14
    frequency = torch.arange(9, dtype=torch.float64) / 40
    torch.testing.assert_close(gain[:9], 0.54 + 0.46 * torch.cos(math.pi * frequency / 0.2))


def test_butterworth_gain() -> None:
    gain = gain_of(40, cutoff=0.2, transfer="butterworth", order=2)
    assert gain[8].item() == pytest.approx(0.5**0.5)
    assert gain[16].item() == pytest.approx(1 / 17**0.5)  # (1 + 2 ** 4) ** -1/2 at twice the cutoff


@pytest.mark.parametrize("n", [1, 2, 7, 12, 15, 16, 20])
@pytest.mark.parametrize("cutoff", [0.02, 0.25, 0.35, 0.5])
def test_official_band(n: int, cutoff: float) -> None:
    centred = np.zeros(n)
    centred[round(n / 2 - n * cutoff) : round(n / 2 + n * cutoff)] = 1
    expected = dense(np.fft.ifftshift(centred)).real
    actual = lowpass_matrix(n, cutoff, band_edge="official", dtype=torch.float64)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-13)


def test_dtype_and_device(device: torch.device) -> None:
    actual = lowpass_matrix(5, 0.3, dtype=torch.bfloat16, device=device)
    assert actual.dtype == torch.bfloat16
    assert actual.device.type == device.type
    assert lowpass_matrix(5, 0.3).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: expected a positive integer, got 0"),
        ({"n": 4.0}, "n: expected a positive integer, got 4.0"),
        ({"cutoff": 0.0}, r"cutoff: expected a number in \(0, 0.5\] cycles per pixel, got 0.0"),
        ({"cutoff": 0.51}, "got 0.51"),
        ({"cutoff": math.nan}, "got nan"),
        ({"cutoff": "auto"}, "got 'auto'"),
        (
            {"transfer": "box"},
            "transfer: expected one of ideal, hamming, raised_cosine, butterworth",
        ),
        ({"border": "zero"}, "border: expected one of wrap, reflect, got 'zero'"),
        ({"band_edge": "paper"}, "band_edge: expected one of symmetric, official"),
        ({"rolloff": 0.0}, r"rolloff: expected a number in \(0, 1\], got 0.0"),
        ({"order": 0}, "order: expected at least 1, got 0"),
        (
            {"band_edge": "official", "border": "reflect"},
            "band_edge='official': expected transfer=",
        ),
        ({"band_edge": "official", "transfer": "butterworth"}, "got 'butterworth' and 'wrap'"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lowpass_matrix(**{"n": 8, "cutoff": 0.25, **options})
