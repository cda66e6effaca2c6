"""Several band widths, in pixels or as shares of the image diagonal."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from dealias.metrics.functional.bands import check_band_width

_MOST = 64  # widths


@dataclass(frozen=True)
class BandWidths:
    """Band widths in ascending order.

    Attributes:
        values: odd numbers of pixels, or shares of the image diagonal in (0, 1].
        of_diagonal: whether the values are shares of the diagonal.

    >>> BandWidths.parse("3,7,15").in_pixels(360, 480)
    [3, 7, 15]
    >>> BandWidths.parse("0.5%,2.5%").in_pixels(360, 480)  # of 600 pixels
    [3, 15]
    """

    values: tuple[float, ...]
    of_diagonal: bool = False

    @classmethod
    def parse(cls, text: str) -> BandWidths:
        """Read "3,7,15" or "0.5%,1%,2%".

        Raises:
            ValueError: the text holds neither widths in pixels nor shares of the diagonal, or they
                do not ascend.
        """
        parts = [part.strip() for part in text.split(",")]
        of_diagonal = parts[0].endswith("%")
        try:
            values = tuple(_share(part) if of_diagonal else int(part) for part in parts)
        except ValueError:
            raise ValueError(
                "band_widths: expected odd numbers of pixels such as 3,7,15 or shares of the "
                f"diagonal such as 0.5%,1%,2%, got {text[:80]!r}"
            ) from None
        for value in values:
            if not of_diagonal:
                check_band_width(int(value))
            elif not 0 < value <= 1:
                raise ValueError(f"band_widths: expected shares in (0 %, 100 %], got {text[:80]!r}")
        if len(values) > _MOST or any(one >= other for one, other in itertools.pairwise(values)):
            raise ValueError(
                f"band_widths: expected at most {_MOST} widths that rise, got {text[:80]!r}"
            )
        return cls(values, of_diagonal)

    def in_pixels(self, height: int, width: int) -> list[int]:
        """Return the widths for an image of this size, shares as the nearest odd numbers."""
        if not self.of_diagonal:
            return [int(value) for value in self.values]
        diagonal = math.hypot(height, width)
        return [2 * int(share * diagonal / 2) + 1 for share in self.values]

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return ",".join(self.labels()).replace(" px", "").replace(" ", "")

    def labels(self) -> list[str]:
        """Return each width with its unit.

        >>> BandWidths.parse("0.5%,1%").labels()
        ['0.5 %', '1 %']
        """
        if self.of_diagonal:
            return [f"{100 * value:.12g} %" for value in self.values]
        return [f"{value} px" for value in self.values]


def _share(part: str) -> float:
    if not part.endswith("%"):
        raise ValueError("expected a percent sign")
    return float(part[:-1]) / 100
