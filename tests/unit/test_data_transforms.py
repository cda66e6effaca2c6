"""Transforms of one's own in training: torchvision's, and any other."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from dealias.data import Augmentation
from dealias.data.segmentation.transforms import TransformError
from dealias.data.streams import augmentation_seed

STILL = {"scale_range": (1.0, 1.0), "max_class_share": 1.0, "flip": 0.0, "photometric": False}
CLASSES = 4
MOVING = {
    "rotation": v2.RandomRotation((40, 41)),
    "affine": v2.RandomAffine((10, 11), translate=(0.4, 0.4)),
    "perspective": v2.RandomPerspective(0.8, p=1.0),
    "elastic": v2.ElasticTransform(900.0, 4.0),
    "pad and crop": v2.RandomCrop((48, 48), padding=20),
}


def augment(*transforms, seed=0, ignore_index=255, size=(48, 48), label=1, **options):
    options = STILL | {"crop_size": size} | options
    transform = Augmentation(**options, transforms=list(transforms)).transform(
        ignore_index, CLASSES
    )
    dtype = torch.uint8 if 0 <= ignore_index < 256 else torch.int64
    image = torch.full((3, *size), 200, dtype=torch.uint8)
    mask = torch.full(size, label, dtype=dtype)
    with augmentation_seed(seed, 0):
        pair = transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
    return tuple(part.as_subclass(Tensor) for part in pair)


class TestFill:
    @pytest.mark.parametrize(
        "around",
        [
            lambda inner: inner,
            lambda inner: v2.RandomApply([inner], p=1.0),
            lambda inner: v2.Compose([v2.Identity(), v2.RandomChoice([inner])]),
            lambda inner: v2.RandomOrder([inner]),
            lambda inner: Within(inner),
        ],
        ids=["alone", "RandomApply", "Compose and RandomChoice", "RandomOrder", "its own"],
    )
    @pytest.mark.parametrize("name", MOVING)
    @pytest.mark.parametrize("ignore_index", [255, -100])
    def test_what_moves_leaves_void(self, name, around, ignore_index):
        image, mask = augment(around(MOVING[name]), ignore_index=ignore_index)
        assert set(mask.unique().tolist()) == {1, ignore_index}
        void = mask == ignore_index
        assert (image[:, void] < 200).all(0).float().mean() > 0.9  # black, but for blurred borders
        assert (image[0, ~void] > 100).float().mean() > 0.95

    def test_fill_of_the_image_is_not_that_of_the_mask(self):
        image, mask = augment(v2.RandomRotation((45, 46), fill=3))
        assert set(mask.unique().tolist()) == {1, 255}
        assert (image[:, mask == 255] == 3).all()

    def test_fill_of_the_mask_by_its_type_is_kept(self):
        fill = {tv_tensors.Mask: 2, "others": 0}
        with pytest.warns(UserWarning, match=r"gives pixels of void the classes \[2\]"):
            _, mask = augment(v2.RandomRotation((45, 46), fill=fill))
        assert set(mask.unique().tolist()) == {1, 2}

    def test_another_void_later(self):
        rotation = v2.RandomRotation((45, 46))
        assert 255 in augment(rotation)[1]
        assert set(augment(rotation, ignore_index=9)[1].unique().tolist()) == {1, 9}


class Within:
    """A transform of one's own around another."""

    def __init__(self, inner):
        self.inner = {"first": inner}

    def __call__(self, image, mask):
        return self.inner["first"](image, mask)


def test_it_comes_after_ours_and_before_padding():
    seen = []

    def look(image, mask):
        seen.append((type(image), type(mask), tuple(image.shape), tuple(mask.shape)))
        return image, mask

    image, mask = augment(look, size=(20, 30), crop_size=(48, 64))
    assert seen[-1] == (tv_tensors.Image, tv_tensors.Mask, (3, 20, 30), (20, 30))
    assert image.shape == (3, 48, 64)
    assert (mask == 255).sum() == 48 * 64 - 20 * 30


def test_every_image_is_one_of_torchvision_whatever_came_before():
    seen = []

    def look(image, mask):
        seen.append((type(image), type(mask)))
        return image, mask

    for seed in range(20):
        augment(look, seed=seed, photometric=True)
    assert set(seen) == {(tv_tensors.Image, tv_tensors.Mask)}


def test_plain_tensors_of_another_integer_type_may_come_back():
    _, mask = augment(lambda image, mask: (image.as_subclass(Tensor), mask.long()))
    assert mask.dtype == torch.uint8


def filling(image, mask):
    return image, v2.functional.rotate(mask, 30)


def test_a_fill_that_cant_be_seen_is_found_out():
    with pytest.warns(
        UserWarning,
        match=r"^data\.augmentation\.transforms\[1\] \(filling\): gives pixels of void the classes "
        r"\[0\]; if it fills label maps, it is to fill them with 255$",
    ):
        augment(v2.Identity(), filling)


def test_what_does_not_fill_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augment(MOVING["elastic"], v2.ColorJitter(0.5), v2.GaussianBlur(3), v2.Grayscale(3))


def fail(image, mask):
    raise KeyError("nope\nnope")


WRONG = {
    "nothing": (lambda *_: None, "expected an image and a label map, got NoneType"),
    "one": (lambda *pair: pair[0], "expected an image and a label map, got uint8 [3, 48, 48]"),
    "floats": (
        v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        "expected an image uint8 [3, H, W], got float32 [3, 48, 48]",
    ),
    "gray": (v2.Grayscale(1), "expected an image uint8 [3, H, W], got uint8 [1, 48, 48]"),
    "no tensor": (
        lambda image, mask: (image, mask.numpy()),
        "expected a label map of integers [H, W], got ndarray",
    ),
    "one-hot": (
        lambda image, mask: (image, mask[None]),
        "expected a label map of integers [H, W], got uint8 [1, 48, 48]",
    ),
    "another size": (
        lambda image, mask: (image[:, :40], mask),
        "expected a label map of 48x40 as its image, got 48x48",
    ),
    "too large": (
        v2.RandomRotation((45, 46), expand=True),
        "expected at most 48x48, the crop_size, got 68x68",
    ),
    "no class": (
        lambda image, mask: (image, mask + 6),
        "expected labels 0..3 or void 255, got [7]",
    ),
    "an error": (fail, r"KeyError: 'nope\nnope' (test_data_transforms.py:"),
    "one argument": (lambda image: image, "TypeError: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cant_be_trained_on(name):
    transform, message = WRONG[name]
    with pytest.raises(TransformError) as found:
        augment(v2.Identity(), transform)
    said = str(found.value)
    assert said.startswith("data.augmentation.transforms[1] (")
    assert message in said
    assert "\n" not in said


def test_void_in_a_type_that_does_not_hold_it():
    with pytest.raises(TransformError, match=r"expected labels 0\.\.3 or void -1, got \[255\]"):
        augment(lambda image, mask: (image, mask.to(torch.uint8) - 2), ignore_index=-1)


def test_random_numbers_are_those_of_the_position():
    def draw(image, mask):
        value = int(torch.randint(50, ())) + int(np.random.randint(50)) + random.randrange(50)
        return torch.full_like(image, value), mask

    before = np.random.get_state()[1].tolist(), random.getstate()
    drawn = [int(augment(draw, seed=seed)[0][0, 0, 0]) for seed in (3, 4, 3)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
