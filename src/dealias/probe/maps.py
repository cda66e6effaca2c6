"""Get the maps that enter downsampling sites, and the aliasing score of each pixel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dealias.files import make_parents, write_whole
from dealias.spectral import aliasing_map
from dealias.surgery import Place, Rate, Report, Site, submodule

_WINDOW = 7  # pixels of the map, which is coarse
_NONE = 65535  # no score


def first_filtered(sites: Iterable[Site], report: Report | None = None) -> Site | None:
    """Return the first filtered site; None if there is none.

    Args:
        sites: sites of the network without filters, in the order in which they run.
        report: report of :func:`dealias.dealias`; without it, the sites that it filters by default
            count as filtered.
    """
    put_in = () if report is None else report.inserted
    filtered = {item.site for item in put_in if item.is_filter}
    for site in sites:
        chosen = not site.reason if report is None else site.name in filtered
        if chosen and site.place is not None:
            return site
    return None


@contextlib.contextmanager
def watch_maps(
    model: nn.Module,
    sites: Iterable[Site],
    record: Callable[[str, Tensor], None],
    *,
    before_filters: bool = False,
) -> Iterator[None]:
    """Watch the maps that enter sites, in one forward pass.

    Args:
        model: any network.
        sites: sites of the network; sites without a place are ignored.
        record: called with the name of each use of a site and its map [B, C, H, W].
        before_filters: whether to watch the maps before any filter of the network.
    """

    def hook(place: Place, site: Site) -> Callable[..., None]:
        numbers = count()
        uses = {use.call: use.name for use in site.uses}

        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            name = uses.get(next(numbers))
            if name is not None:
                record(name, place.take(args, kwargs))

        return look

    with contextlib.ExitStack() as stack:
        for site in sites:
            if site.place is not None:
                handle = nn.Module.register_forward_pre_hook(
                    submodule(model, site.name),
                    hook(site.place, site),
                    with_kwargs=True,
                    prepend=before_filters,
                )
                stack.callback(handle.remove)
        yield


def map_entering(model: nn.Module, site: Site, images: Tensor) -> Tensor | None:
    """Return the map [B, C, H, W] that enters a site, before any filter, and stop the pass there.

    Args:
        model: any network.
        site: the site, in the network without filters.
        images: input of the network.

    Returns:
        The map; None if the site has no place or its module is not called.
    """

    def stop(_: str, x: Tensor) -> None:
        raise _SeenError(x)

    try:
        with watch_maps(model, [site], stop, before_filters=True):
            model(images)
    except _SeenError as seen:
        return seen.features
    return None


class _SeenError(Exception):
    def __init__(self, features: Tensor) -> None:
        self.features = features


def pixel_scores(features: Tensor, cutoff: Rate, size: tuple[int, int]) -> Tensor:
    """Return the aliasing score of each pixel of the images that a feature map was made from.

    Args:
        features: [B, C, h, w], the map that enters a downsampling step.
        cutoff: cutoff of the step, in cycles per pixel of the map.
        size: (H, W) of the images.

    Returns:
        [B, H, W] in [0, 1]; all pixels that a position of the map covers have the same score.

    Raises:
        ValueError: see :func:`dealias.spectral.aliasing_map`.
    """
    found = aliasing_map(features, cutoff, window=_WINDOW)
    return interpolate(found[:, None], size, mode="nearest")[:, 0]


def write_scores(path: Path, scores: NDArray[np.floating], size: tuple[int, int]) -> None:
    """Write scores as a 16-bit grayscale PNG: 65534 is a score of 1, 65535 means no score.

    Args:
        path: path of the file; its folder is made if necessary.
        scores: scores [h, w] in [0, 1], for the centre of the image.
        size: (H, W) of the image.

    Raises:
        OutputError: the file can't be written.
    """
    picture = np.full(size, _NONE, np.uint16)
    top, left = ((whole - part) // 2 for whole, part in zip(size, scores.shape, strict=True))
    middle = picture[top : top + scores.shape[0], left : left + scores.shape[1]]
    known = np.isfinite(scores)
    middle[known] = np.rint(scores[known] * (_NONE - 1))
    make_parents(path)
    with write_whole(path) as file:
        Image.fromarray(picture).save(file, "png")
