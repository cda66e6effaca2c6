"""The interface of segmentation networks."""

from typing import Any

import torch
from torch import Tensor, nn

from dealias.models.network import Network


class SegmentationModel(Network):
    """A network that scores each class at each pixel; see :class:`Network`.

    Attributes:
        classes: {"names": [...], "palette": [[r, g, b], ...]} if they are known, else None.
    """

    classes: dict[str, Any] | None = None

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels.

        Args:
            images: float32 `[B, 3, H, W]`, normalised.

        Returns:
            "out", logits `[B, C, H, W]`; in training, also "aux" of the same shape if the network
            has an auxiliary head.
        """
        raise NotImplementedError

    def loss(self, images: Tensor, target: Tensor, *, ignore_index: int) -> dict[str, Tensor]:
        """Compute the terms whose sum is the loss.

        Args:
            images: float32 `[B, 3, H, W]`, normalised.
            target: integers `[B, H, W]`: classes, or `ignore_index` for void.
            ignore_index: label of void pixels, which do not count.

        Returns:
            Scalars by name. If all pixels are void, they are 0, and so are their gradients.
        """
        raise NotImplementedError


def pixel_loss(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Cross-entropy, mean over the pixels that are not void; 0 if all are.

    Args:
        logits: floating point `[B, C, H, W]`.
        target: integers `[B, H, W]`.
        ignore_index: label of void.

    >>> target = torch.tensor([[[0, 1], [9, 9]]])
    >>> pixel_loss(torch.zeros(1, 2, 2, 2), target, 9).exp()
    tensor(2.)
    """
    target = target.long()
    total = nn.functional.cross_entropy(logits, target, ignore_index=ignore_index, reduction="sum")
    return total / (target != ignore_index).sum().clamp_min(1)


def resize(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize maps `[B, C, h, w]` to a (height, width), bilinear between pixel centres."""
    return nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
