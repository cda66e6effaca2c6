"""What a network found in an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dealias.instance._masks import Rle


@dataclass(frozen=True)
class Detections:
    """Instances that a network found in one image, in any order.

    Attributes:
        boxes: float32 [N, 4], (left, top, right, bottom) in pixels.
        labels: int64 [N], 1 .. C.
        scores: float32 [N], the higher the surer.
        masks: N run lengths of the size of the image.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: list[Rle]

    @classmethod
    def none(cls) -> Detections:
        """Nothing found."""
        labels = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0, 4), labels, torch.zeros(0), [])

    def __len__(self) -> int:
        """The number of instances."""
        return len(self.scores)
