import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from dealias.data import Augmentation
from dealias.data.segmentation.augment import (
    MEAN_COLOR,
    PadToSize,
    PhotometricDistortion,
    RandomScaledCrop,
)
from dealias.data.streams import augmentation_seed

VOID = 255
STILL = {"scale_range": (1.0, 1.0), "max_class_share": 1.0, "flip": 0.0, "photometric": False}


def coordinates(height, width, step=1):
    """An image and a map that hold where each block of `step` pixels is: row, column, row."""
    rows = torch.arange(height)[:, None].expand(height, width) // step
    columns = torch.arange(width).expand(height, width) // step
    image = torch.stack([rows, columns, rows]).to(torch.uint8)
    return image, (16 * (rows % 15) + columns % 16).to(torch.uint8)


def augment(image, target, seed=0, ignore_index=VOID, **options):
    """The pair that comes out, as plain tensors."""
    transform = Augmentation(**options).transform(ignore_index, 256)
    with augmentation_seed(seed, 0):
        pair = transform(tv_tensors.Image(image), tv_tensors.Mask(target))
    return tuple(tensor.as_subclass(Tensor) for tensor in pair)


def fail_after_drawing():
    with augmentation_seed(0, 1):
        torch.rand(3)
        raise RuntimeError("inside")


def label_of(image):
    """What `coordinates` says the label of each pixel of an image is."""
    rows, columns = image[0].long(), image[1].long()
    return 16 * (rows % 15) + columns % 16


class TestTogether:
    @pytest.mark.parametrize("seed", range(6))
    def test_a_crop_takes_the_same_pixels_of_both(self, seed):
        image, target = coordinates(40, 60)
        image, target = augment(image, target, seed, crop_size=(16, 24), **STILL)
        assert image.shape == (3, 16, 24)
        assert target.shape == (16, 24)
        assert torch.equal(label_of(image), target.long())
        top, left = int(image[0, 0, 0]), int(image[1, 0, 0])
        assert torch.equal(image[0, :, 0], torch.arange(top, top + 16).to(torch.uint8))
        assert torch.equal(image[1, 0], torch.arange(left, left + 24).to(torch.uint8))

    def test_crops_come_from_everywhere(self):
        pair = coordinates(20, 30)
        found = [augment(*pair, seed, crop_size=(16, 24), **STILL)[0] for seed in range(150)]
        assert {int(image[0, 0, 0]) for image in found} == set(range(5))
        assert {int(image[1, 0, 0]) for image in found} == set(range(7))

    @pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 2.0])
    def test_resized_labels_lie_where_the_resized_image_is(self, factor):
        # Blocks of 8 pixels: within a block, no interpolation changes what the image says.
        image, target = coordinates(96, 128, step=8)
        for seed in range(4):
            scaled, labels = augment(
                image, target, seed, crop_size=(48, 64), **STILL | {"scale_range": (factor,) * 2}
            )
            flat = torch.nn.functional.max_pool2d(
                scaled[:2, None].float(), 3, 1, 1
            ) == -torch.nn.functional.max_pool2d(-scaled[:2, None].float(), 3, 1, 1)
            inside = flat.all(dim=(0, 1))
            assert inside.float().mean() > 0.1
            assert torch.equal(label_of(scaled)[inside], labels[inside].long())

    @pytest.mark.parametrize("factor", [0.5, 0.7, 1.4, 2.0])
    def test_borders_of_labels_are_those_of_the_image(self, factor):
        # A step: the label changes where the image is half of the way, not a pixel beside it.
        target = torch.zeros(64, 64, dtype=torch.uint8)
        target[:, 27:] = target[19:] = 1
        image = (200 * target).expand(3, -1, -1).contiguous()
        options = STILL | {"scale_range": (factor,) * 2}
        scaled, labels = augment(image, target, crop_size=(128, 128), **options)
        length = round(64 * factor)
        scaled, labels = scaled[0, :length, :length], labels[:length, :length]
        halfway = (scaled.int() - 100).abs() < 40
        assert torch.equal(labels[~halfway] == 1, scaled[~halfway] > 100)

    def test_a_flip_takes_both(self):
        pair = coordinates(12, 20)
        image, target = augment(*pair, crop_size=(12, 20), **STILL | {"flip": 1.0})
        assert torch.equal(image, pair[0].flip(-1))
        assert torch.equal(target, pair[1].flip(-1))

    def test_half_are_flipped(self):
        pair = coordinates(4, 8)
        flipped = sum(
            int(augment(*pair, seed, crop_size=(4, 8), **STILL | {"flip": 0.5})[0][1, 0, 0] != 0)
            for seed in range(100)
        )
        assert 30 < flipped < 70


class TestPadding:
    @pytest.mark.parametrize("flip", [0.0, 1.0])
    @pytest.mark.parametrize("size", [(10, 30), (40, 14), (10, 14)])
    def test_void_is_exactly_where_the_image_is_padded(self, size, flip):
        pair = coordinates(*size)
        options = STILL | {"flip": flip}
        image, target = augment(*pair, crop_size=(24, 20), **options)
        height, width = min(size[0], 24), min(size[1], 20)
        padded = torch.ones(24, 20, dtype=torch.bool)
        padded[:height, :width] = False
        assert torch.equal(target == VOID, padded)
        mean = torch.tensor(MEAN_COLOR, dtype=torch.uint8)[:, None]
        assert (image[:, padded] == mean).all()
        assert torch.equal(label_of(image)[~padded], target[~padded].long())

    def test_the_colours_of_padding_are_not_distorted(self):
        image, target = coordinates(8, 8)
        for seed in range(8):
            padded, _ = augment(
                image, target, seed, crop_size=(12, 12), **STILL | {"photometric": True}
            )
            mean = torch.tensor(MEAN_COLOR, dtype=torch.uint8)
            assert torch.equal(padded[:, 8:], mean[:, None, None].expand(3, 4, 12))

    def test_one_pixel(self):
        image, target = coordinates(1, 1)
        image, target = augment(image, target, crop_size=(3, 2), scale_range=(0.01, 0.02))
        assert image.shape == (3, 3, 2)
        assert (target == VOID).sum() == 5

    def test_nothing_to_pad(self):
        image = tv_tensors.Image(coordinates(5, 6)[0])
        assert PadToSize((5, 6), ignore_index=VOID)(image) is image


class TestScale:
    @pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (0.75, 1.5)])
    def test_factors_fill_the_range(self, low, high):
        target = tv_tensors.Mask(torch.zeros(100, 200, dtype=torch.uint8))
        crop = RandomScaledCrop((1000, 1000), ignore_index=VOID, scale=(low, high))
        factors = []
        for _ in range(300):
            height, width = crop.make_params([target])["size"]
            assert abs(width - 2 * height) <= 1  # rounded
            factors.append(width / 200)
        assert low <= min(factors) < low + 0.05 * (high - low)
        assert high >= max(factors) > high - 0.05 * (high - low)
        middle = (low + high) / 2
        assert sum(factors) / 300 == pytest.approx(middle, abs=0.07 * (high - low))

    def test_the_window_is_what_the_crop_shows_of_the_resized_image(self):
        target = tv_tensors.Mask(torch.zeros(100, 200, dtype=torch.uint8))
        crop = RandomScaledCrop((40, 60), ignore_index=VOID, scale=(2.0, 2.0))
        params = crop.make_params([target])
        assert params["size"] == [40, 60]
        assert (params["height"], params["width"]) == (20, 30)

    @pytest.mark.parametrize(
        ("size", "base_size", "expected"),
        [
            ((100, 200), (50, 1000), (50, 100)),  # the short side decides
            ((100, 200), (100, 100), (50, 100)),  # the long side decides
            ((100, 200), (1000, 50), (50, 100)),  # in either order
            ((200, 100), (50, 1000), (100, 50)),
            ((100, 200), (300, 400), (200, 400)),  # grows too
        ],
    )
    def test_base_size(self, size, base_size, expected):
        target = tv_tensors.Mask(torch.zeros(size, dtype=torch.uint8))
        crop = RandomScaledCrop(
            (999, 999), ignore_index=VOID, scale=(1.0, 1.0), base_size=base_size
        )
        assert tuple(crop.make_params([target])["size"]) == expected


class TestClassShare:
    def halves(self, left, right, dtype=torch.uint8):
        """8 x 100: two labels side by side; a window of 8 x 10 is nearly always of one of them."""
        target = torch.full((8, 100), left, dtype=dtype)
        target[:, 50:] = right
        return tv_tensors.Mask(target)

    def share(self, target, **options):
        """Most that any label has of each of 200 crops."""
        crop = RandomScaledCrop((8, 10), scale=(1.0, 1.0), **{"ignore_index": VOID} | options)
        crops = [crop(target) for _ in range(200)]
        return [max(torch.unique(c, return_counts=True)[1]).item() / c.numel() for c in crops]

    def test_crops_of_one_class_are_drawn_again(self):
        free = self.share(self.halves(0, 1), max_class_share=1.0)
        capped = self.share(self.halves(0, 1), max_class_share=0.75)
        bad = [sum(share > 0.75 for share in shares) / 200 for shares in (free, capped)]
        # Of 91 windows, 5 are good: 10 draws miss them with probability (86/91)^10 = 0.57.
        assert bad[0] > 0.88
        assert bad[1] == pytest.approx((86 / 91) ** 10, abs=0.12)

    @pytest.mark.parametrize("labels", [(3, 3), (VOID, VOID)])
    def test_nothing_but_one_class_ends(self, labels):
        assert self.share(self.halves(*labels), max_class_share=0.1) == [1.0] * 200

    def test_void_does_not_count(self):
        crop = RandomScaledCrop((2, 4), ignore_index=VOID, max_class_share=0.75)
        for labels, balanced in {
            (0, 0, 0, 1): True,
            (0, 0, 0, VOID): False,  # all that is known is of one class
            (0, 1, VOID, VOID): True,
            (VOID, VOID, VOID, VOID): False,
            (0, 0, 0, 0): False,
        }.items():
            for dtype in (torch.uint8, torch.int64):
                assert crop._balanced(torch.tensor([labels] * 2, dtype=dtype)) is balanced

    def test_more_labels_than_a_byte_holds(self):
        capped = self.share(self.halves(300, 70_000, torch.int64), max_class_share=0.75)
        assert sum(share > 0.75 for share in capped) / 200 == pytest.approx(0.57, abs=0.12)


class TestPhotometric:
    def test_labels_and_dtype_stay(self):
        pair = coordinates(24, 24)
        changed = 0
        for seed in range(20):
            image, target = augment(
                *pair, seed, crop_size=(24, 24), **STILL | {"photometric": True}
            )
            assert image.dtype == target.dtype == torch.uint8
            assert image.shape == (3, 24, 24)
            assert torch.equal(target, pair[1])
            changed += not torch.equal(image, pair[0])
        assert changed > 12  # each of four changes leaves half of the images alone

    def test_gray_stays_gray_and_flat_stays_flat(self):
        image = tv_tensors.Image(torch.full((3, 8, 8), 100, dtype=torch.uint8))
        distort = PhotometricDistortion()
        values = set()
        for _ in range(60):
            changed = distort(image)
            assert changed.amin() == changed.amax()
            values.add(int(changed[0, 0, 0]))
        assert {100} < values
        assert min(values) >= 87  # brightness alone changes flat gray: by an eighth
        assert max(values) <= 113

    def test_hue_turns_and_channels_keep_their_places(self):
        red = torch.zeros(3, 4, 4, dtype=torch.uint8)
        red[0] = 200
        distort = PhotometricDistortion()
        tinted = 0
        for _ in range(60):
            changed = distort(tv_tensors.Image(red))[:, 0, 0].tolist()
            assert max(changed) == changed[0]  # a tenth of the wheel is not another primary colour
            tinted += changed[1] != changed[2]
        assert tinted > 10


class TestRandomNumbers:
    def test_a_seed_decides_everything(self):
        pair = coordinates(40, 60)
        first, again = (augment(*pair, 5, crop_size=(24, 24)) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        others = [augment(*pair, seed, crop_size=(24, 24))[0] for seed in range(6, 10)]
        assert not any(torch.equal(first[0], other) for other in others)

    def test_the_generator_is_put_back(self):
        before = torch.get_rng_state()
        augment(*coordinates(20, 20), 3, crop_size=(8, 8))
        assert torch.equal(torch.get_rng_state(), before)
        with pytest.raises(RuntimeError, match=r"^inside$"):
            fail_after_drawing()
        assert torch.equal(torch.get_rng_state(), before)

    def test_each_position_has_its_own(self):
        drawn = set()
        for seed in (0, 1):
            for position in (0, 1, 2**33):
                with augmentation_seed(seed, position):
                    drawn.add(float(torch.rand((), dtype=torch.float64)))
        assert len(drawn) == 6


class TestLayout:
    @pytest.mark.parametrize("channels_last", [False, True])
    def test_the_layout_of_memory_does_not_matter(self, channels_last):
        image, target = coordinates(40, 60, step=3)
        if channels_last:
            image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        for seed in range(4):
            expected = augment(image.contiguous(), target, seed, crop_size=(32, 32))
            found = augment(image, target, seed, crop_size=(32, 32))
            assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
            assert found[0].shape == (3, 32, 32)

    def test_bytes_and_wide_labels_are_cropped_alike(self):
        image, target = coordinates(50, 70)
        for seed in range(8):
            byte, wide = (
                augment(image, labels, seed, crop_size=(33, 47))[1]
                for labels in (target, target.long())
            )
            assert torch.equal(byte.long(), wide)

    @pytest.mark.parametrize("label", [256, 65_535, 70_000])
    @pytest.mark.parametrize("void", [-1, 2**31 - 1])
    def test_labels_beyond_a_byte(self, label, void):
        image, target = coordinates(30, 40)
        target = target.long()
        target[:, 20:] = label
        target[:5] = void
        options = {"crop_size": (48, 80), "ignore_index": void, "photometric": False}
        _, labels = augment(image, target, scale_range=(1.1, 1.2), **options)
        assert labels.dtype == torch.int64
        assert {void, label} <= set(labels.unique().tolist()) <= set(target.unique().tolist())


class TestNoise:
    PLAIN = STILL | {"crop_size": (64, 64)}

    def test_the_deviation_is_uniform_in_the_range_and_one_for_a_crop(self):
        image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
        target = torch.zeros(64, 64, dtype=torch.uint8)
        found = []
        for seed in range(60):
            noisy, labels = augment(image, target, seed, **self.PLAIN, noise=(5.0, 25.0))
            assert (noisy.dtype, noisy.shape) == (torch.uint8, image.shape)
            assert torch.equal(labels, target)
            halves = [float(half.double().std()) for half in noisy.chunk(2, -1)]
            assert halves[0] == pytest.approx(halves[1], rel=0.1)
            found.append(float(noisy.double().std()))
        assert 4.8 < min(found) < 8
        assert 22 < max(found) < 26
        assert 13 < sum(found) / len(found) < 17
        assert len({round(sigma, 3) for sigma in found}) == len(found)

    def test_the_seed_decides(self):
        pair = coordinates(64, 64)
        first, again, other = (
            augment(*pair, seed, **self.PLAIN, noise=(10.0, 10.0))[0] for seed in (3, 3, 4)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_it_rounds_and_clips(self):
        dark = torch.zeros(3, 64, 64, dtype=torch.uint8)
        target = torch.zeros(64, 64, dtype=torch.uint8)
        noisy, _ = augment(dark, target, **self.PLAIN, noise=(20.0, 20.0))
        # Half of the noise is below 0 and clipped; a 50th of it rounds to 0 from above.
        assert 0.47 < float((noisy == 0).float().mean()) < 0.55
        assert int(noisy.max()) < 120

    def test_padding_has_none_and_all_else_stays(self):
        pair = coordinates(40, 64)
        plain, labels = augment(*pair, 7, **self.PLAIN)
        noisy, same = augment(*pair, 7, **self.PLAIN, noise=(20.0, 20.0))
        assert torch.equal(labels, same)
        assert torch.equal(noisy[:, 40:], plain[:, 40:])
        assert not torch.equal(noisy[:, :40], plain[:, :40])

    def test_a_part_of_the_crops_has_it(self):
        pair = coordinates(64, 64)
        plain, labels = augment(*pair, 0, **self.PLAIN)
        noisy = 0
        for seed in range(100):
            crop, same = augment(
                *pair, seed, **self.PLAIN, noise=(9.0, 9.0), noise_probability=0.25
            )
            assert torch.equal(labels, same)
            noisy += not torch.equal(crop, plain)
        assert 12 <= noisy <= 40  # of 25 expected: 3 deviations

    @pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
    def test_probabilities_that_are_none_are_refused(self, probability):
        with pytest.raises(ValueError, match="noise_probability: expected"):
            Augmentation(noise=(0.0, 9.0), noise_probability=probability)

    @pytest.mark.parametrize("noise", [(-1.0, 5.0), (9.0, 5.0), (0.0, float("nan")), (1.0,)])
    def test_ranges_that_are_none_are_refused(self, noise):
        with pytest.raises(ValueError, match="noise: expected 0 <= lowest <= highest"):
            Augmentation(noise=noise)
