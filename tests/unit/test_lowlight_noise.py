import math

import pytest
import torch
from scipy.stats import kstest, tukeylambda

from dealias.lowlight import (
    CANON_5D4,
    gaussian_noise,
    quantization_noise,
    read_noise,
    row_noise,
    shot_noise,
    tukey_lambda,
)
from dealias.lowlight.capture import EXPOSURE_RATIO, Capture, draw_capture
from dealias.lowlight.pipeline import expose

SIDE = 1000  # a million samples


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def flat(value, dtype=torch.float32):
    return torch.full((SIDE, SIDE), float(value), dtype=dtype)


def check_moments(samples, mean, variance, kurtosis=3.0):
    """Within five standard errors of a mean and a variance of independent samples."""
    samples, n = samples.double(), samples.numel()
    assert samples.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(variance / n))
    error = variance * math.sqrt((kurtosis - 1) / n)
    assert samples.var().item() == pytest.approx(variance, abs=5 * error)


class TestParts:
    @pytest.mark.parametrize(("signal", "gain"), [(40, 0.5), (3, 13.96), (1500, 0.218)])
    def test_shot_noise_is_poisson(self, signal, gain):
        noisy = shot_noise(flat(signal), gain, generator=generator())
        check_moments(noisy, signal, gain * signal, kurtosis=3 + gain / signal)
        electrons = noisy / gain
        torch.testing.assert_close(electrons, electrons.round(), atol=1e-2, rtol=0)

    def test_no_light_has_no_shot_noise(self):
        assert shot_noise(torch.tensor([[0.0, -3.0]]), 2.0).tolist() == [[0, 0]]

    @pytest.mark.parametrize("shape", [1 / 70, 0.1, 0.2])
    def test_read_noise(self, shape):
        variance = 2.5**2 * tukeylambda.var(shape)
        kurtosis = 3 + tukeylambda.stats(shape, moments="k")
        noisy = read_noise(flat(7), 2.5, shape, generator=generator())
        check_moments(noisy, 7, variance, kurtosis)

    def test_row_noise_is_the_same_along_a_row(self):
        noisy = row_noise(torch.zeros(1000, 1000, 3), 1.7, generator=generator())
        assert torch.equal(noisy, noisy[..., :1].expand_as(noisy))
        check_moments(noisy[..., 0], 0, 1.7**2)

    def test_quantization_noise_is_uniform_per_pixel(self):
        noise = quantization_noise(flat(0), generator=generator())
        assert noise.abs().max() <= 0.5
        check_moments(noise, 0, 1 / 12, kurtosis=1.8)
        assert noise.unique().numel() > 900_000

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [1 / 70, 0.14, 1.0])
    def test_tukey_lambda_has_its_quantiles(self, shape, dtype):
        samples = tukey_lambda(flat(0, dtype), shape, generator=generator()).flatten()
        assert kstest(samples[:50_000].numpy(), tukeylambda(shape).cdf).pvalue > 1e-4
        levels = torch.tensor([1e-4, 0.01, 0.25, 0.5, 0.9, 0.9999], dtype=torch.float64)
        found = samples.double().sort().values[(levels * samples.numel()).long()]
        for level, value in zip(levels.tolist(), found.tolist(), strict=True):
            law = tukeylambda(shape)
            error = math.sqrt(level * (1 - level) / samples.numel()) / law.pdf(law.ppf(level))
            assert value == pytest.approx(law.ppf(level), abs=5 * error)

    def test_tukey_lambda_is_finite_and_symmetric_at_the_ends(self, monkeypatch):
        ends = torch.tensor([[0.0, 1 - 2**-24]])
        monkeypatch.setattr(torch, "rand", lambda *_, **__: ends)
        low, high = tukey_lambda(ends, 0.1)[0].tolist()
        assert math.isfinite(low)
        assert low == -high

    def test_parameters_are_those_of_each_image(self):
        signal = torch.full((2, SIDE, SIDE // 2), 50.0)
        noisy = shot_noise(signal, torch.tensor([1.0, 9.0]), generator=generator())
        check_moments(noisy[0], 50, 50, kurtosis=3 + 1 / 50)
        check_moments(noisy[1], 50, 450, kurtosis=3 + 9 / 50)


class TestTheWhole:
    def test_mean_and_variance_are_those_of_the_model(self):
        # So bright that nothing is clipped; rows many, for row noise is shared along them.
        capture = Capture(
            *map(torch.tensor, ([1.0], [1.0], [1.0], [20.0], [0.7], [0.1], [3], [2.0]))
        )
        signal = 0.4 * CANON_5D4.range / 20
        noisy = expose(torch.full((1, 200_000, 5), 0.4), capture, generator=generator())
        in_numbers = noisy.double() * CANON_5D4.range / 20
        variance = 0.7 * signal + 9 * tukeylambda.var(0.1) + 4 + 1 / 12
        assert in_numbers.mean().item() == pytest.approx(signal, abs=5 * math.sqrt(variance / 2e5))
        assert in_numbers.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / 2e5))
        between_rows = in_numbers.mean(-1).var().item()
        assert between_rows == pytest.approx((variance - 4) / 5 + 4, rel=5 * math.sqrt(2 / 2e5))

    def test_clipped_to_black_and_white(self):
        capture = draw_capture(1, ratio=100, generator=generator())
        noisy = expose(torch.tensor([0.0, 1.0]).repeat(1, 200, 100), capture, generator=generator())
        assert noisy.min() == 0
        assert noisy.max() == 1


class TestCapture:
    def test_draws_have_the_laws_asked_for(self):
        n = 100_000
        capture = draw_capture(n, generator=generator())

        def check_uniform(values, low, high):
            law = ((values.double() - low) / (high - low)).numpy()
            assert kstest(law, "uniform").pvalue > 1e-4

        def check_normal(values, mean, deviation):
            assert kstest(((values.double() - mean) / deviation).numpy(), "norm").pvalue > 1e-4

        check_normal(1 / capture.brightness, 0.8, 0.1)
        check_uniform(capture.red, 1.9, 2.4)
        check_uniform(capture.blue, 1.5, 1.9)
        check_uniform(capture.ratio, *EXPOSURE_RATIO)
        log_gain = capture.system_gain.log()
        check_uniform(log_gain, math.log(0.218), math.log(13.96))
        check_normal(capture.read_scale.log() - 0.656 * log_gain, 1.093, 0.286)
        check_normal(capture.row_scale.log() - 0.471 * log_gain, -0.808, 0.244)
        residual = (
            capture.read_scale.log() - 0.656 * log_gain,
            capture.row_scale.log() - 0.471 * log_gain,
        )
        drawn = (1 / capture.brightness, capture.red, capture.blue, capture.ratio, log_gain)
        related = torch.corrcoef(torch.stack([*drawn, *residual]).double())
        assert (related - torch.eye(7)).abs().max() < 5 / math.sqrt(n)  # independent
        shapes = torch.tensor(CANON_5D4.read_shapes)
        found, counts = capture.read_shape.unique(return_counts=True)
        assert torch.equal(found, shapes.unique())
        often = torch.tensor([(shapes == shape).sum() for shape in found]) / len(shapes)
        torch.testing.assert_close(counts / n, often, atol=5e-3, rtol=0)

    def test_the_same_seed_draws_the_same(self):
        one, two, other = (draw_capture(3, generator=generator(seed)) for seed in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert not torch.equal(one.ratio, other.ratio)

    @pytest.mark.parametrize(
        "ratio", [0.5, (50, 10), (0, 10), float("nan"), float("inf"), "a", (1, 2, 3), ("a", "b")]
    )
    def test_refuses_ratios_that_do_not_darken(self, ratio):
        with pytest.raises(ValueError, match="ratio: expected a number from 1 on"):
            draw_capture(1, ratio=ratio)


class TestGaussianNoise:
    @pytest.mark.parametrize("sigma", [1, 20])
    def test_uint8_has_the_deviation_asked_for(self, sigma):
        image = torch.full((SIDE, SIDE), 128, dtype=torch.uint8)
        noisy = gaussian_noise(image, sigma, generator=generator())
        assert noisy.dtype == torch.uint8
        check_moments(noisy, 128, sigma**2 + 1 / 12)  # rounding adds 1/12

    def test_floats_are_on_the_same_scale(self):
        noisy = gaussian_noise(flat(0.5), 20, generator=generator())
        check_moments(noisy, 0.5, (20 / 255) ** 2)

    def test_double_precision_is_kept(self):
        noisy = gaussian_noise(flat(0.5, torch.float64), 20, generator=generator())
        assert (noisy != noisy.float().double()).double().mean() > 0.9

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8])
    def test_clips_and_keeps_dtype(self, dtype):
        top = 255 if dtype == torch.uint8 else 1
        image = torch.tensor([0, top], dtype=dtype).repeat(1, 100, 100)
        noisy = gaussian_noise(image, 50, generator=generator())
        assert noisy.dtype == dtype
        assert (noisy.min(), noisy.max()) == (0, top)

    def test_sigma_zero_changes_nothing(self):
        image = torch.randint(256, (3, 5, 5), dtype=torch.uint8)
        assert torch.equal(gaussian_noise(image, 0), image)

    @pytest.mark.parametrize("sigma", [-1, float("nan"), float("inf"), "20", True])
    def test_refuses_other_sigmas(self, sigma):
        with pytest.raises(ValueError, match="sigma: expected a number from 0 on"):
            gaussian_noise(torch.zeros(3, 4, 4), sigma)

    def test_refuses_other_dtypes(self):
        with pytest.raises(ValueError, match="images: expected uint8 or floating point"):
            gaussian_noise(torch.zeros(3, 4, 4, dtype=torch.int32), 1)
