"""Where in an image a network aliases first."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from dealias.probe import first_filtered, map_entering, pixel_scores
from dealias.surgery import Rate, Site, find_downsampling, report_of, restore


class FirstAliasing:
    """The aliasing score of each pixel at the first step that is filtered.

    Of a network without filters that is the first step that :func:`dealias.dealias` would filter;
    in either case the map is looked at before any filter.

    Args:
        network: it is left as it is.
        example: input of the network (B, C, H, W); only its size matters.

    Attributes:
        site: the downsampling step; None if the network has none that needs a filter.
        cutoff: of its filter, else its Nyquist frequency; None without a site.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.network = network
        report = report_of(network)
        plain = network if report is None else restore(copy.deepcopy(network))
        filters = (
            {}
            if report is None
            else {item.site: item.cutoff for item in report.inserted if item.kind != "mixing"}
        )
        plan = find_downsampling(plain, torch.zeros_like(example[:1]))
        self.site: Site | None = first_filtered(plan, report if filters else None)
        self.cutoff: Rate | None = None
        if self.site is not None:
            self.cutoff = filters.get(self.site.name) or self.site.nyquist

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor | None:
        """Scores of each image.

        Args:
            images: input of the network (B, C, H, W).

        Returns:
            float32 (B, H, W) in [0, 1], see :func:`dealias.probe.pixel_scores`; None if there is
            no site.
        """
        if self.site is None or self.cutoff is None:
            return None
        features = map_entering(self.network, self.site, images)
        height, width = images.shape[-2:]
        return None if features is None else pixel_scores(features, self.cutoff, (height, width))
