"""The aliasing score of each pixel, as pictures that keep its value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from dealias.files import write_whole
from dealias.probe.measure import SiteResult
from dealias.spectral import aliasing_map
from dealias.surgery import Rate, Report

_WINDOW = 7  # of the map; narrow, for the map is coarse
_NONE = 65535  # where there is no score


def first_filtered(
    results: Sequence[SiteResult], report: Report | None = None
) -> SiteResult | None:
    """The first site that is filtered; None without one.

    Args:
        results: of the sites, in the order they run.
        report: on the filters that :func:`dealias.dealias` put in; without it a site is taken
            for filtered if its cutoff is below 0.5.
    """
    filtered = None if report is None else {item.site for item in report.inserted}
    for result in results:
        cutoffs = result.cutoff if isinstance(result.cutoff, tuple) else (result.cutoff,)
        chosen = min(cutoffs) < 0.5 if filtered is None else result.site.name in filtered
        if result.scores and chosen:
            return result
    return None


def pixel_scores(features: Tensor, cutoff: Rate, size: tuple[int, int]) -> Tensor:
    """The aliasing score of each pixel of the images that features are of.

    Args:
        features: [N, C, h, w], a map that enters a downsampling step.
        cutoff: of the step, in cycles per pixel of the map.
        size: (H, W) of the images.

    Returns:
        [N, H, W], in [0, 1], each score of the map at all pixels that it covers.

    Raises:
        ValueError: as :func:`dealias.spectral.aliasing_map`.
    """
    found = aliasing_map(features, cutoff, window=_WINDOW)
    return interpolate(found[:, None], size, mode="nearest")[:, 0]


def write_scores(path: Path, scores: NDArray[np.floating], size: tuple[int, int]) -> None:
    """Write scores as a picture in 16-bit gray, 65534 for 1 and 65535 where there is none.

    Args:
        path: of the PNG file; folders above it are made.
        scores: (h, w) in [0, 1], of the middle of the image.
        size: (H, W) of the image.

    Raises:
        OutputError: it can't be written.
    """
    picture = np.full(size, _NONE, np.uint16)
    top, left = ((whole - part) // 2 for whole, part in zip(size, scores.shape, strict=True))
    middle = picture[top : top + scores.shape[0], left : left + scores.shape[1]]
    known = np.isfinite(scores)
    middle[known] = np.rint(scores[known] * (_NONE - 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as file:
        Image.fromarray(picture).save(file, "png")
