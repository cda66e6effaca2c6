"""What was put into a network, and what was left."""

from dataclasses import dataclass

from dealias.surgery.plan import Excluded, Rate, by_reason, rate_text, table


@dataclass(frozen=True)
class Inserted:
    """A module put into a network.

    Attributes:
        site: name of the site.
        module: dotted path of the new module.
        kind: "daf", "flc", "blur", "adaptive_blur" or "mixing".
        cutoff: in cycles per pixel; None for a blur, which has none.
    """

    site: str
    module: str
    kind: str
    cutoff: Rate | None


@dataclass(frozen=True)
class Report:
    """What :func:`dealias.dealias` did; prints as a table.

    Attributes:
        inserted: filters in the order they run, then mixing modules.
        left: steps that were left as they are, with the reason.
    """

    inserted: tuple[Inserted, ...]
    left: tuple[Excluded, ...]

    def __str__(self) -> str:
        rows = [
            {
                "site": item.site or "(model)",
                "put in": item.kind,
                "cutoff": "" if item.cutoff is None else rate_text(item.cutoff),
                "as": item.module,
            }
            for item in self.inserted
        ]
        return "\n".join([*table(rows), *by_reason("left", self.left)])
