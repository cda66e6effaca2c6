"""Determine the cutoff at each site."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dealias.surgery.plan import MixingSite, Plan, Rate, Site

Named = Literal["auto", "published"]
Cutoff = Named | Rate | Mapping[str, Named | Rate]
HAVE_CUTOFF = ("daf", "flc")  # filters
OTHERS = "*"  # key for all sites that a mapping does not name


@dataclass(frozen=True)
class Cutoffs:
    """The cutoffs given by the arguments `cutoff` and `filter` of :func:`dealias.dealias`."""

    cutoff: Cutoff
    filter: str | None

    def check(self, names: tuple[str, ...]) -> None:
        """Raise ValueError if a cutoff is out of range, or a site is not among these names."""
        if isinstance(self.cutoff, Mapping):
            check_names("cutoff", (name for name in self.cutoff if name != OTHERS), names)
        given = self.cutoff.values() if isinstance(self.cutoff, Mapping) else (self.cutoff,)
        for value in given:
            if value in get_args(Named):
                continue
            if not all(_is_cutoff(f) for f in (value if isinstance(value, tuple) else (value,))):
                raise ValueError(
                    f"cutoff: expected 'auto', 'published', cycles per pixel in (0, 0.5], or a "
                    f"mapping from sites to them, got {self.cutoff!r}"
                )

    @property
    def are_given(self) -> bool:
        """Whether any of them is a number."""
        given = self.cutoff.values() if isinstance(self.cutoff, Mapping) else (self.cutoff,)
        return not all(value in get_args(Named) for value in given)

    def check_sites(self, put_in: Container[str]) -> None:
        """Raise ValueError if a site named in a mapping gets nothing that has a cutoff."""
        named = self.cutoff if isinstance(self.cutoff, Mapping) else ()
        unused = [name for name in named if name != OTHERS and name not in put_in]
        if unused:
            raise ValueError(f"cutoff: nothing is put in at {', '.join(map(repr, unused))}")

    def at(self, site: Site) -> Rate:
        """Return the cutoff at a downsampling site."""
        cutoff = self.cutoff
        if isinstance(cutoff, Mapping):
            cutoff = cutoff.get(site.name, cutoff.get(OTHERS, "auto"))
        return self._named(cutoff, site) if isinstance(cutoff, str) else cutoff

    def after(self, site: MixingSite, plan: Plan[Site]) -> Rate:
        """Return the cutoff at a mixing site: its own, or that of the site before it."""
        if isinstance(self.cutoff, Mapping) and site.name in self.cutoff:
            own = self.cutoff[site.name]
            return self._named(own, plan[site.after]) if isinstance(own, str) else own
        return self.at(plan[site.after])

    def _named(self, name: Named, site: Site) -> Rate:
        # Take the lowest of all uses: a shared module that was requested by name may have several.
        rates = [self._named_of(name, use) for use in site.uses]
        rows, columns = (min(axis) for axis in zip(*rates, strict=True))
        return rows if rows == columns else (rows, columns)

    def _named_of(self, name: Named, use: Site) -> tuple[float, float]:
        if self.filter == "flc":
            rows, columns = use.stride  # below 1 along an axis that is enlarged
            return min(0.5 / rows, 0.5), min(0.5 / columns, 0.5)
        if name == "published":
            rows, columns = pair_of(use.esr)
            return min(rows / 2, 0.5), min(columns / 2, 0.5)
        return pair_of(use.nyquist)


def pair_of(rate: Rate) -> tuple[float, float]:
    """Return a rate as a pair for rows and columns."""
    return rate if isinstance(rate, tuple) else (rate, rate)


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
