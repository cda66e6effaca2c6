"""Edges of label maps and the bands around them, on any device."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

Protocol = Literal["paper", "exact"]
WIDEST_BAND = 65_535  # pixels


def check_protocol(protocol: str) -> None:
    """Raise ValueError unless `protocol` is "paper" or "exact"."""
    if protocol not in get_args(Protocol):
        raise ValueError(f"protocol: expected 'paper' or 'exact', got {protocol!r}")


def check_band_width(band_width: int) -> None:
    """Raise ValueError unless `band_width` is an odd number of pixels in 1 .. `WIDEST_BAND`."""
    if type(band_width) is not int or band_width < 1 or band_width % 2 == 0:
        raise ValueError(f"band_width: expected an odd positive integer, got {band_width!r}")
    if band_width > WIDEST_BAND:
        raise ValueError(f"band_width: expected at most {WIDEST_BAND:,} pixels, got {band_width:,}")


def check_tensor(argument: str, value: Any) -> None:
    """Raise ValueError unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{argument}: expected a tensor, got {type(value).__name__}; torch.as_tensor makes one "
            f"from an array"
        )


def label_edges(
    labels: Tensor, *, protocol: Protocol = "paper", ignore_index: int | None = None
) -> Tensor:
    """Mark the pixels of a label map that lie on an edge.

    Args:
        labels: label maps, integers `[H, W]` or `[B, H, W]`.
        protocol: "paper" marks a pixel where the 4-neighbour Laplacian of the labels, read as uint8
            and mirrored at the borders without repeating the border pixel, is not zero. Labels that
            cancel out (left c - d, right c + d) hide the edge, and borders with void are edges.
            "exact" marks a pixel if any 4-neighbour has another label.
        ignore_index: the void label. Under "exact" its borders are not edges; under "paper" it is
            not used.

    Returns:
        Bool tensor of the shape of `labels`.

    Raises:
        ValueError: `labels` is not a tensor, or the protocol is unknown.

    "paper" is the edge map of Chen, Gu and Fu, "When Semantic Segmentation Meets Frequency
    Aliasing" (ICLR 2024), as computed in their evaluation.

    >>> row = torch.tensor([[4, 4, 5, 6, 6]])
    >>> label_edges(row, protocol="paper").int().tolist()  # 5 is the mean of 4 and 6: hidden
    [[0, 1, 0, 1, 0]]
    >>> label_edges(row, protocol="exact").int().tolist()
    [[0, 1, 1, 1, 0]]
    """
    check_protocol(protocol)
    check_tensor("labels", labels)
    if protocol == "paper":
        values = labels.to(torch.uint8).to(torch.int16)
        return _neighbour_sum(values, -1) + _neighbour_sum(values, -2) != 4 * values
    edges = torch.zeros_like(labels, dtype=torch.bool)
    is_void = edges.clone() if ignore_index is None else labels.long() == ignore_index
    for dim in (-1, -2):
        here, there = _neighbours(labels, dim)
        void_here, void_there = _neighbours(is_void, dim)
        differs = (here != there) & ~(void_here | void_there)
        edges_here, edges_there = _neighbours(edges, dim)
        edges_here |= differs
        edges_there |= differs
    return edges


def dilate(mask: Tensor, width: int) -> Tensor:
    """Dilate a bool mask `[..., H, W]` by a square with an odd side of `width` pixels.

    Pixels outside the image count as not set.

    >>> dilate(torch.tensor([[False, False, False, True]]), 3).int().tolist()
    [[0, 0, 1, 1]]
    """
    check_band_width(width)
    check_tensor("mask", mask)
    radius = width // 2
    return _spread(_spread(mask, -1, radius, radius), -2, radius, radius)


def inner_boundary(labels: Tensor, distance: int) -> Tensor:
    """Mark the pixels within `distance` of another label or of the image border.

    This is the mask minus the mask eroded `distance` times by a 3x3 square, with the image
    zero-padded, for all classes at once. A pixel survives the erosion if the square of side 2
    distance + 1 around it lies inside the image and has one label only, that is, if no two
    neighbours inside the square differ.

    Args:
        labels: label maps, integers `[..., H, W]`.
        distance: chessboard distance in pixels, at least 1.

    Returns:
        Bool tensor of the shape of `labels`.
    """
    check_tensor("labels", labels)
    boundary = torch.zeros_like(labels, dtype=torch.bool)
    for dim, other in ((-1, -2), (-2, -1)):
        here, there = _neighbours(labels, dim)
        step = torch.zeros_like(boundary)
        _neighbours(step, dim)[0].copy_(here != there)  # set the first pixel of the pair
        reach = _spread(step, dim, distance - 1, distance)
        boundary |= _spread(reach, other, distance, distance)
        size = labels.shape[dim]
        boundary.narrow(dim, 0, min(distance, size)).fill_(True)
        boundary.narrow(dim, max(0, size - distance), min(distance, size)).fill_(True)
    return boundary


def _neighbours(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return views of all pixels that have a successor along `dim`, and of the successors."""
    pairs = x.shape[dim] - 1
    return x.narrow(dim, 0, pairs), x.narrow(dim, 1, pairs)


def _neighbour_sum(x: Tensor, dim: int) -> Tensor:
    """Sum of the two neighbours along `dim`, mirrored without repeating the border pixel."""
    size = x.shape[dim]
    if size == 1:
        return 2 * x
    before = torch.cat([x.narrow(dim, 1, 1), x.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 2, 1)], dim)
    return before + after


def _spread(mask: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Extend each set pixel by `before` pixels to the start of `dim` and `after` to its end."""
    size = mask.shape[dim]
    shape = list(mask.shape)
    shape[dim] = size + before + after
    padded = mask.new_zeros(shape)
    padded.narrow(dim, after, size).copy_(mask)
    covered, width = 1, before + after + 1
    while covered < width:  # padded[i] covers `covered` pixels, from i on
        step = min(covered, width - covered)
        length = padded.shape[dim] - step
        padded = padded.narrow(dim, 0, length) | padded.narrow(dim, step, length)
        covered += step
    return padded
