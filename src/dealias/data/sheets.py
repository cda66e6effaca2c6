"""Contact sheets: pages of pictures in pairs, with captions and a legend."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dealias.files import write_whole
from dealias.text import printable

Picture = NDArray[np.uint8]
T = TypeVar("T")

_CAPTION = 16
_GAP = 4
_LINE = 18
_ENTRY = 240
_MOST_IN_LEGEND = 60
_PAPER = 255


class Sheet(NamedTuple):
    """The layout of a page.

    Attributes:
        cell: height and width of a picture.
        pairs_a_row: number of pairs per row.
    """

    cell: tuple[int, int] = (180, 240)
    pairs_a_row: int = 3

    @property
    def width(self) -> int:
        """Width of the page in pixels."""
        return self.pairs_a_row * (2 * self.cell[1] + 3 * _GAP)

    def shrinkage(self, size: tuple[int, int]) -> float:
        """The factor by which a picture of size (height, width) is shrunk to fit into its cell."""
        return max(size[0] / self.cell[0], size[1] / self.cell[1])

    def pair(self, caption: str, left: Picture, right: Picture, *, smooth: bool = True) -> Picture:
        """Two pictures side by side, under a caption.

        Args:
            caption: text above both pictures.
            left: uint8 [H, W, 3], resized smoothly.
            right: uint8 [H, W, 3], of any size.
            smooth: whether to resize the right picture smoothly; not for labels.
        """
        method = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
        cells = self._fit(left, Image.Resampling.BILINEAR), self._fit(right, method)
        head = Image.new("RGB", (2 * self.cell[1] + _GAP, _CAPTION), (_PAPER,) * 3)
        ImageDraw.Draw(head).text((2, 2), _plain(caption), fill=(0, 0, 0))
        gap = np.full((self.cell[0], _GAP, 3), _PAPER, np.uint8)
        return np.concatenate([np.asarray(head), np.hstack([cells[0], gap, cells[1]])])

    def page(
        self, pairs: Sequence[Picture], names: Sequence[str], colors: NDArray[np.uint8]
    ) -> Picture:
        """The pairs row by row and, below them, the class names with their colours [C, 3]."""
        return np.concatenate([self._grid(pairs), self._legend(names, colors)])

    def _fit(self, picture: Picture, method: Image.Resampling) -> Picture:
        """Resize a picture to fit a cell, keeping its aspect ratio."""
        height, width = picture.shape[:2]
        factor = 1 / self.shrinkage((height, width))
        size = max(1, round(height * factor)), max(1, round(width * factor))
        cell = np.full((*self.cell, 3), _PAPER, np.uint8)
        resized = Image.fromarray(np.ascontiguousarray(picture)).resize(size[::-1], method)
        cell[: size[0], : size[1]] = np.asarray(resized)
        return cell

    def _grid(self, pairs: Sequence[Picture]) -> Picture:
        height, width = self.cell[0] + _CAPTION + 2 * _GAP, 2 * self.cell[1] + 3 * _GAP
        rows = max(1, -(-len(pairs) // self.pairs_a_row))
        page = np.full((rows * height, self.width, 3), _PAPER, np.uint8)
        for number, pair in enumerate(pairs):
            top = number // self.pairs_a_row * height + _GAP
            left = number % self.pairs_a_row * width + _GAP
            page[top : top + pair.shape[0], left : left + pair.shape[1]] = pair
        return page

    def _legend(self, names: Sequence[str], colors: NDArray[np.uint8]) -> Picture:
        named = list(zip(names, colors.tolist(), strict=True))[:_MOST_IN_LEGEND]
        columns = self.width // _ENTRY
        lines = -(-len(named) // columns)
        page = Image.new("RGB", (self.width, lines * _LINE + _GAP), (_PAPER,) * 3)
        draw = ImageDraw.Draw(page)
        for number, (name, color) in enumerate(named):
            left, top = number % columns * _ENTRY + _GAP, number // columns * _LINE
            draw.rectangle((left, top, left + _LINE, top + _LINE - 3), fill=tuple(color))
            draw.text((left + _LINE + 4, top + 2), _plain(name), fill=(0, 0, 0))
        return np.asarray(page)


def spread_usable(length: int, count: int, read: Callable[[int], T | None]) -> Iterator[T]:
    """Evenly spaced entries; the next entry replaces one that can't be used.

    Args:
        length: number of entries.
        count: largest number of entries to take.
        read: returns the entry at an index, or None if it can't be used.

    >>> list(spread_usable(6, 2, lambda index: "abcdef"[index] if index else None))
    ['b', 'd']
    """
    count = min(count, length)
    bounds = [number * length // max(count, 1) for number in range(count + 1)]
    for start, end in itertools.pairwise(bounds):
        usable = (entry for entry in map(read, range(start, end)) if entry is not None)
        yield from itertools.islice(usable, 1)


def write_picture(picture: Picture, path: str | Path) -> None:
    """Write a picture as PNG, completely or not at all.

    Args:
        picture: uint8 [H, W, 3].
        path: path of the file.

    Raises:
        OutputError: the file can't be written.
    """
    with write_whole(Path(path)) as file:
        Image.fromarray(picture).save(file, "png")


def _plain(name: str) -> str:
    """The name in characters that Pillow's own font has."""
    return printable(name).encode("ascii", "replace").decode()
