"""Where in an image a tested network aliases first."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from dealias.probe import first_filtered, map_entering, pixel_scores
from dealias.surgery import Rate, Site, find_downsampling, report_of, restore


class FirstAliasing:
    """The aliasing score of each pixel at the first filtered downsampling step.

    In a network without filters, this is the first step that ``dealias.dealias(place="before")``
    would filter. Its scores may therefore belong to another step than those of the same network
    with filters after its activations. The scored map is the one that enters the step, before any
    filter.

    Args:
        network: any network; it is not changed.
        example: input of the network, [B, C, H, W]; only its size matters.

    Attributes:
        site: the downsampling step; None if no step needs a filter.
        cutoff: cutoff of its filter, or its Nyquist frequency if it has none; None without a site.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.network = network
        report = report_of(network)
        plain = network if report is None else restore(copy.deepcopy(network))
        filters = (
            {}
            if report is None
            else {item.site: item.cutoff for item in report.inserted if item.is_filter}
        )
        unit = "step" if report is None else report.unit
        plan = find_downsampling(plain, torch.zeros_like(example[:1]), place="before", unit=unit)
        self.site: Site | None = first_filtered(plan, report if filters else None)
        self.cutoff: Rate | None = None
        if self.site is not None:
            self.cutoff = filters.get(self.site.name) or self.site.nyquist

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor | None:
        """Score images.

        Args:
            images: input of the network, [B, C, H, W].

        Returns:
            float32 [B, H, W] in [0, 1], see :func:`dealias.probe.pixel_scores`; None without a
            site.
        """
        if self.site is None or self.cutoff is None:
            return None
        features = map_entering(self.network, self.site, images)
        height, width = images.shape[-2:]
        return None if features is None else pixel_scores(features, self.cutoff, (height, width))
