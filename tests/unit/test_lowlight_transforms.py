import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from dealias.data import ProceduralScenes
from dealias.lowlight import (
    CANON_5D4,
    GaussianNoise,
    LowLight,
    quantization_noise,
    read_noise,
    row_noise,
    shot_noise,
)
from dealias.lowlight.capture import Capture, draw_capture
from dealias.lowlight.pipeline import develop, expose, low_light, to_raw
from dealias.lowlight.unprocessing import demosaic, mosaic

OTHER = replace(
    CANON_5D4,
    white_level=1023,
    color_matrix=((1.8, -0.6, -0.2), (-0.2, 1.6, -0.4), (0.0, -0.5, 1.5)),
    system_gain=(1.0, 2.0),
)
NOISES = [LowLight, lambda **options: GaussianNoise(20, **options)]
IDS = ["LowLight", "GaussianNoise"]


@pytest.fixture(scope="module")
def scenes():
    return torch.stack([image for image, _ in ProceduralScenes(3, size=(64, 96))])


def quiet(count=1, **changes):
    """Taken with so much light and so little noise that 8 bits can't tell."""
    capture = draw_capture(count, ratio=1)
    silent = {"system_gain": 1e-4, "read_scale": 0.0, "row_scale": 0.0} | changes
    return capture._replace(**{k: torch.full((count,), v) for k, v in silent.items()})


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


class TestSteps:
    """The whole is its steps in their order, with each image's own parameters."""

    def test_exposure(self):
        capture = draw_capture(2, camera=OTHER, generator=seeded())
        raw = torch.rand(2, 6, 8, generator=seeded())
        generator = seeded(3)
        ratio, gain, shape, scale, row = (
            values[:, None, None]
            for values in (
                capture.ratio,
                capture.system_gain,
                capture.read_shape,
                capture.read_scale,
                capture.row_scale,
            )
        )
        zeros = torch.zeros_like(raw)
        noisy = shot_noise(raw * OTHER.range / ratio / gain, 1.0, generator=generator) * gain
        law = torch.rand(raw.shape, generator=generator) + torch.finfo(torch.float32).eps / 4
        noisy = noisy + scale * (law.pow(shape) - (1 - law).pow(shape)) / shape
        noisy = noisy + row * row_noise(zeros, 1.0, generator=generator)
        noisy = noisy + quantization_noise(zeros, generator=generator)
        expected = (noisy * ratio / OTHER.range).clamp(0, 1)
        found = expose(raw, capture, camera=OTHER, generator=seeded(3))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("output", ["raw", "srgb"])
    def test_the_whole(self, scenes, output):
        capture = draw_capture(3, camera=OTHER, generator=seeded())
        images = scenes.double() / 255
        dark = expose(
            to_raw(images, capture, camera=OTHER), capture, camera=OTHER, generator=seeded(3)
        )
        expected = demosaic((dark * 255).round() / 255)
        if output == "srgb":
            expected = develop(expected, capture, camera=OTHER)
        options = {"output": output, "camera": OTHER}
        found = low_light(images, capture, generator=seeded(3), **options)
        torch.testing.assert_close(found, expected)  # of double precision

    @pytest.mark.parametrize("step", [to_raw, develop])
    def test_of_a_batch_are_those_of_its_images(self, scenes, step):
        capture = draw_capture(3, generator=seeded())
        images = scenes / 255
        alone = [
            step(image[None], Capture(*(values[index : index + 1] for values in capture)))
            for index, image in enumerate(images)
        ]
        torch.testing.assert_close(step(images, capture), torch.cat(alone))

    def test_what_a_sensor_can_not_hold_is_clipped(self):
        bright = torch.ones(1, 3, 4, 4)
        assert to_raw(bright, quiet(brightness=0.8)).max() == 1
        white = develop(torch.ones(1, 3, 2, 2), quiet(brightness=1.2, red=2.4, blue=1.5))
        torch.testing.assert_close(white, torch.ones_like(white))

    def test_noise_of_the_images_of_a_batch_is_their_own(self):
        flat = torch.zeros(2, 50, 50)
        for noise in (
            lambda x: shot_noise(x + 9, 1.0),
            lambda x: read_noise(x, 1.0, 0.1),
            lambda x: row_noise(x, 1.0),
            quantization_noise,
        ):
            first, second = noise(flat)
            assert not torch.equal(first, second)

    def test_uint8_is_rounded(self, scenes):
        capture = draw_capture(3, generator=seeded())
        found = low_light(scenes, capture, generator=seeded(3))
        exact = low_light(scenes / 255, capture, generator=seeded(3)) * 255
        assert (found - exact).abs().max() <= 0.5 + 1e-3


class TestLowLight:
    def test_without_noise_it_is_the_raw_image(self, scenes):
        capture = quiet(len(scenes))
        expected = demosaic(to_raw(scenes.double() / 255, capture))
        found = low_light(scenes, capture)
        assert found.dtype == torch.uint8
        # Noise and 8 bits: one step at each pixel of the mosaic, and rounding.
        assert (found / 255 - expected).abs().max() < 2.1 / 255

    def test_without_noise_srgb_is_the_image_but_for_the_mosaic(self, scenes):
        smooth = v2.functional.gaussian_blur(scenes, [9, 9])
        found = low_light(smooth.double() / 255, quiet(len(scenes)), output="srgb")
        assert (found - smooth.double() / 255).abs().mean() < 0.02

    def test_raw_is_dark_and_green_as_sensors_see(self, scenes):
        red, green, blue = (low_light(scenes, quiet(len(scenes))) / 255).mean((0, 2, 3)).tolist()
        assert green > 1.3 * max(red, blue)
        assert green < 0.6 * (scenes[:, 1] / 255).mean()

    def test_noise_grows_with_the_ratio(self, scenes):
        capture = quiet(3)
        clean = low_light(scenes, capture).float()
        errors = []
        for ratio in (1.0, 10.0, 100.0):
            taken = capture._replace(ratio=torch.full((3,), ratio), system_gain=torch.ones(3))
            errors.append((low_light(scenes, taken) - clean).std().item())
        assert errors == sorted(errors)
        # Shot noise goes with the root of the ratio.
        assert errors[2] / errors[1] == pytest.approx(10**0.5, rel=0.25)

    def test_every_image_of_a_batch_has_its_own_capture(self, scenes):
        same = scenes[:1].expand(2, -1, -1, -1)
        captures = Capture(*(torch.cat(pair) for pair in zip(quiet(), quiet(red=9.0), strict=True)))
        red = low_light(same, captures)[:, 0].float().mean((1, 2))
        assert red[1] < 0.4 * red[0]

    def test_mosaic_values_are_multiples_of_8_bits(self, scenes):
        found = low_light(scenes / 255, draw_capture(3))
        steps = mosaic(found) * 255
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)

    @pytest.mark.parametrize("size", [(2, 2), (5, 7)])
    def test_any_size(self, size):
        image = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
        assert low_light(image, draw_capture(1)).shape == image.shape

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "expected uint8 or floating point"),
            (torch.zeros(1, 1, 4, 4), r"expected shape \[..., 3, H, W\]"),
            (torch.zeros(1, 3, 1, 4), "at least 2x2"),
            (torch.full((1, 3, 4, 4), torch.nan), "expected finite values"),
            (torch.zeros(3, 4, 4), r"with as many as capture has \(1\)"),
            (torch.zeros(2, 3, 4, 4), r"with as many as capture has \(1\)"),
        ],
    )
    def test_refuses_what_are_no_images(self, images, message):
        with pytest.raises(ValueError, match=f"images: .*{message}"):
            low_light(images, draw_capture(1))

    def test_refuses_other_outputs(self):
        with pytest.raises(ValueError, match="output: expected 'raw' or 'srgb'"):
            low_light(torch.zeros(1, 3, 4, 4), draw_capture(1), output="jpeg")


@pytest.mark.parametrize("noise", NOISES, ids=IDS)
class TestTransforms:
    def test_a_seed_and_an_image_make_a_result(self, noise, scenes):
        one, two = noise(seed=1), noise(seed=1)
        first = one(scenes[0])
        one(scenes[1])
        torch.manual_seed(5)
        assert torch.equal(one(scenes[0]), first)
        assert torch.equal(two(scenes[0]), first)
        assert not torch.equal(noise(seed=2)(scenes[0]), first)

    def test_memory_layout_and_empty_batches_change_nothing(self, noise, scenes):
        for turned in (scenes[0].permute(0, 2, 1), (scenes[0] / 255).permute(0, 2, 1)):
            assert torch.equal(noise(seed=1)(turned), noise(seed=1)(turned.contiguous()))
        for transform in (noise(seed=1), noise()):
            assert transform(scenes[:0]).shape == scenes[:0].shape

    def test_a_seeded_batch_is_its_images(self, noise, scenes):
        transform = noise(seed=1)
        assert torch.equal(transform(scenes), torch.stack([transform(x) for x in scenes]))

    @pytest.mark.parametrize("scale", [1, 255])
    def test_images_that_differ_have_other_noise(self, noise, scale):
        image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
        other = image.clone()
        other[0, 0, 0] = 129
        if scale > 1:
            image, other = image / scale, other / scale
        difference = noise(seed=1)(image) != noise(seed=1)(other)
        assert difference.float().mean() > 0.3

    def test_without_a_seed_the_global_generator_decides(self, noise, scenes):
        transform = noise()
        torch.manual_seed(3)
        one, two = transform(scenes[0]), transform(scenes[0])
        torch.manual_seed(3)
        assert torch.equal(transform(scenes[0]), one)
        assert not torch.equal(one, two)

    def test_each_image_of_a_batch_has_its_own_noise(self, noise, scenes):
        one, two = noise()(scenes[:1].expand(2, -1, -1, -1))
        assert not torch.equal(one, two)

    def test_boxes_masks_and_labels_pass(self, noise, scenes):
        image = tv_tensors.Image(scenes[0])
        target = {
            "boxes": tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(64, 96)),
            "masks": tv_tensors.Mask(torch.ones(1, 64, 96, dtype=torch.uint8)),
            "labels": torch.tensor([1]),
        }
        noisy, passed = v2.Compose([noise(seed=0), v2.RandomHorizontalFlip(0)])(image, target)
        assert isinstance(noisy, tv_tensors.Image)
        assert not torch.equal(noisy, image)
        assert all(passed[key] is target[key] for key in ("boxes", "masks", "labels"))

    @pytest.mark.parametrize("make", [v2.functional.to_pil_image, lambda image: image.numpy()])
    def test_refuses_images_that_are_no_tensors(self, noise, make, scenes):
        with pytest.raises(ValueError, match=r"expected a tensor, got .*v2\.ToImage"):
            noise()(make(scenes[0]))
        with pytest.raises(ValueError, match="expected a tensor"):
            noise()({"image": make(scenes[0]), "label": 3})
        with pytest.raises(ValueError, match="expected a tensor"):  # a sample of detection
            noise()((make(scenes[0]), {"labels": torch.tensor([1])}))
        labels = np.arange(3)
        sample = noise()({"image": tv_tensors.Image(scenes[0]), "labels": labels})
        assert sample["labels"] is labels

    def test_can_be_pickled(self, noise, scenes):
        transform = noise(seed=0)
        copy = pickle.loads(pickle.dumps(transform))
        assert torch.equal(copy(scenes[0]), transform(scenes[0]))

    @pytest.mark.parametrize("seed", [1.5, True, "1"])
    def test_refuses_other_seeds(self, noise, seed):
        with pytest.raises(ValueError, match="seed: expected an integer or None"):
            noise(seed=seed)

    def test_refuses_gray_images(self, noise):
        with pytest.raises(ValueError, match=r"images: expected shape \[..., 3, H, W\]"):
            noise()(torch.zeros(1, 8, 8))


class Noisy(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return LowLight(seed=4)(self.images[index])


def test_workers_change_nothing_where_there_is_a_seed(scenes):
    alone = torch.stack([Noisy(scenes)[i] for i in range(3)])
    assert torch.equal(next(iter(DataLoader(Noisy(scenes), 3, num_workers=2))), alone)


def test_on_any_device(scenes, device):
    images = scenes.to(device)
    noisy = LowLight(seed=4)(images)
    assert noisy.device == images.device
    assert torch.equal(LowLight(seed=4)(images), noisy)
    assert LowLight()(images).shape == images.shape


def test_the_transform_is_the_function_with_its_options(scenes):
    torch.manual_seed(3)
    capture = draw_capture(3, ratio=(40, 50), camera=OTHER)
    expected = low_light(scenes, capture, output="srgb", camera=OTHER)
    torch.manual_seed(3)
    found = LowLight(ratio=(40, 50), output="srgb", camera=OTHER)(scenes)
    assert torch.equal(found, expected)


def test_arguments_are_checked_at_once():
    with pytest.raises(ValueError, match="ratio: expected a number from 1 on"):
        LowLight(ratio=0.2)
    with pytest.raises(ValueError, match="output: expected 'raw' or 'srgb'"):
        LowLight(output="jpeg")
    with pytest.raises(ValueError, match="sigma: expected a number from 0 on"):
        GaussianNoise(-1)
