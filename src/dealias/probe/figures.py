"""Draw spectra, and aliasing maps over an image."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from dealias.probe.measure import SiteResult
from dealias.spectral import aliasing_map

_COLUMNS = 3


def draw_spectra(results: Sequence[SiteResult], path: Path) -> None:
    """Draw the radial spectrum of each site with its cutoff; the power above it is shaded.

    Args:
        results: results with spectra.
        path: image file; its suffix determines the format.

    Raises:
        ValueError: Matplotlib is not installed.
    """
    drawn = [result for result in results if result.spectrum]
    figure, axes = _grid(len(drawn), height=2.2)
    for axis, result in zip(axes, drawn, strict=False):
        bins = len(result.spectrum)
        # For small maps, some rings hold no frequency.
        rings = {(b + 0.5) / (2 * bins): power for b, power in enumerate(result.spectrum) if power}
        frequency, power = list(rings), list(rings.values())
        cutoff = min(result.cutoff) if isinstance(result.cutoff, tuple) else result.cutoff
        axis.semilogy(frequency, power, color="0.2", linewidth=1)
        beyond = [f >= cutoff for f in frequency]
        axis.fill_between(frequency, power, where=beyond, color="tab:red", alpha=0.4)
        axis.axvline(cutoff, color="tab:red", linewidth=1)
        axis.set_title(f"{result.site.name}: {100 * (result.score or 0):.2f} %", fontsize=8)
        axis.set_xlim(0, 0.5)
        axis.tick_params(which="both", labelsize=7)
    figure.supxlabel("frequency, cycles per pixel", fontsize=8)
    figure.supylabel("share of power", fontsize=8)
    figure.savefig(path, dpi=150)


def draw_maps(
    image: Tensor, maps: Mapping[str, Tensor], results: Sequence[SiteResult], path: Path
) -> None:
    """Draw an image, and over it the aliasing map of each site that aliases.

    Args:
        image: [3, H, W], RGB in [0, 1].
        maps: maps [1, C, h, w] by name of the site.
        results: results of the sites.
        path: image file; its suffix determines the format.

    Raises:
        ValueError: Matplotlib is not installed.
    """
    drawn = [result for result in results if result.score and result.site.name in maps]
    figure, axes = _grid(1 + len(drawn), height=3 * image.shape[1] / image.shape[2])
    pixels = image.permute(1, 2, 0).numpy()
    axes[0].imshow(pixels)
    axes[0].set_title("image", fontsize=8)
    for axis, result in zip(axes[1:], drawn, strict=False):
        found = aliasing_map(maps[result.site.name], result.cutoff, window=7)[None]
        found = interpolate(found, tuple(image.shape[1:]), mode="nearest")[0, 0]
        axis.imshow(pixels.mean(2), cmap="gray")
        shown = axis.imshow(found.numpy(), cmap="inferno", alpha=0.7, vmin=0)
        figure.colorbar(shown, ax=axis, fraction=0.03).ax.tick_params(labelsize=6)
        axis.set_title(result.site.name, fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=150)


def _grid(count: int, *, height: float) -> tuple[Any, list[Any]]:
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ValueError("figures need Matplotlib, which is not installed") from error
    rows = -(-max(count, 1) // _COLUMNS)
    figure = figures.Figure(figsize=(3 * _COLUMNS, height * rows + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes
