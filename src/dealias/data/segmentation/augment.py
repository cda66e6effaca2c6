"""Random changes of an image together with its label map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from dealias.data.loading import check_lengths, check_probability
from dealias.data.segmentation.transforms import OwnTransforms
from dealias.lowlight import gaussian_noise

_TRIES = 10
# ImageNet's mean, which networks subtract, so padding becomes zero.
MEAN_COLOR = (124, 116, 104)


@dataclass(frozen=True)
class Augmentation:
    """How training images and their label maps are changed at random.

    Attributes:
        crop_size: height and width of training crops in pixels.
        base_size: short and long side of the frame into which images are fitted before the random
            resizing; by default they keep their own size.
        scale_range: smallest and largest factor of the random resizing.
        max_class_share: largest share of a crop that one class may have, tried up to 10 times; 1
            for no limit.
        flip: probability of a horizontal flip.
        photometric: whether brightness, contrast, saturation and hue change.
        noise: lowest and highest standard deviation of Gaussian noise, on a scale of 0 to 255. Each
            crop has its own, drawn uniformly between them. None for no noise.
        noise_probability: probability that a crop has noise.
        transforms: further transforms, from torchvision.transforms.v2 or your own. They are applied
            to the crop after the changes above, and before crops of small images are padded. Each
            is called with an image, `tv_tensors.Image` uint8 [3, H, W], and its label map,
            `tv_tensors.Mask` [H, W] of classes and void, and returns both. Those of torchvision
            fill label maps with void; your own must do so, too. Transforms that resize, such as
            RandomResizedCrop, shift labels by up to half a pixel relative to the image, which
            `scale_range` does not. Transforms may draw from torch's CPU generator, NumPy's or
            Python's.

    Raises:
        ValueError: a value is out of range.
    """

    crop_size: tuple[int, int] = (512, 512)
    base_size: tuple[int, int] | None = None
    scale_range: tuple[float, float] = (0.5, 2.0)
    max_class_share: float = 0.75
    flip: float = 0.5
    photometric: bool = True
    noise: tuple[float, float] | None = None
    noise_probability: float = 1.0
    transforms: list[Callable[[Any, Any], Any]] | None = None

    def __post_init__(self) -> None:
        check_lengths("crop_size", self.crop_size)
        if self.base_size is not None:
            check_lengths("base_size", self.base_size)
        scale = self.scale_range
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] < math.inf:
            raise ValueError(f"scale_range: expected 0 < least <= largest, got {scale!r}")
        if not 0 < self.max_class_share <= 1:
            raise ValueError(f"max_class_share: expected (0, 1], got {self.max_class_share}")
        check_probability("flip", self.flip)
        noise = self.noise
        if noise is not None and not (len(noise) == 2 and 0 <= noise[0] <= noise[1] < math.inf):
            raise ValueError(f"noise: expected 0 <= lowest <= highest, got {noise!r}")
        check_probability("noise_probability", self.noise_probability)

    def transform(
        self, ignore_index: int, num_classes: int, darken: v2.Transform | None = None
    ) -> v2.Transform:
        """Resize, crop, flip, distort colours, darken, add noise, apply `transforms` and pad.

        The transform takes a `tv_tensors.Image` uint8 [3, H, W] and a `tv_tensors.Mask` [H, W] of
        classes, and returns both at `crop_size`. Its random numbers come from torch's CPU
        generator.

        Args:
            ignore_index: the label of void.
            num_classes: number of classes.
            darken: changes only images, such as :class:`dealias.lowlight.LowLight`.

        Raises:
            TransformError: on a call, if one of `transforms` fails or does not return an image and
                a label map as above, of at most `crop_size`.
        """
        height, width = self.crop_size
        steps: list[Callable[..., Any]] = [
            RandomScaledCrop(
                (height, width),
                ignore_index=ignore_index,
                scale=self.scale_range,
                base_size=self.base_size,
                max_class_share=self.max_class_share,
            )
        ]
        if self.flip > 0:
            steps.append(v2.RandomHorizontalFlip(self.flip))
        if self.photometric:
            steps.append(PhotometricDistortion())
        if darken is not None:
            steps.append(darken)
        if self.noise is not None:
            noise = RandomNoise(self.noise)
            certain = self.noise_probability == 1
            steps.append(noise if certain else v2.RandomApply([noise], self.noise_probability))
        if self.transforms:
            own = OwnTransforms(
                self.transforms,
                most=(height, width),
                num_classes=num_classes,
                ignore_index=ignore_index,
            )
            steps.append(own)
        steps.append(PadToSize((height, width), ignore_index=ignore_index))
        return v2.Compose(steps)


class RandomScaledCrop(v2.Transform):  # type: ignore[misc]
    """Resize by a random factor and crop at random, without resizing pixels outside the crop.

    The window is chosen in pixels of the original image, and only the window is resized: images
    bilinearly with antialiasing, label maps to the nearest pixel centre. Compared with resizing the
    whole image first, the factor differs by less than one image pixel over the window, and pixels
    at the border of a crop do not depend on those beyond it.

    Up to 10 windows are drawn until no class exceeds its share. Void pixels do not count, and a
    window that is entirely void is not accepted. If none is accepted, the last is used.

    Args:
        size: (height, width) of the crop; smaller images give smaller crops.
        ignore_index: the label of void.
        scale: range of the factor, which is drawn uniformly.
        base_size: see :class:`Augmentation`.
        max_class_share: largest share of the pixels that one class may have, in (0, 1].
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        ignore_index: int,
        scale: tuple[float, float] = (0.5, 2.0),
        base_size: tuple[int, int] | None = None,
        max_class_share: float = 0.75,
    ) -> None:
        super().__init__()
        self.size = size
        self.ignore_index = ignore_index
        self.scale = scale
        self.base_size = base_size
        self.max_class_share = max_class_share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor and the window."""
        mask = next(entry for entry in flat_inputs if isinstance(entry, tv_tensors.Mask))
        height, width = mask.shape[-2:]
        low, high = self.scale
        factor = low + (high - low) * float(torch.rand(()))
        factor *= self._base_factor(height, width)
        lengths = [
            _lengths(length, crop, factor)
            for length, crop in zip((height, width), self.size, strict=True)
        ]
        window, size = zip(*lengths, strict=True)
        for _ in range(_TRIES):
            top = int(torch.randint(height - window[0] + 1, ()))
            left = int(torch.randint(width - window[1] + 1, ()))
            params = {
                "top": top,
                "left": left,
                "height": window[0],
                "width": window[1],
                "size": list(size),
            }
            if self.max_class_share >= 1 or self._balanced(_crop_labels(mask, params)):
                break
        return params

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop and resize the image or its label map."""
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(_crop_labels(inpt, params), like=inpt)
        return functional.resized_crop(inpt, **params, antialias=True)

    def _base_factor(self, height: int, width: int) -> float:
        if self.base_size is None:
            return 1.0
        short, long = sorted(self.base_size)
        return min(short / min(height, width), long / max(height, width))

    def _balanced(self, labels: Tensor) -> bool:
        """Whether no class exceeds its share."""
        values = labels.flatten()
        if values.dtype == torch.uint8:
            counts = torch.bincount(values, minlength=256)
            counts[self.ignore_index] = 0
        else:
            counts = torch.bincount(values[values != self.ignore_index], minlength=1)
        known = int(counts.sum())
        return known > 0 and int(counts.max()) <= self.max_class_share * known


class PhotometricDistortion(v2.RandomPhotometricDistort):  # type: ignore[misc]
    """Change brightness, contrast, saturation and hue, each with probability 1/2.

    The ranges are those of the published recipes: brightness by 32 of 256, contrast and
    saturation by a factor of 0.5 to 1.5, hue by a tenth of the colour wheel. As in the recipes, hue
    changes in 8-bit HSV. Unlike in torchvision's transform, channels are not permuted.
    """

    def __init__(self) -> None:
        super().__init__(
            brightness=(0.875, 1.125), contrast=(0.5, 1.5), saturation=(0.5, 1.5), hue=(-0.1, 0.1)
        )

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the colours of the image, and leave its label map unchanged."""
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        steps = [
            (functional.adjust_brightness, "brightness_factor"),
            (functional.adjust_saturation, "saturation_factor"),
            (_adjust_hue, "hue_factor"),
        ]
        steps.insert(
            1 if params["contrast_before"] else 3, (functional.adjust_contrast, "contrast_factor")
        )
        for change, factor in steps:
            if params[factor] is not None:
                inpt = change(inpt, params[factor])
        return inpt


class RandomNoise(v2.Transform):  # type: ignore[misc]
    """Add Gaussian noise of a random standard deviation to uint8 images, rounded and clipped.

    Args:
        sigma: lowest and highest standard deviation, on a scale of 0 to 255; drawn uniformly.
    """

    def __init__(self, sigma: tuple[float, float]) -> None:
        super().__init__()
        self.sigma = sigma

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002
        """Draw the standard deviation."""
        low, high = self.sigma
        return {"sigma": low + (high - low) * float(torch.rand(()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Add noise to the image, and leave its label map unchanged."""
        if isinstance(inpt, tv_tensors.Mask):
            return inpt
        noisy = gaussian_noise(inpt.as_subclass(Tensor), params["sigma"])
        return tv_tensors.wrap(noisy, like=inpt)


class PadToSize(v2.Transform):  # type: ignore[misc]
    """Pad on the right and at the bottom: images with the mean colour, label maps with void.

    Args:
        size: (height, width), at least that of the image.
        ignore_index: the label of void.
    """

    def __init__(self, size: tuple[int, int], *, ignore_index: int) -> None:
        super().__init__()
        self.size = size
        self.ignore_index = ignore_index

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ARG002
        """Pad the image or its label map."""
        height, width = inpt.shape[-2:]
        if (height, width) == self.size:
            return inpt
        is_mask = isinstance(inpt, tv_tensors.Mask)
        padded = inpt.new_empty((*inpt.shape[:-2], *self.size))
        if is_mask:
            padded.fill_(self.ignore_index)
        else:
            padded[:] = padded.new_tensor(MEAN_COLOR)[:, None, None]
        padded[..., :height, :width] = inpt
        return tv_tensors.wrap(padded, like=inpt)


def _lengths(length: int, crop: int, factor: float) -> tuple[int, int]:
    """Length of the window in the image, and of the result, along one axis."""
    resized = max(1, round(length * factor))
    if resized <= crop:
        return length, resized
    return min(length, max(1, round(crop / factor))), crop


def _crop_labels(mask: Tensor, params: dict[str, Any]) -> Tensor:
    # torchvision's own kernel for masks picks the pixel to the upper left, which shifts labels
    # relative to the image.
    labels = mask.as_subclass(Tensor)[None]
    if labels.dtype != torch.uint8:  # float32 would round a void label such as 2**31 - 1
        labels = labels.double()
    cropped: Tensor = functional.resized_crop_image(
        labels, **params, interpolation=InterpolationMode.NEAREST_EXACT
    )[0]
    return cropped.to(mask.dtype)


def _adjust_hue(image: tv_tensors.Image, factor: float) -> tv_tensors.Image:
    """Turn the hue by `factor` of the colour wheel, in 8 bits: 3 times as fast as in floats."""
    picture = functional.to_pil_image(image)
    changed = functional.pil_to_tensor(functional.adjust_hue(picture, factor))
    return tv_tensors.wrap(changed, like=image)
