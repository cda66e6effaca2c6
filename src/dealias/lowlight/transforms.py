"""Low light and Gaussian noise as torchvision transforms."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from dealias.lowlight.camera import CANON_5D4, Camera
from dealias.lowlight.capture import EXPOSURE_RATIO, check_ratio, draw_capture
from dealias.lowlight.noise import check_sigma, gaussian_noise
from dealias.lowlight.pipeline import Output, check_images, check_output, low_light


class _ImageNoise(v2.Transform):  # type: ignore[misc]
    """Changes images and videos, and leaves boxes, masks and labels as they are."""

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"seed: expected an integer or None, got {seed!r}")
        self.seed = seed

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Called by torchvision with all parts of a sample.

        Raises:
            ValueError: an image is not a tensor.
        """
        # Labels may be tensors or arrays too.
        known = any(_is_image(part) and part.ndim > 2 for part in flat_inputs)
        others = [
            part
            for part in flat_inputs
            if isinstance(part, PIL.Image.Image)
            or (isinstance(part, np.ndarray) and part.ndim > 1 and not known)
        ]
        if others:
            raise ValueError(
                f"{type(self).__name__}: expected a tensor, got {type(others[0]).__name__}; "
                "torchvision.transforms.v2.ToImage makes one of it"
            )

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ARG002
        """Called by torchvision for each part of a sample."""
        if not _is_image(inpt):
            return inpt
        noisy = self.apply(inpt.as_subclass(Tensor))
        return noisy if type(inpt) is Tensor else tv_tensors.wrap(noisy, like=inpt)

    def apply(self, images: Tensor) -> Tensor:
        """Add noise to a batch, from the global generator or one seeded by each image's content."""
        check_images(images)
        batch = images.reshape(-1, *images.shape[-3:])
        if self.seed is None:
            noisy = self.noisy(batch, None)
        else:
            seeded = [self.noisy(x[None], content_generator(x, self.seed)) for x in batch]
            noisy = torch.cat(seeded) if seeded else batch
        return noisy.reshape(images.shape)

    def noisy(self, batch: Tensor, generator: Generator | None) -> Tensor:
        """Add noise to images [B, 3, H, W]."""
        raise NotImplementedError


class LowLight(_ImageNoise):
    """Make images as noisy as in low light, but as bright as before.

    Each image is converted back to the raw values of a sensor, darkened, made noisy and brightened
    again. The parameters are drawn anew for each image of a batch. Boxes, masks and labels are left
    as they are. Images must be tensors; torchvision's ToImage converts other types.

    Args:
        ratio: exposure ratio, at least 1; or the range (lowest, highest) of a uniform distribution.
        output: "raw", the camera's linear RGB; or "srgb", developed.
        seed: None, for training, draws from the global generator each time. With a number, for
            evaluation, the result depends only on the seed and the content of the image, not on the
            order, the batch or the worker. Results on a GPU differ from those on a CPU.
        camera: the camera whose noise, levels and colours are used.

    Raises:
        ValueError: an argument is out of range; or, when called, images are not RGB tensors of
            uint8 or floating point.

    >>> LowLight(seed=0)(torch.full((3, 8, 8), 200, dtype=torch.uint8)).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        *,
        ratio: float | tuple[float, float] = EXPOSURE_RATIO,
        output: Output = "raw",
        seed: int | None = None,
        camera: Camera = CANON_5D4,
    ) -> None:
        super().__init__(seed)
        check_ratio(ratio)
        check_output(output)
        self.ratio = ratio
        self.output = output
        self.camera = camera

    def noisy(self, batch: Tensor, generator: Generator | None) -> Tensor:
        """Add noise to images [B, 3, H, W]."""
        capture = draw_capture(
            len(batch),
            ratio=self.ratio,
            camera=self.camera,
            generator=generator,
            device=batch.device,
        )
        return low_light(
            batch, capture, output=self.output, camera=self.camera, generator=generator
        )


class GaussianNoise(_ImageNoise):
    """Add Gaussian noise to images; see :func:`gaussian_noise`.

    Args:
        sigma: standard deviation on the scale of 0 to 255, whatever the dtype.
        seed: see :class:`LowLight`. With the same seed, another sigma only scales the noise.

    Raises:
        ValueError: see :class:`LowLight`.
    """

    def __init__(self, sigma: float, *, seed: int | None = None) -> None:
        super().__init__(seed)
        check_sigma(sigma)
        self.sigma = sigma

    def noisy(self, batch: Tensor, generator: Generator | None) -> Tensor:
        """Add noise to images [B, 3, H, W]."""
        return gaussian_noise(batch, self.sigma, generator=generator)


def _is_image(part: Any) -> bool:
    return isinstance(part, (tv_tensors.Image, tv_tensors.Video)) or type(part) is Tensor


def content_generator(image: Tensor, seed: int) -> Generator:
    """Return a generator on the device of an image, seeded by its values, its shape and `seed`."""
    digest = hashlib.blake2b(f"{seed} {tuple(image.shape)}".encode(), digest_size=8)
    values = image.detach().cpu().contiguous()
    digest.update(values.view(torch.uint8).numpy().tobytes())
    generator = Generator(device=image.device)
    return generator.manual_seed(int.from_bytes(digest.digest(), "little") >> 1)
