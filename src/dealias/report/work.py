"""Images drawn one after the other, by this process or by several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch.utils.data import Dataset

from dealias.processes import read_in_order

Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]


def draw_in_order(
    draw: Callable[[str], Any],
    names: Sequence[str],
    workers: int = 0,
    progress: Progress | None = None,
) -> Iterator[Any]:
    """Yield what a function returns for each name, in order.

    Args:
        draw: it; what it returns is small, the rest is in files.
        names: of images.
        workers: processes that draw; 0 for this one.
        progress: given the number of images, opens a context that gives a function to call after
            each.

    Raises:
        ValueError: what `draw` raises in any process.
        ProcessError: one of them died.
    """
    opened = progress(len(names)) if progress else nullcontext(lambda: None)
    with opened as advance:
        for found in read_in_order(_Drawings(draw, names), len(names), workers):
            if isinstance(found, Exception):
                raise found
            yield found
            advance()


class _Drawings(Dataset[Any]):
    """Images drawn when asked for; errors come as items, to be raised in the parent."""

    def __init__(self, draw: Callable[[str], Any], names: Sequence[str]) -> None:
        self.draw = draw
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.draw(self.names[index])
        except ValueError as error:
            return error
