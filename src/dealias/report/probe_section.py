"""The section of a page on the network's downsampling steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dealias.report.charts import spectrum
from dealias.report.rendering import DASH


def probe_section(probe: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the result of `dealias probe` into what the template shows.

    Args:
        probe: from :func:`read_probe`; spectra are drawn where there are any.
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
    """One number, or one for rows and one for columns."""
    texts = [f"{v:.3f}" for v in _numbers(value)]
    return " x ".join(dict.fromkeys(texts)) or DASH


def _by(value: Any) -> str:
    texts = [f"{v:g}" for v in _numbers(value)]
    return " x ".join(texts[:1] if len(set(texts)) == 1 else texts) or DASH
