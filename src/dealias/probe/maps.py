"""Where a network aliases first, and the score of each pixel there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dealias.files import write_whole
from dealias.spectral import aliasing_map
from dealias.surgery import Rate, Report, Site, submodule

_WINDOW = 7  # of the map; narrow, for the map is coarse
_NONE = 65535  # where there is no score


def first_filtered(sites: Iterable[Site], report: Report | None = None) -> Site | None:
    """The first site that is filtered; None without one.

    Args:
        sites: of the network without filters, in the order they run.
        report: on what :func:`dealias.dealias` put in; without it, a site is taken for filtered if
            :func:`dealias.dealias` filters it by default.
    """
    put_in = () if report is None else report.inserted
    filtered = {item.site for item in put_in if item.kind != "mixing"}
    for site in sites:
        chosen = not site.reason if report is None else site.name in filtered
        if chosen and site.place is not None:
            return site
    return None


def map_entering(model: nn.Module, site: Site, images: Tensor) -> Tensor | None:
    """The map (B, C, H, W) that enters a site, before any filter; the rest does not run.

    Args:
        model: any network.
        site: of the network without filters.
        images: input of the network.

    Returns:
        The map at the first call of the site's module; None if that takes none or is not called.
    """
    place = site.place
    if place is None:
        return None

    def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _SeenError(place.take(args, kwargs))

    host = submodule(model, site.name)
    handle = nn.Module.register_forward_pre_hook(host, look, with_kwargs=True, prepend=True)
    try:
        model(images)
    except _SeenError as seen:
        return seen.features
    finally:
        handle.remove()
    return None


class _SeenError(Exception):
    def __init__(self, features: Tensor) -> None:
        self.features = features


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
