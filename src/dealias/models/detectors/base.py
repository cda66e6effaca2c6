"""What every network for instances is to those that train, test and run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dealias.metrics.instances import Detections
from dealias.models.backbones import Backbone
from dealias.surgery import Report

Size = tuple[int, int]
Target = dict[str, Any]

_MULTIPLE = 32  # of the sides of a batch: the stride of the last stage


class Detector(nn.Module):
    """A network that finds the instances in images.

    Images are float32 [B, 3, H, W], of :func:`stack_images`: RGB in [0, 1], minus `mean`, divided
    by `std`, with zeros below and to the right. Features are the maps of the four stages of the
    backbone, [B, C, H / s, W / s] for s = 4, 8, 16, 32.

    Args:
        backbone: features at strides 4, 8, 16 and 32.
        num_classes: number of classes, without background.
        frozen_norms: whether batch norms of the backbone keep the statistics they came with.

    Attributes:
        backbone: the part that may come with weights of its own; the rest are heads.
        num_classes: number of classes, without background.
        config: arguments of :func:`create_detector` that build the network anew, plain enough for
            JSON.
        mean: per channel, subtracted from RGB in [0, 1].
        std: per channel, by which the difference is divided.
        dealias_report: what :func:`dealias.dealias` put into the backbone; None for a plain one.
    """

    def __init__(self, backbone: Backbone, *, num_classes: int, frozen_norms: bool) -> None:
        super().__init__()
        self.backbone = backbone.network
        self.num_classes = num_classes
        self.mean = backbone.mean
        self.std = backbone.std
        self.config: dict[str, Any] = {}
        self.dealias_report: Report | None = None
        self._levels = backbone.levels
        self._channels_last = backbone.channels_last
        self._frozen_norms = frozen_norms

    def train(self, mode: bool = True) -> Detector:
        """Set the mode of all modules but of batch norms that keep their statistics."""
        super().train(mode)
        if self._frozen_norms:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def features(self, images: Tensor) -> list[Tensor]:
        """The maps of the four stages, from the finest."""
        maps = self.backbone(images)
        chosen = [maps[level] for level in self._levels]
        return (
            [m.permute(0, 3, 1, 2).contiguous() for m in chosen] if self._channels_last else chosen
        )

    def loss(
        self,
        images: Tensor,
        sizes: Sequence[Size],
        targets: Sequence[Target],
        features: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """The terms that add up to the loss.

        Args:
            images: [B, 3, H, W].
            sizes: (h, w) of each image in the batch.
            targets: of :class:`dealias.instance.InstanceDataset`, one an image, on the device of
                the images. Crowds are left out.
            features: of the images.

        Returns:
            Scalars by name.
        """
        raise NotImplementedError

    def detect(
        self, images: Tensor, sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Detections]:
        """Find instances, in evaluation mode.

        Args:
            images: [B, 3, H, W].
            sizes: (h, w) of each image in the batch.
            original_sizes: (h, w) that boxes and masks are to be for.

        Returns:
            Detections on the CPU, one an image.
        """
        raise NotImplementedError


def stack_images(images: Sequence[Tensor]) -> tuple[Tensor, list[Size]]:
    """Stack images [3, h, w], with zeros below and to the right, and list their (h, w).

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
    """How far the features of dark images are from those of their bright copies.

    Args:
        bright: maps of the stages, of any shapes.
        dark: likewise.
        limit: what a squared difference counts at the most.

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
    """Boxes, labels and masks of what is a single instance."""
    single = target["iscrowd"] == 0
    boxes, labels, masks = (
        target[key].as_subclass(Tensor)[single] for key in ("boxes", "labels", "masks")
    )
    return boxes, labels, masks
