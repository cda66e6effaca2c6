"""Where in an image a network aliases first."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from dealias.probe import pixel_scores
from dealias.surgery import FILTER, Site, find_downsampling, inserted, restore, submodule


class FirstAliasing:
    """The aliasing score of each pixel at the first step that is filtered.

    Of a plain network that is the first step that :func:`dealias.dealias` would filter; in either
    case the map is looked at before any filter.

    Args:
        network: it is left as it is.
        example: input of the network (B, C, H, W); only its size matters.

    Attributes:
        site: the downsampling step; None if the network has none that needs a filter.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.network = network
        added = [name for name in inserted(network) if name.rpartition(".")[2] == FILTER]
        plain = copy.deepcopy(network)
        if inserted(network):
            restore(plain)
        plan = find_downsampling(plain, torch.zeros_like(example[:1]))
        hosts = {name.rpartition(".")[0] for name in added}
        chosen = (site for site in plan if (site.name in hosts if hosts else not site.reason))
        self.site: Site | None = next(chosen, None)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor | None:
        """Scores of each image.

        Args:
            images: input of the network (B, C, H, W).

        Returns:
            float32 (B, H, W) in [0, 1], see :func:`dealias.probe.pixel_scores`; None if there is
            no site.
        """
        if self.site is None or self.site.place is None:
            return None
        site, place = self.site, self.site.place
        host = submodule(self.network, site.name)

        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _SeenError(place.take(args, kwargs))

        handle = nn.Module.register_forward_pre_hook(host, look, with_kwargs=True, prepend=True)
        try:
            self.network(images)
        except _SeenError as seen:  # what comes after the step is not needed
            cutoff = getattr(getattr(getattr(host, FILTER, None), "filter", None), "cutoff", None)
            height, width = images.shape[-2:]
            return pixel_scores(seen.features, cutoff or site.nyquist, (height, width))
        finally:
            handle.remove()
        return None


class _SeenError(Exception):
    def __init__(self, features: Tensor) -> None:
        self.features = features
