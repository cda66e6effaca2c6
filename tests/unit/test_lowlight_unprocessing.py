import cv2
import numpy as np
import pytest
import torch

from dealias.data import ProceduralScenes
from dealias.lowlight import CANON_5D4
from dealias.lowlight.unprocessing import (
    camera_to_srgb,
    demosaic,
    gamma_compression,
    gamma_expansion,
    inverse_smoothstep,
    inverse_white_balance,
    mosaic,
    smoothstep,
    srgb_to_camera,
    white_balance,
)

UNIT = torch.linspace(0, 1, 1001, dtype=torch.float64)


def random_image(*shape, top=1.0):
    return torch.rand(*shape, dtype=torch.float64) * top


class TestToneAndGamma:
    def test_inverse_smoothstep_inverts_smoothstep_both_ways(self):
        torch.testing.assert_close(inverse_smoothstep(smoothstep(UNIT)), UNIT)
        torch.testing.assert_close(smoothstep(inverse_smoothstep(UNIT)), UNIT)

    def test_inverse_smoothstep_by_hand(self):
        # 3/16 - 2/64 = 5/32 at 1/4.
        values = torch.tensor([0, 5 / 32, 0.5, 27 / 32, 1], dtype=torch.float64)
        expected = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64)
        torch.testing.assert_close(inverse_smoothstep(values), expected)

    def test_tone_curves_clip(self):
        beyond = torch.tensor([-0.5, 1.5])
        assert smoothstep(beyond).tolist() == [0, 1]
        assert inverse_smoothstep(beyond).tolist() == [0, 1]

    def test_gamma_expansion_is_the_power_2_2_and_inverts(self):
        assert gamma_expansion(torch.tensor(0.5)).item() == pytest.approx(0.5**2.2)
        assert gamma_expansion(torch.tensor(-0.1)).item() == 0
        torch.testing.assert_close(gamma_compression(gamma_expansion(UNIT)), UNIT)
        torch.testing.assert_close(gamma_expansion(gamma_compression(UNIT)), UNIT)


class TestColors:
    @pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
    def test_the_matrix_is_inverted(self, lead):
        image = random_image(*lead, 3, 4, 5)
        torch.testing.assert_close(camera_to_srgb(srgb_to_camera(image)), image)

    def test_rows_of_the_matrix_make_srgb(self):
        red = torch.tensor([1.0, 0, 0])[:, None, None]
        expected = [2.04840695, -0.22163155, -0.00770995]  # its first column
        assert camera_to_srgb(red).flatten().tolist() == pytest.approx(expected)

    def test_gray_stays_gray(self):
        gray = torch.full((3, 1, 1), 0.3)
        assert srgb_to_camera(gray).flatten().tolist() == pytest.approx([0.3] * 3, abs=1e-6)


class TestWhiteBalance:
    def test_inverts_below_the_highlights(self):
        image = random_image(2, 3, 4, 5, top=0.9)
        gains = torch.tensor([1.2, 1.4]), torch.tensor([2.0, 2.3]), torch.tensor([1.5, 1.8])
        torch.testing.assert_close(
            white_balance(inverse_white_balance(image, *gains), *gains), image
        )

    def test_by_hand_with_gains_of_each_image(self):
        image = torch.full((2, 3, 1, 1), 0.6)
        brightness, red, blue = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]), 1.5
        result = inverse_white_balance(image, brightness, red, blue)[..., 0, 0]
        assert result.tolist() == [pytest.approx([0.3, 0.6, 0.4]), pytest.approx([0.1, 0.3, 0.2])]

    def test_gains_are_numbers_or_one_an_image_in_any_mix(self):
        image = torch.rand(2, 3, 4, 4, dtype=torch.float64) * 0.8
        numbers = white_balance(image, 1.25, 2, 1.6)
        ones = torch.ones(2, dtype=torch.float64)
        for gains in ((1.25 * ones, 2, 1.6), (1.25, 2 * ones, 1.6), (1.25, 2, 1.6 * ones)):
            assert torch.equal(white_balance(image, *gains), numbers)
            inverted = inverse_white_balance(numbers, *gains)
            assert torch.equal(inverted, inverse_white_balance(numbers, 1.25, 2, 1.6))

    def test_white_stays_white_and_gains_fade_to_it(self):
        # At a mean of 0.95 the fade is (0.05 / 0.1)^2 = 1/4; the gain of red is 1/2.
        image = torch.tensor([0.9, 0.95, 1.0]).expand(3, 1, 3)
        red = inverse_white_balance(image, 1.0, 2.0, 1.0)[0, 0]
        assert red.tolist() == pytest.approx([0.45, 0.95 * (0.25 + 0.75 * 0.5), 1.0], abs=1e-5)

    def test_colours_fade_by_the_mean_of_their_channels(self):
        # A mean of 0.95: a quarter of the way to 1, from gains of 1/2, 1 and 1/1.6.
        image = torch.tensor([1.0, 0.9, 0.95])[:, None, None]
        found = inverse_white_balance(image, 1.0, 2.0, 1.6).flatten().tolist()
        assert found == pytest.approx([0.625, 0.9, 0.95 * (0.25 + 0.75 / 1.6)], abs=1e-5)

    def test_gains_below_one_are_not_raised(self):
        # A dark exposure: dividing brightens, and the highlights keep that gain.
        image = torch.ones(3, 1, 1)
        assert inverse_white_balance(image, 0.8, 1.0, 1.0).flatten().tolist() == [1.25] * 3


class TestMosaic:
    def test_rggb_from_the_top_left(self):
        image = torch.arange(3 * 3 * 4).reshape(3, 3, 4)
        red, green, blue = image
        expected = torch.stack(
            [
                torch.stack([red[0, 0], green[0, 1], red[0, 2], green[0, 3]]),
                torch.stack([green[1, 0], blue[1, 1], green[1, 2], blue[1, 3]]),
                torch.stack([red[2, 0], green[2, 1], red[2, 2], green[2, 3]]),
            ]
        )
        assert torch.equal(mosaic(image), expected)

    @pytest.mark.parametrize("size", [(2, 2), (6, 8), (7, 5)])
    def test_demosaic_keeps_the_values_there_are(self, size):
        raw = random_image(2, *size)
        assert torch.equal(mosaic(demosaic(raw)), raw)

    @pytest.mark.parametrize("size", [(2, 2), (6, 8), (7, 5)])
    def test_a_flat_colour_comes_back_whole(self, size):
        image = torch.tensor([0.2, 0.5, 0.7])[:, None, None].expand(3, *size)
        torch.testing.assert_close(demosaic(mosaic(image)), image)

    def test_demosaic_is_opencv_bilinear_inside(self):
        raw = torch.randint(256, (20, 30), dtype=torch.uint8)
        expected = cv2.cvtColor(raw.numpy(), cv2.COLOR_BayerRGGB2RGB)[2:-2, 2:-2]
        ours = demosaic(raw.double()).permute(1, 2, 0).numpy()[2:-2, 2:-2]
        assert np.abs(ours - expected).max() <= 0.5  # OpenCV rounds

    def test_demosaic_of_a_scene_is_near_it(self):
        scene = ProceduralScenes(1)[0][0].double() / 255
        assert (demosaic(mosaic(scene)) - scene).abs().mean() < 0.03


def test_the_camera_has_the_levels_of_the_calibration():
    assert CANON_5D4.range == 16383 - 512
    assert len(CANON_5D4.read_shapes) == 18
