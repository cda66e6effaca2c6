"""Count one image on the CPU, with 64 pixels in a machine word.

Label maps consist of runs, and each pixel of an edge or a band is one bit. Bands are dilated by
shifting words, and the table is counted by runs, so only the comparison of neighbours touches every
pixel. `_count_dense` in `counts.py` computes the same on any device; the tests compare the two.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]
Words = NDArray[np.uint64]  # [H, ceil(W / 64)]; bit i of a word is the i-th pixel from the left

_WORD = 64
_BLOCK = 128  # rows


class Steps(NamedTuple):
    """Pixels whose neighbours have different labels."""

    across: Words  # a pixel compared with its right neighbour
    down: Words  # a pixel compared with the one below; [H - 1, ...]


class Cells(NamedTuple):
    """Groups of pixels with the same region, target and predicted label, and their sizes."""

    region: NDArray[np.integer]
    target: NDArray[np.integer]
    preds: NDArray[np.integer]
    pixels: NDArray[np.int64]


def count_image(
    preds: Labels, target: Labels, protocol: str, ignore_index: int, band_widths: Sequence[int]
) -> Iterator[tuple[Cells, list[int]]]:
    """Count one image of label maps `[H, W]`; void in `target` is counted like other labels.

    Yields:
        For each width, in non-descending order, the cells of the table of counts, unordered and
        possibly repeated, and the four edge counts of `dealias.metrics.functional.HardPixelCounts`.
    """
    width = target.shape[1]
    preds_steps, target_steps = find_steps(preds), find_steps(target)
    preds_edges = edge_words(preds, preds_steps, protocol, None)
    target_edges = edge_words(target, target_steps, protocol, ignore_index)
    preds_bands = _bands(preds_edges, band_widths, width)
    target_bands = _bands(target_edges, band_widths, width)
    changes = preds_steps.across | target_steps.across
    for band in (*preds_bands, *target_bands):
        changes |= band ^ _towards_start(band, 1)
    cells = _count_runs(preds, target, preds_bands, target_bands, changes)
    # A pixel in a band is in all wider bands too, so the number of bands tells which ones.
    in_preds, in_target = np.divmod(cells.region, len(band_widths) + 1)
    for place, (preds_band, target_band) in enumerate(zip(preds_bands, target_bands, strict=True)):
        narrower = len(band_widths) - place
        region = (in_preds >= narrower) + 2 * (in_target >= narrower)
        edges = [
            count_pixels(preds_edges & ~target_band),
            count_pixels(preds_edges) + count_pixels(preds_band),
            count_pixels(target_edges & ~preds_band),
            count_pixels(target_edges) + count_pixels(target_band),
        ]
        yield cells._replace(region=region), edges


def _bands(edges: Words, band_widths: Sequence[int], width: int) -> list[Words]:
    """Dilate edges to each width, each time from the previous one."""
    bands = []
    reached, band = 1, edges
    for wanted in band_widths:
        band = dilate_words(band, wanted, width, reached)
        bands.append(band)
        reached = wanted
    return bands


def find_steps(labels: Labels) -> Steps:
    """Compare every pixel with the one to the right and the one below."""
    height, width = labels.shape
    across = np.zeros((height, -(-width // _WORD)), "<u8")
    down = np.zeros((height - 1, across.shape[1]), "<u8")
    for top in range(0, height, _BLOCK):  # so few rows stay in the cache
        rows = labels[top : top + _BLOCK + 1]
        _pack_into(across[top : top + _BLOCK], rows[:_BLOCK, 1:] != rows[:_BLOCK, :-1])
        _pack_into(down[top : top + _BLOCK], rows[1:] != rows[:-1])
    return Steps(across, down)


def edge_words(labels: Labels, steps: Steps, protocol: str, ignore_index: int | None) -> Words:
    """Find the edges of a label map `[H, W]`: see `dealias.metrics.functional.label_edges`."""
    values = labels.astype(np.uint8, copy=False)
    if protocol == "paper" and labels.dtype != np.uint8:
        steps = find_steps(values)
    across, down = steps
    if protocol == "exact" and ignore_index is not None:
        known = np.zeros_like(across)
        _pack_into(known, labels != ignore_index)
        across = across & known & _towards_start(known, 1)
        down = down & known[:-1] & known[1:]
    before = _towards_end(across, 1)
    beside = across | before
    above_or_below = np.zeros_like(across)
    above_or_below[:-1] = down
    above_or_below[1:] |= down
    edges = beside | above_or_below
    if protocol == "paper":
        # Labels can cancel only where at least two neighbours differ.
        candidates = (across & before) | (beside & above_or_below)
        candidates[1:-1] |= down[1:] & down[:-1]
        _clear_cancelled(edges, candidates, values)
    return edges


def dilate_words(words: Words, band_width: int, width: int, reached: int = 1) -> Words:
    """Dilate by a square with a side of `band_width` pixels, in an image of `width` pixels.

    `words` may already be dilated by a square with a side of `reached` pixels.
    """
    radius, reach = band_width // 2, reached // 2
    steps: list[int] = []
    while reach < radius:
        # A longer step would leave a gap next to pixels that were cut off at the image border.
        steps.append(min(reach + 1, radius - reach))
        reach += steps[-1]
    for step in steps:
        grown = words | _towards_end(words, step)
        grown |= _towards_start(words, step)
        words = grown
    for step in steps:
        grown = words.copy()
        grown[step:] |= words[:-step]
        grown[:-step] |= words[step:]
        words = grown
    words[:, -1] &= _last_word_mask(width)
    return words


def count_pixels(words: Words) -> int:
    """Count the set pixels."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _count_runs(
    preds: Labels,
    target: Labels,
    preds_bands: Sequence[Words],
    target_bands: Sequence[Words],
    changes: Words,
) -> Cells:
    """Count the runs that end at the pixels of `changes` and at the end of each row.

    The region of a run is (number of predicted bands it is in) * (number of bands + 1) + (number of
    target bands it is in).
    """
    width = target.shape[1]
    changes[:, -1] &= _last_word_mask(width)
    changes[:, -1] |= np.uint64(1 << (width - 1) % _WORD)
    last = _set_pixels(changes)
    in_preds, in_target = (_number_at(bands, last) for bands in (preds_bands, target_bands))
    region = in_preds * np.uint32(len(preds_bands) + 1) + in_target
    last = _without_padding(last, changes.shape[1] * _WORD, width)
    cells = Cells(
        region,
        target.reshape(-1).take(last),
        preds.reshape(-1).take(last),
        np.diff(last, prepend=-1),
    )
    return _merge_alike(cells) if target.dtype == preds.dtype == np.uint8 else cells


def _merge_alike(cells: Cells) -> Cells:
    """Merge equal cells: an image with 8-bit labels has a few hundred different ones."""
    target = cells.target + np.uint8(1)  # void 255 wraps to 0, which keeps the table small
    sizes = int(target.max()) + 1, int(cells.preds.max()) + 1
    key = cells.region.astype(np.intp)
    for labels, size in zip((target, cells.preds), sizes, strict=True):
        key *= size
        key += labels
    pixels = np.bincount(key, weights=cells.pixels)  # exact below 2**53
    key = np.flatnonzero(pixels)
    rest, preds = np.divmod(key, sizes[1])
    region, target = np.divmod(rest, sizes[0])
    return Cells(region, (target - 1) % 256, preds, pixels[key].astype(np.int64))


def _clear_cancelled(edges: Words, candidates: Words, labels: NDArray[np.uint8]) -> None:
    """Clear the candidates whose neighbours' labels cancel out in the Laplacian."""
    height, width = labels.shape
    inner = candidates.copy()
    inner[0] = inner[-1] = 0
    inner[:, 0] &= ~np.uint64(1)
    inner[:, -1] &= _last_word_mask(width) >> np.uint64(1)
    row_length = edges.shape[1] * _WORD
    values = labels.reshape(-1)
    for part, on_border in ((inner, False), (candidates ^ inner, True)):
        position = _set_pixels(part)
        at = _without_padding(position, row_length, width)
        laplacian = values.take(at).astype(np.int16) * -4
        for size, stride in ((width, 1), (height, width)):
            before: Any = -stride
            after: Any = stride
            if on_border:  # mirrored; on an axis of length 1, a pixel is its own neighbour
                index = at // stride % size
                before = np.where(index == 0, min(size - 1, 1) * stride, -stride)
                after = np.where(index == size - 1, -min(size - 1, 1) * stride, stride)
            laplacian += values.take(at + before)
            laplacian += values.take(at + after)
        cancelled = position[laplacian == 0]
        bit = np.uint64(1) << (cancelled % _WORD).astype(np.uint64)
        np.bitwise_and.at(edges.reshape(-1), cancelled // _WORD, ~bit)


def _pack_into(words: Words, mask: NDArray[np.bool_]) -> None:
    """Pack the rows of a mask into words that are zero."""
    packed = np.packbits(mask, axis=1, bitorder="little")
    words.view(np.uint8)[:, : packed.shape[1]] = packed


def _set_pixels(words: Words) -> NDArray[np.int64]:
    """Return the positions of the set bits in ascending order, row by row, including padding."""
    packed = words.reshape(-1).view(np.uint8)
    filled = np.flatnonzero(packed != 0)
    bits = np.flatnonzero(np.unpackbits(packed[filled], bitorder="little").view(np.bool_))
    position = filled.take(bits >> 3)
    position <<= 3
    bits &= 7
    position += bits
    return position


def _without_padding(position: NDArray[np.int64], row_length: int, width: int) -> NDArray[np.int64]:
    """Convert positions in rows padded to `row_length` to positions in rows of `width` pixels."""
    if row_length == width:
        return position
    return position - position // row_length * (row_length - width)


def _number_at(bands: Sequence[Words], position: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Count the bands that contain each position of `_set_pixels`."""
    byte, bit = position >> 3, (position & 7).astype(np.uint8)
    number = np.zeros(len(position), np.uint32)
    for band in bands:
        number += band.reshape(-1).view(np.uint8).take(byte) >> bit & np.uint8(1)
    return number


def _towards_end(words: Words, pixels: int) -> Words:
    """Shift the pixels of each row to the right; those beyond the last word are dropped."""
    whole, part = divmod(pixels, _WORD)
    if whole:
        kept = words[:, : max(0, words.shape[1] - whole)]
        words = np.zeros_like(words)
        words[:, whole:] = kept
    if not part:
        return words
    moved: Words = words << np.uint64(part)
    moved[:, 1:] |= words[:, :-1] >> np.uint64(_WORD - part)
    return moved


def _towards_start(words: Words, pixels: int) -> Words:
    """Shift the pixels of each row to the left; those beyond the first word are dropped."""
    whole, part = divmod(pixels, _WORD)
    if whole:
        kept = words[:, whole:]
        words = np.zeros_like(words)
        words[:, : kept.shape[1]] = kept
    if not part:
        return words
    moved: Words = words >> np.uint64(part)
    moved[:, :-1] |= words[:, 1:] << np.uint64(_WORD - part)
    return moved


def _last_word_mask(width: int) -> np.uint64:
    """Return the mask of the bits in the last word of a row that are pixels."""
    mask: np.uint64 = np.uint64((1 << ((width - 1) % _WORD + 1)) - 1)
    return mask
