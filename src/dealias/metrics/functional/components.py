"""Find the connected components of two label maps at once, on the CPU.

Pixels are grouped into runs: stretches of a row in which neither map changes. Only the comparison
of neighbours touches every pixel. All later steps work on runs, of which a street scene has some
ten thousand, and on all classes together.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]
Indices = NDArray[np.intp]


class Runs(NamedTuple):
    """The runs of a pair of label maps `[H, W]`, row by row.

    Attributes:
        target: integers `[R]`, the target label of each run.
        preds: integers `[R]`, the predicted label of each run.
        pixels: int64 `[R]`, the length of each run.
        touching: two arrays `[P]`, the pairs of runs that touch at a side or a corner, each once.
    """

    target: Labels
    preds: Labels
    pixels: NDArray[np.int64]
    touching: tuple[Indices, Indices]


def find_runs(preds: Labels, target: Labels) -> Runs:
    """Cut a pair of label maps `[H, W]`, with at least one pixel, into runs."""
    height, width = target.shape
    begins = np.ones((height, width), np.bool_)
    np.not_equal(target[:, 1:], target[:, :-1], out=begins[:, 1:])
    begins[:, 1:] |= preds[:, 1:] != preds[:, :-1]
    start = np.flatnonzero(begins)
    pixels = np.diff(start, append=height * width)
    return Runs(
        target.reshape(-1).take(start),
        preds.reshape(-1).take(start),
        pixels,
        _touching(start, start + pixels, width),
    )


def _touching(start: Indices, end: Indices, width: int) -> tuple[Indices, Indices]:
    """Return the pairs of runs that touch within a row, and from one row to the next."""
    column = start % width
    beside = np.flatnonzero(column)
    lower = np.arange(np.searchsorted(start, width), len(start))
    left, right = column[lower], end[lower] - start[lower] + column[lower]
    above = start[lower] - left - width  # offset of the row above
    first = np.searchsorted(start, above + np.maximum(left - 1, 0), "right") - 1
    last = np.searchsorted(start, above + np.minimum(right, width - 1), "right") - 1
    number = last - first + 1
    offset = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    upper = np.repeat(first, number) + offset
    return np.concatenate([beside - 1, upper]), np.concatenate([beside, np.repeat(lower, number)])


def connect(nodes: int, first: Indices, second: Indices) -> Indices:
    """Number the connected components of a graph.

    Args:
        nodes: number of nodes.
        first: one end of each edge, `[E]`.
        second: the other end, `[E]`.

    Returns:
        `[nodes]`, for each node the lowest node of its component.

    Every node is hooked to its lowest neighbour, and the trees are flattened. The edges between
    their roots remain, and get fewer in every round. Source: Shiloach and Vishkin, "An O(log n)
    parallel connectivity algorithm", 1982.

    >>> connect(5, np.array([0, 3]), np.array([2, 2])).tolist()
    [0, 1, 0, 0, 4]
    """
    parent = np.arange(nodes)
    while len(first):
        np.minimum.at(parent, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(parent, above := parent[parent]):
            parent = above
        first, second = parent[first], parent[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return parent


class Components(NamedTuple):
    """The connected components of one of two label maps, numbered from the top left.

    Attributes:
        of_run: `[R]`, the component of each run; -1 for runs that are left out.
        label: integers `[K]`, the label of each component.
        pixels: int64 `[K]`, the number of pixels of each component.
    """

    of_run: Indices
    label: Labels
    pixels: NDArray[np.int64]


def components(
    runs: Runs, labels: Labels, known: NDArray[np.bool_], *, across: bool = False
) -> Components:
    """Connect touching runs with the same label.

    Args:
        runs: the runs of both maps.
        labels: `runs.target` or `runs.preds`.
        known: bool `[R]`, false for runs that are left out.
        across: whether left-out runs connect other runs.
    """
    first, second = runs.touching
    joined = labels[first] == labels[second]
    if not across:
        joined &= known[first] & known[second]
    root = connect(len(labels), first[joined], second[joined])
    kept = np.zeros(len(root), np.bool_)
    kept[root[known]] = True
    roots = np.flatnonzero(kept)
    number = np.full(len(root), -1)
    number[roots] = np.arange(len(roots))
    of_run = np.where(known, number[root], -1)
    return Components(of_run, labels[roots], sum_by(of_run[known], runs.pixels[known], len(roots)))


def sum_by(index: Indices, values: NDArray[Any], length: int) -> NDArray[np.int64]:
    """Sum integers by their index: int64 `[length]`, exact below 2**53."""
    return np.bincount(index, weights=values, minlength=length).astype(np.int64)
