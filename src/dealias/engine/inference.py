"""Class scores of images of any size: whole, in sliding windows, at several scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate, pad

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Inference:
    """How a network is applied to images: windows, scales and flips.

    Attributes:
        fit_within: (long, short) edges in pixels; images are scaled up or down to fit within
            them, keeping their aspect ratio. None keeps their size.
        window: (H, W) of a sliding window; None for the whole image.
        stride: (rows, columns) from one window to the next; by default two thirds of the window.
        scales: factors by which images are scaled; scores are averaged over them.
        flip: whether to average with the mirrored image, at each scale.

    Raises:
        ValueError: a value is out of range.
    """

    fit_within: tuple[int, int] | None = None
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        for name in ("fit_within", "window", "stride"):
            value = getattr(self, name)
            if value is not None and (len(value) != 2 or min(value) < 1):
                raise ValueError(f"{name}: expected two lengths of at least 1, got {value}")
        if self.stride is not None and self.window is None:
            raise ValueError("stride: is for a window, and there is none")
        if self.window and self.stride and any(map(int.__gt__, self.stride, self.window)):
            raise ValueError(
                f"stride: expected at most the window {self.window}, got {self.stride}: "
                "pixels between windows would have no score"
            )
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales: expected factors over 0, got {self.scales}")

    @property
    def averages(self) -> bool:
        """Whether scores are averaged over several passes, and are therefore probabilities."""
        return self.flip or len(self.scales) > 1

    def scores(self, network: Network, images: Tensor) -> Tensor:
        """Class scores of images at the original size of the images.

        Args:
            network: maps images [B, 3, h, w] to logits [B, C, h, w], for any h and w.
            images: [B, 3, H, W].

        Returns:
            [B, C, H, W]: logits, or mean probabilities with several scales or a flip.
        """
        height, width = images.shape[-2:]
        total: Tensor | None = None
        for scale in self.scales:
            resized = _resize(images, *self._size(height, width, scale))
            for flip in (False, True) if self.flip else (False,):
                logits = self._pass(network, resized.flip(-1) if flip else resized)
                logits = _resize(logits.flip(-1) if flip else logits, height, width)
                part = logits.softmax(1) if self.averages else logits
                total = part if total is None else total.add_(part)
        assert total is not None  # noqa: S101 - there is at least one scale
        return total / (len(self.scales) * (2 if self.flip else 1)) if self.averages else total

    def _size(self, height: int, width: int, scale: float) -> tuple[int, int]:
        if self.fit_within is not None:
            long, short = max(self.fit_within), min(self.fit_within)
            scale *= min(long / max(height, width), short / min(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _pass(self, network: Network, images: Tensor) -> Tensor:
        if self.window is None:
            return network(images)
        stride = self.stride or tuple(max(1, round(2 * n / 3)) for n in self.window)
        return slide(network, images, self.window, (stride[0], stride[1]))


def slide(
    network: Network, images: Tensor, window: tuple[int, int], stride: tuple[int, int]
) -> Tensor:
    """Logits [B, C, H, W] of images, averaged over all windows that cover a pixel.

    The last window of a row or column ends at the edge of the image, so it overlaps more. Images
    smaller than the window are padded with zeros, which is the mean colour.
    """
    height, width = images.shape[-2:]
    below, right = max(0, window[0] - height), max(0, window[1] - width)
    images = pad(images, (0, right, 0, below))
    total: Tensor | None = None
    count = images.new_zeros(images.shape[-2:])
    for top in _starts(images.shape[-2], window[0], stride[0]):
        for left in _starts(images.shape[-1], window[1], stride[1]):
            place = (..., slice(top, top + window[0]), slice(left, left + window[1]))
            logits = network(images[place])
            if total is None:
                total = images.new_zeros(*logits.shape[:2], *images.shape[-2:])
            total[place] += logits
            count[place] += 1
    assert total is not None  # noqa: S101 - there is at least one window
    return (total / count)[..., :height, :width]


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Positions of windows that cover the length.

    >>> _starts(10, 4, 3), _starts(9, 4, 3), _starts(4, 4, 3)
    ([0, 3, 6], [0, 3, 5], [0])
    """
    last = length - window
    return [*range(0, last, stride), last]


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    return interpolate(images, (height, width), mode="bilinear", align_corners=False)
