"""Sections that several pages have: errors against aliasing, and downsampling steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dealias.evaluation import ERROR_COLORS
from dealias.report.aliasing import GROUP_TITLES, GROUPS, histogram
from dealias.report.rendering import DASH, css

_COLUMNS = 60
_LEAST = 1e-99  # smallest power that is drawn
_RIGHT_COLORS = {"right_boundary": "#8a93a0", "right_interior": "#8a93a0"}
GROUP_COLORS = {kind: css(color) for kind, color in ERROR_COLORS.items()} | _RIGHT_COLORS
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 292.0, 12.0, 148.0  # frame of a spectrum


def distributions(found: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out histograms of the aliasing score, in drawings 100 wide and 40 high.

    Args:
        found: from :meth:`AliasingErrors.to_dict`.

    Returns:
        `found` with the ``path`` of the histogram and the position of the ``median`` of each group,
        in order, and the ``ticks`` of the axis, which shows the square root of the score.
    """
    reach = _round_up(math.sqrt(found["edges"][-1]))
    columns = np.linspace(0, reach, _COLUMNS + 1)
    groups = []
    for name in GROUPS:
        group = found["groups"][name]
        quantiles = group["quantiles"]
        groups.append(
            {"rank_correlation": None, "higher_share": None}
            | group
            | {
                "title": GROUP_TITLES[name],
                "color": GROUP_COLORS[name],
                "path": _steps(histogram(found, name, columns)),
                "median": quantiles and round(100 * math.sqrt(quantiles["50"]) / reach, 2),
            }
        )
    ticks = [
        {"place": round(100 * part, 2), "label": f"{(part * reach) ** 2:.2g}"}
        for part in (0, 0.25, 0.5, 0.75, 1)
    ]
    return dict(found) | {"groups": groups, "ticks": ticks}


def _round_up(root: float) -> float:
    """Round up to a multiple of 1/20, at most 1."""
    return min(1.0, max(1, math.ceil(20 * root)) / 20)


def _steps(heights: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    width = 100 / len(heights)
    path = [f"H{index * width:.2f}V{40 - 38 * height:.2f}" for index, height in enumerate(heights)]
    return f"M0 40{''.join(path)}H100V40z"


def spectrum(site: Mapping[str, Any], cutoff: float) -> dict[str, Any] | None:
    """Lay out the radial spectrum of a site, in a drawing 300 wide and 170 high.

    Args:
        site: site that may have a ``spectrum``: shares of power in rings from 0 to 0.5 cycles per
            pixel.
        cutoff: frequency above which power aliases.

    Returns:
        Paths and ticks, with power on a logarithmic axis; None without a spectrum.
    """
    rings = site.get("spectrum")
    powers = [float(power) for power in rings] if isinstance(rings, list) else []
    known = [
        ((i + 0.5) / (2 * len(powers)), power) for i, power in enumerate(powers) if power > _LEAST
    ]
    if len(known) < 2:
        return None
    low = math.floor(math.log10(min(power for _, power in known)))
    high = max(math.ceil(math.log10(max(power for _, power in known))), low + 1)

    def place(frequency: float, power: float) -> tuple[float, float]:
        across = _LEFT + (_RIGHT - _LEFT) * frequency / 0.5
        down = _BOTTOM - (_BOTTOM - _TOP) * (math.log10(power) - low) / (high - low)
        return across, down

    points = [place(*point) for point in known]
    edge = place(min(cutoff, 0.5), 1.0)[0]
    beyond = _from(points, edge)
    step = max(1, (high - low) // 4)
    return {
        "line": _path(points),
        "beyond": f"{_path(beyond)}L{beyond[-1][0]:.1f} {_BOTTOM}L{beyond[0][0]:.1f} {_BOTTOM}z"
        if len(beyond) > 1
        else "",
        "cutoff": f"{edge:.1f}",
        "powers": [
            {"place": round(place(0, 10.0**power)[1], 1), "label": _power(power)}
            for power in range(low, high + 1, step)
        ],
        "frequencies": [
            {"place": round(place(f, 1.0)[0], 1), "label": f"{f:g}"}
            for f in (0, 0.1, 0.2, 0.3, 0.4, 0.5)
        ],
    }


def _power(exponent: int) -> str:
    return "1" if exponent == 0 else f"1e{exponent}"


def _from(points: Sequence[tuple[float, float]], edge: float) -> list[tuple[float, float]]:
    """Return the part of a line to the right of an edge, starting on the edge."""
    right = [point for point in points if point[0] >= edge]
    left = [point for point in points if point[0] < edge]
    if left and right:
        (x0, y0), (x1, y1) = left[-1], right[0]
        right.insert(0, (edge, y0 + (y1 - y0) * (edge - x0) / (x1 - x0)))
    return right


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def probe_section(probe: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the result of `dealias probe` to values for the template.

    Args:
        probe: from :func:`read_probe`; its spectra are drawn if there are any.
    """
    sites, spectra = [], []
    for site in probe["sites"]:
        sites.append(
            {
                "name": site["name"],
                "kernel": _by(site.get("kernel")),
                "stride": _by(site.get("stride")),
                "in_channels": site["in_channels"],
                "out_channels": site["out_channels"],
                "esr": _rate(site.get("esr")),
                "esr_value": _least(site.get("esr")),
                "nyquist": _rate(site.get("nyquist")),
                "nyquist_value": _least(site.get("nyquist")),
                "score": site["aliasing_score"],
                "spread": site["aliasing_score_std"],
                "orthogonality": site["orthogonality"],
            }
        )
        drawn = spectrum(site, _least(site["cutoff"]))
        if drawn is not None:
            about = {"name": site["name"], "score": site["aliasing_score"]}
            spectra.append(drawn | about | {"nyquist": _rate(site["cutoff"])})
    settings = probe["settings"]
    return {
        "sites": sites,
        "spectra": spectra,
        "images": settings["images"],
        "model": settings.get("model"),
    }


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def _least(value: Any) -> float:
    return min(_numbers(value), default=0.5)


def _rate(value: Any) -> str:
    """Format one number, or one each for rows and columns."""
    texts = [f"{v:.3f}" for v in _numbers(value)]
    return " x ".join(dict.fromkeys(texts)) or DASH


def _by(value: Any) -> str:
    texts = [f"{v:g}" for v in _numbers(value)]
    return " x ".join(texts[:1] if len(set(texts)) == 1 else texts) or DASH
