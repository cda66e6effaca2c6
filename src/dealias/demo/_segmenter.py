"""A network of three layers that is fitted in closed form, so that two of them compare fairly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dealias.spectral import lowpass

STRIDE = 8


class TinySegmenter(nn.Module):
    """Downsample features by 8 in one step, with or without a low-pass, and label each pixel.

    Convolution 3x3 and ReLU at full resolution; every 8th pixel; normalisation; convolution 3x3
    and ReLU; linear readout of the 8x8 pixels around each sample. The convolutions are random and
    stay so; :func:`fit` sets the rest.

    Args:
        num_classes: C.
        antialias: remove what varies faster than the Nyquist frequency of the downsampled grid,
            1/16 cycles per pixel, before downsampling. All else, random weights included, is the
            same either way.
        channels: of the features that are downsampled.
        hidden: channels behind the second convolution.
        seed: of the random weights.
    """

    mean: Tensor
    scale: Tensor
    readout: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        antialias: bool,
        channels: int = 32,
        hidden: int = 512,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.antialias = antialias
        random = torch.Generator().manual_seed(seed)
        self.encoder = _random_convolution(3, channels, random)
        self.decoder = _random_convolution(channels, hidden, random)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        outputs = num_classes * STRIDE**2
        self.register_buffer("readout", torch.zeros(outputs, hidden + 1, 1, 1))

    def downsampled(self, images: Tensor) -> Tensor:
        """Features [N, channels, H/8, W/8] of uint8 images [N, 3, H, W].

        Raises:
            ValueError: another shape or dtype, or H or W not a multiple of 8.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
            raise ValueError(
                f"images: expected uint8 [N, 3, H, W], got {images.dtype} {list(images.shape)}"
            )
        if images.shape[-2] % STRIDE or images.shape[-1] % STRIDE:
            raise ValueError(
                f"images: expected H and W to be multiples of {STRIDE}, got {list(images.shape)}"
            )
        features = F.relu(self.encoder(images.float() / 64 - 2))
        if self.antialias:
            features = lowpass(features, 0.5 / STRIDE, border="reflect")
        return features[..., STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]

    def hidden(self, downsampled: Tensor) -> Tensor:
        """What the readout sees: [N, hidden + 1, H/8, W/8], the last channel being 1."""
        hidden = F.relu(self.decoder((downsampled - self.mean) / self.scale))
        return torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, C, H, W] of uint8 images [N, 3, H, W]."""
        fine = F.conv2d(self.hidden(self.downsampled(images)), self.readout)  # (N, C 64, H/8, W/8)
        return F.pixel_shuffle(fine, STRIDE)


@torch.no_grad()
def fit(
    network: TinySegmenter, scenes: Sequence[tuple[Tensor, Tensor]], *, ridge: float = 1e-3
) -> TinySegmenter:
    r"""Fit the normalisation and the readout to labelled images, and return the network.

    The readout is the ridge regression from the hidden channels h of each sample to the one-hot
    labels y of its 8x8 pixels,

    .. math:: W = Y H^\top (H H^\top + n \lambda I)^{-1},

    its scores divided by the square root of each class's frequency, the better to find the rare
    ones. Void pixels are of no class.

    Args:
        network: changed in place.
        scenes: (image, labels) pairs: uint8 [3, H, W], and [H, W] with void 255.
        ridge: the weight lambda of the penalty, above 0.

    Raises:
        ValueError: no scenes, or a ridge that is not positive.
    """
    if not scenes:
        raise ValueError("scenes: expected at least one, got none")
    if not ridge > 0:
        raise ValueError(f"ridge: expected a positive number, got {ridge!r}")
    downsampled = [network.downsampled(image[None]) for image, _ in scenes]
    samples = torch.cat([x.flatten(2) for x in downsampled], dim=2)  # (1, channels, n)
    spread, mean = torch.std_mean(samples, dim=(0, 2), correction=0)
    network.mean, network.scale = mean[:, None, None], spread[:, None, None] + 1e-6
    size = network.readout.shape[1]
    gram = torch.zeros(size, size, dtype=torch.float64)
    moment = torch.zeros(size, network.readout.shape[0], dtype=torch.float64)
    for x, (_, labels) in zip(downsampled, scenes, strict=True):
        h = network.hidden(x)[0].flatten(1)  # (hidden + 1, n)
        y = _one_hot(labels, network.num_classes).flatten(1)  # (C 64, n)
        gram += h @ h.T
        moment += h @ y.T
    # The last channel is 1: its row of the moment counts labels, its corner of the Gram samples.
    frequency = moment[-1].view(-1, STRIDE**2).mean(1, keepdim=True) / gram[-1, -1]
    penalty = ridge * gram[-1, -1] * torch.eye(size, dtype=torch.float64)
    readout = torch.linalg.solve(gram + penalty, moment).T  # (C 64, hidden + 1)
    balance = frequency.clamp_min(1e-6).rsqrt().expand(-1, STRIDE**2).reshape(-1, 1)
    network.readout = (balance * readout).float()[..., None, None]
    return network


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Labels [H, W] as float [C 64, H/8, W/8], in the order of a pixel shuffle; void is zero."""
    classes = torch.arange(num_classes, dtype=labels.dtype)[:, None, None]
    return F.pixel_unshuffle((labels == classes).float(), STRIDE)


def _random_convolution(inputs: int, outputs: int, random: torch.Generator) -> nn.Conv2d:
    """A 3x3 convolution with fixed He-normal weights and normal biases."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")
    layer.requires_grad_(False)
    layer.weight.normal_(0, (2 / (9 * inputs)) ** 0.5, generator=random)
    if layer.bias is not None:
        layer.bias.normal_(0, 0.5, generator=random)
    return layer
