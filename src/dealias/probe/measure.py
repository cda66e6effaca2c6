"""Measure aliasing scores at each downsampling step of a network, on images."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dealias.files import defined
from dealias.layers import BlurFilter
from dealias.probe.inputs import read_image
from dealias.probe.maps import watch_maps
from dealias.probe.networks import LoadedNetwork
from dealias.processes import Progress, open_progress
from dealias.spectral import aliasing_score, check_cutoff, filter_orthogonality, radial_spectrum
from dealias.surgery import Plan, Rate, Site, find_downsampling, submodule
from dealias.text import printable


@dataclass(frozen=True)
class SiteResult:
    """The measurements at a downsampling step.

    Attributes:
        site: the step.
        cutoff: cutoff in cycles per pixel; power above it counts as aliasing.
        scores: for each image, the aliasing score of the map that enters; empty if no module takes
            this map.
        orthogonality: orthogonality of the filters of the step; None if it has no filters.
        spectrum: share of power in rings around frequency zero, averaged over images; see
            :func:`dealias.spectral.radial_spectrum`. Empty unless requested.
    """

    site: Site
    cutoff: Rate
    scores: tuple[float, ...]
    orthogonality: float | None
    spectrum: tuple[float, ...] = ()

    @property
    def score(self) -> float | None:
        """Mean score over images."""
        return statistics.fmean(self.scores) if self.scores else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the score over images; 0 for one image."""
        return statistics.pstdev(self.scores) if self.scores else None

    def to_dict(self) -> dict[str, Any]:
        """The entry of the JSON file."""
        keys = ("name", "kind", "kernel", "stride", "in_channels", "out_channels", "esr", "nyquist")
        return {key: getattr(self.site, key) for key in keys} | {
            "cutoff": self.cutoff,
            "aliasing_score": defined(self.score),
            "aliasing_score_std": defined(self.spread),
            "orthogonality": defined(self.orthogonality),
            "spectrum": [float(share) for share in self.spectrum],
        }


@dataclass
class _Record:
    cutoff: Rate
    blur: nn.Module | None
    bins: int
    scores: list[float] = field(default_factory=list)
    spectrum: list[Tensor] = field(default_factory=list)

    def add(self, x: Tensor) -> None:
        x = x.detach().float()
        x = x if self.blur is None else self.blur(x)
        self.scores.append(float(aliasing_score(x, self.cutoff).mean()))
        if self.bins:
            power = radial_spectrum(x, bins=self.bins).power.sum((0, 1))
            self.spectrum.append(power / power.sum().clamp_min(1e-30))


@torch.no_grad()
def measure_aliasing(
    network: LoadedNetwork,
    paths: Sequence[Path],
    *,
    cutoff: float | str = "auto",
    noise: float = 0.0,
    blur: int | None = None,
    bins: int = 0,
    progress: Progress | None = None,
) -> tuple[Plan[Site], list[SiteResult]]:
    """Run a network on images, and score the maps that enter its downsampling steps.

    Args:
        network: from :func:`load_network`.
        paths: image files.
        cutoff: ``"auto"`` for the Nyquist frequency of each step, or one cutoff for all steps.
        noise: standard deviation of Gaussian noise added to the images, on a scale of 0 to 255.
        blur: size of a binomial kernel, 2 to 7, that blurs each map before it is scored, as if only
            this step had a blur before it.
        bins: number of rings in the spectra, at most a quarter of the pixels along a side; 0 for no
            spectra.
        progress: called with the number of images; returns a context manager that yields a function
            to call after each image.

    Returns:
        The plan of the network, made with the first image, and a result for each of its sites, or
        for each use of a shared module. Calls that do not occur on the first image are not scored.

    Raises:
        ValueError: there are no paths, an image can't be used, the network fails or has no
            downsampling step, or an argument is out of range.
    """
    if not paths:
        raise ValueError("paths: expected at least one image")
    if noise < 0:
        raise ValueError(f"noise: expected 0 or more, got {noise}")
    model = network.model
    plan = find_downsampling(model, network.arguments(read_image(paths[0])), place="before")
    if not plan:
        raise ValueError("the network has no downsampling step to probe")
    uses = [use for site in plan for use in site.uses]
    records = {
        site.name: _Record(
            _cutoff(cutoff, site),
            None if blur is None else BlurFilter(site.in_channels, blur),
            # Use wider rings for small maps, so that every ring holds a frequency.
            min(bins, max(1, min(site.input_size) // 4)),
        )
        for site in uses
    }
    with open_progress(progress, len(paths)) as advance:
        for i, path in enumerate(paths):
            image = read_image(path, noise=noise, seed=i)
            with watch_maps(model, plan, lambda name, x: records[name].add(x)):
                _run(network, image, path)
            advance()
    results = [
        SiteResult(
            site,
            records[site.name].cutoff,
            tuple(records[site.name].scores),
            _orthogonality(model, site),
            _mean(records[site.name].spectrum),
        )
        for site in uses
    ]
    return plan, results


def capture_maps(
    network: LoadedNetwork, plan: Plan[Site], image: Tensor, *, blur: int | None = None
) -> dict[str, Tensor]:
    """Return the maps [1, C, H, W] that enter the sites of a plan, for one image [3, H, W].

    The keys are the names of the sites, or of each use of a shared module; `blur` is that of
    :func:`measure_aliasing`.
    """
    maps: dict[str, Tensor] = {}

    def keep(name: str, x: Tensor) -> None:
        x = x.detach().float()
        maps[name] = x if blur is None else BlurFilter(x.shape[1], blur)(x)

    with torch.no_grad(), watch_maps(network.model, plan, keep):
        _run(network, image, Path("the image"))
    return maps


def _run(network: LoadedNetwork, image: Tensor, path: Path) -> None:
    try:
        network.model(network.arguments(image))
    except Exception as error:  # networks may raise anything
        size = "x".join(map(str, image.shape[1:]))
        raise ValueError(
            f"{printable(path)}: the network fails on {size} pixels: "
            f"{type(error).__name__}: {error}"
        ) from error


def _cutoff(cutoff: float | str, site: Site) -> Rate:
    if cutoff == "auto":
        return site.nyquist
    if isinstance(cutoff, str):
        raise ValueError(f"cutoff: expected 'auto' or a number in (0, 0.5], got {cutoff!r}")
    return check_cutoff("cutoff", cutoff)


def _orthogonality(model: nn.Module, site: Site) -> float | None:
    step = submodule(model, site.step)
    weight = getattr(step, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 4 or len(weight) < 2:
        return None
    return float(filter_orthogonality(weight.detach(), groups=getattr(step, "groups", 1)))


def _mean(spectra: Sequence[Tensor]) -> tuple[float, ...]:
    return tuple(torch.stack(list(spectra)).mean(0).tolist()) if spectra else ()
