"""De-aliasing options whose defaults have changed, written out in full.

A study continues with runs of an earlier version only if its variants are still the same networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from dealias.models import EARLIER_BORDER, EARLIER_MIXING, EARLIER_PLACE
from dealias.surgery import FILTER_OPTIONS, dealias

_PREFIX = "model.network.dealias"
_PLACE, _MIXING, _BORDER = (f"{_PREFIX}.{n}" for n in ("place", "mixing", "filter_options.border"))
_DEFAULTS = {name: value.default for name, value in signature(dealias).parameters.items()}


def spelled_out(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by full name; missing de-aliasing options get the defaults of this version.

    >>> spelled_out({"model.network.dealias": {}})["model.network.dealias.place"]
    'auto'
    """
    border = FILTER_OPTIONS.get(_filter(options), {}).get("border")
    return _filled(options, _DEFAULTS["place"], _DEFAULTS["mixing"], border)


def spelled_out_earlier(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the earlier defaults, for records that do not contain the options.

    >>> spelled_out_earlier({"model.network.dealias": {}})["model.network.dealias.place"]
    'before'
    """
    border = EARLIER_BORDER if _filter(options) in FILTER_OPTIONS else None
    return _filled(options, EARLIER_PLACE, EARLIER_MIXING, border)


def _filter(options: Mapping[str, Any]) -> str:
    """The name of the filter; records from other people may contain anything in its place."""
    return str(options.get(f"{_PREFIX}.filter", _DEFAULTS["filter"]))


def _filled(
    options: Mapping[str, Any], place: str, mixing: bool, border: str | None
) -> dict[str, Any]:
    given = [name for name in options if name == _PREFIX or name.startswith(f"{_PREFIX}.")]
    if not given or options.get(_PREFIX, {}) is None:
        return dict(options)
    filled = {_PLACE: place, _MIXING: mixing}
    if border is not None:
        filled[_BORDER] = border
    return filled | {name: value for name, value in options.items() if name != _PREFIX}
