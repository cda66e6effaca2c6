"""The interface of segmentation networks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dealias.models.network import ModelError, Network, network_name

Criterion = Callable[[Tensor, Tensor], Tensor]


class SegmentationModel(Network):
    """A network that scores each class at each pixel; see :class:`Network`.

    Attributes:
        classes: {"names": [...], "palette": [[r, g, b], ...]}, or None if they are not known.
        aux_weight: weight of the auxiliary head in the loss.
    """

    classes: dict[str, Any] | None = None
    aux_weight: float = 0.4

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels.

        Args:
            images: float32 `[B, 3, H, W]`, normalised.

        Returns:
            "out", logits `[B, C, H, W]`; in training, also "aux" of the same shape if the network
            has an auxiliary head.
        """
        raise NotImplementedError

    def loss(
        self,
        images: Tensor,
        target: Tensor,
        *,
        ignore_index: int,
        criterion: Criterion | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms whose sum is the loss.

        Args:
            images: float32 `[B, 3, H, W]`, normalised.
            target: integers `[B, H, W]`: classes, or `ignore_index` for void.
            ignore_index: label of void pixels, which are ignored.
            criterion: returns the loss of scores `[B, C, H, W]` and a target, as a scalar; by
                default :func:`pixel_loss`.

        Returns:
            Scalars by name: "decode" and, in training with an auxiliary head, "aux", its loss times
            `aux_weight`. If all pixels are void, they are 0, and so are their gradients.

        Raises:
            ModelError: there is only one image, and the network pools it to one pixel, so batch
                norm has no variance to normalise by.
        """
        criterion = criterion or partial(pixel_loss, ignore_index=ignore_index)
        try:
            scores = self(images)
        except ValueError as error:
            if len(images) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ModelError(
                f"images: expected two or more, since {network_name(self.config)!r} pools each to "
                f"a pixel before a batch norm, got 1; 'upernet' trains on single images"
            ) from error
        terms = {"decode": criterion(scores["out"], target)}
        if "aux" in scores:
            terms["aux"] = self.aux_weight * criterion(scores["aux"], target)
        return terms


def pixel_loss(
    logits: Tensor,
    target: Tensor,
    ignore_index: int,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean cross-entropy over the pixels that are not void; 0 if all are void.

    Args:
        logits: floating point `[B, C, H, W]`.
        target: integers `[B, H, W]`.
        ignore_index: label of void.
        weight: weights of the classes `[C]`; the mean is weighted by the classes of the pixels.
        label_smoothing: share of the target that is spread over all classes, in [0, 1].

    >>> target = torch.tensor([[[0, 1], [9, 9]]])
    >>> pixel_loss(torch.zeros(1, 2, 2, 2), target, 9).exp()
    tensor(2.)
    """
    target = target.long()
    counted = target != ignore_index
    total = nn.functional.cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=ignore_index,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    if weight is None:
        return total / counted.sum().clamp_min(1)
    over = weight[target[counted]].sum()
    return total / torch.where(over > 0, over, 1)


def resize(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize maps `[B, C, h, w]` to a (height, width), bilinear between pixel centres."""
    return nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
