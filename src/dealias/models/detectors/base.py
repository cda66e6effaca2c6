"""The interface of networks for instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dealias.metrics.instances import Detections
from dealias.models.backbones import Backbone, stage_maps
from dealias.models.network import Network

Size = tuple[int, int]
Target = dict[str, Any]

_MULTIPLE = 32  # stride of the last stage; the sides of a batch are multiples of it


class Detector(Network):
    """A network that finds the instances in images; see :class:`Network`.

    Batches of images come from :func:`stack_images`. Features are the maps of the four stages of
    the backbone, `[B, C, H / s, W / s]` for s = 4, 8, 16, 32.

    Args:
        backbone: features at strides 4, 8, 16 and 32.
        num_classes: number of classes, without background.
        frozen_norms: whether batch norms of the backbone keep the statistics of its weights.
    """

    def __init__(self, backbone: Backbone, *, num_classes: int, frozen_norms: bool) -> None:
        super().__init__(num_classes=num_classes, mean=backbone.mean, std=backbone.std)
        self.backbone = backbone.network
        self._channels_last = backbone.channels_last
        self._frozen_norms = frozen_norms

    def train(self, mode: bool = True) -> Detector:
        """Set the mode of all modules except batch norms that keep their statistics."""
        super().train(mode)
        if self._frozen_norms:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute the maps of the four stages, the finest first."""
        return stage_maps(self.backbone(images), self._channels_last)

    def loss(
        self,
        images: Tensor,
        sizes: Sequence[Size],
        targets: Sequence[Target],
        features: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Compute the terms whose sum is the loss.

        Args:
            images: float32 `[B, 3, H, W]`.
            sizes: (height, width) of each image in the batch.
            targets: one per image, as from :class:`dealias.instance.InstanceDataset`, on the device
                of the images. Crowds are left out.
            features: features of the images.

        Returns:
            Scalars by name.
        """
        raise NotImplementedError

    def detect(
        self, images: Tensor, sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Detections]:
        """Find instances, in evaluation mode.

        Args:
            images: float32 `[B, 3, H, W]`.
            sizes: (height, width) of each image in the batch.
            original_sizes: (height, width) to which the boxes and masks of each image are scaled.

        Returns:
            Detections on the CPU, one per image.
        """
        raise NotImplementedError


def stack_images(images: Sequence[Tensor]) -> tuple[Tensor, list[Size]]:
    """Stack images `[3, h, w]`, zero-padded below and to the right, and list their (height, width).

    >>> batch, sizes = stack_images([torch.ones(3, 40, 64), torch.ones(3, 33, 70)])
    >>> batch.shape, sizes
    (torch.Size([2, 3, 64, 96]), [(40, 64), (33, 70)])
    """
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    height, width = (-(-max(side) // _MULTIPLE) * _MULTIPLE for side in zip(*sizes, strict=True))
    batch = images[0].new_zeros(len(images), 3, height, width)
    for place, image, (h, w) in zip(batch, images, sizes, strict=True):
        place[:, :h, :w] = image
    return batch, sizes


def feature_consistency(
    bright: Sequence[Tensor], dark: Sequence[Tensor], *, limit: float = 0.1
) -> Tensor:
    """Measure how far the features of dark images are from those of their bright copies.

    Args:
        bright: maps of the stages, of any shapes.
        dark: maps of the same shapes.
        limit: upper limit of a squared difference.

    Returns:
        Mean over stages of the mean of ``min((bright - dark) ** 2, limit)``.

    Source: the disturbance suppression loss of Chen et al., "Instance Segmentation in the Dark",
    IJCV 2023.

    >>> feature_consistency([torch.tensor([0.0, 1.0])], [torch.tensor([0.2, 3.0])])
    tensor(0.0700)
    """
    terms = [(b - d).square().clamp_max(limit).mean() for b, d in zip(bright, dark, strict=True)]
    return torch.stack(terms).mean()


def without_crowds(target: Target) -> tuple[Tensor, Tensor, Tensor]:
    """Return the boxes, labels and masks of a target, without crowds."""
    single = target["iscrowd"] == 0
    boxes, labels, masks = (
        target[key].as_subclass(Tensor)[single] for key in ("boxes", "labels", "masks")
    )
    return boxes, labels, masks
