"""What every segmentation network is to those that train, test and run it."""

from typing import Any

import torch
from torch import Tensor, nn

from dealias.surgery import Report

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SegmentationModel(nn.Module):
    """A network that gives each pixel a score for each class.

    Images are float32 [B, 3, H, W]: RGB in [0, 1], minus `mean`, divided by `std`.

    Attributes:
        backbone: the part that may come with weights of its own; the rest are heads.
        num_classes: number of classes.
        config: arguments of :func:`create_model` that build the network anew, plain enough for
            JSON.
        mean: per channel, subtracted from RGB in [0, 1].
        std: per channel, by which the difference is divided.
        classes: {"names": [...], "palette": [[r, g, b], ...]} if they are known, else None.
        dealias_report: what :func:`dealias.dealias` put into the backbone; None for a plain one.
    """

    backbone: nn.Module

    def __init__(
        self, *, num_classes: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.mean = mean
        self.std = std
        self.config: dict[str, Any] = {}
        self.classes: dict[str, Any] | None = None
        self.dealias_report: Report | None = None

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels.

        Args:
            images: [B, 3, H, W], normalised.

        Returns:
            "out", logits [B, C, H, W]; in training, "aux" of the same shape from a network with an
            auxiliary head.
        """
        raise NotImplementedError

    def loss(self, images: Tensor, target: Tensor, *, ignore_index: int) -> dict[str, Tensor]:
        """The terms that add up to the loss.

        Args:
            images: [B, 3, H, W], normalised.
            target: [B, H, W], integers: classes, or `ignore_index` for void.
            ignore_index: label of the pixels that do not count.

        Returns:
            Scalars by name. Without any pixel that counts, they are 0 and their gradients as well.
        """
        raise NotImplementedError


def pixel_loss(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Cross-entropy, mean over the pixels that are not void; 0 if all are.

    Args:
        logits: [B, C, H, W].
        target: [B, H, W], integers.
        ignore_index: label of void.

    >>> target = torch.tensor([[[0, 1], [9, 9]]])
    >>> pixel_loss(torch.zeros(1, 2, 2, 2), target, 9).exp()
    tensor(2.)
    """
    target = target.long()
    total = nn.functional.cross_entropy(logits, target, ignore_index=ignore_index, reduction="sum")
    return total / (target != ignore_index).sum().clamp_min(1)


def resize(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize [B, C, h, w] to (H, W), bilinear between pixel centres."""
    return nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
