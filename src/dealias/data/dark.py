"""How the images of a data set are made dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dealias.lowlight import LowLight


@dataclass(frozen=True)
class Dark:
    """How images are made dark: see :class:`dealias.lowlight.LowLight`.

    Attributes:
        ratio: lowest and highest exposure ratio.
        output: "raw", the camera's linear RGB, or "srgb".
        keep_bright: whether training batches also have the bright images; for instances only.

    Raises:
        ValueError: a value is out of range.
    """

    ratio: tuple[float, float] = (10.0, 100.0)
    output: Literal["raw", "srgb"] = "raw"
    keep_bright: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.ratio, tuple | list):  # one number is enough for LowLight
            raise ValueError(f"ratio: expected (lowest, highest), got {self.ratio!r}")
        self.transform(None)

    def transform(self, seed: int | None) -> LowLight:
        """The transform, whose darkness is random, or fixed by a seed."""
        return LowLight(ratio=self.ratio, output=self.output, seed=seed)
