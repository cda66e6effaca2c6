"""The cutoff at each site."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dealias.surgery.plan import MixingSite, Plan, Rate, Site

Cutoff = Literal["auto"] | Rate | Mapping[str, Rate]


@dataclass(frozen=True)
class Cutoffs:
    """The cutoffs for the arguments `cutoff` and `filter` of :func:`dealias.dealias`."""

    cutoff: Cutoff
    filter: str | None

    def check(self, names: tuple[str, ...]) -> None:
        """Raise ValueError if a cutoff is out of range or a site is not among these names."""
        if isinstance(self.cutoff, Mapping):
            check_names("cutoff", self.cutoff, names)
        if self.cutoff == "auto":
            return
        given = self.cutoff.values() if isinstance(self.cutoff, Mapping) else (self.cutoff,)
        for value in given:
            if not all(_is_cutoff(f) for f in (value if isinstance(value, tuple) else (value,))):
                raise ValueError(
                    f"cutoff: expected 'auto', cycles per pixel in (0, 0.5], or a mapping from "
                    f"sites to them, got {self.cutoff!r}"
                )

    def at(self, site: Site) -> Rate:
        """The cutoff at a downsampling site."""
        if isinstance(self.cutoff, Mapping):
            return self.cutoff.get(site.name, self._auto(site))
        return self._auto(site) if isinstance(self.cutoff, str) else self.cutoff

    def after(self, site: MixingSite, plan: Plan[Site]) -> Rate:
        """The cutoff at a mixing site: its own, or that of the site before it."""
        if isinstance(self.cutoff, Mapping) and site.name in self.cutoff:
            return self.cutoff[site.name]
        return self.at(plan[site.after])

    def _auto(self, site: Site) -> Rate:
        # The lowest of all uses: a shared module may have several, if it is asked for by name.
        rates = [self._auto_of(use) for use in site.uses]
        rows, columns = (min(axis) for axis in zip(*rates, strict=True))
        return rows if rows == columns else (rows, columns)

    def _auto_of(self, use: Site) -> tuple[float, float]:
        if self.filter == "flc":
            return 0.5 / use.stride[0], 0.5 / use.stride[1]
        return use.nyquist if isinstance(use.nyquist, tuple) else (use.nyquist, use.nyquist)


def check_names(argument: str, given: Any, names: tuple[str, ...]) -> None:
    """Raise ValueError if a given site does not exist."""
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(
            f"{argument}: no site {', '.join(map(repr, unknown))}; "
            f"there are: {', '.join(names) or 'none'}"
        )


def _is_cutoff(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 0.5
