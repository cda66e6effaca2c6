"""What of a file is used otherwise than it stands there."""

from __future__ import annotations


class Notes:
    """Entries of a file that are used in part, or with something in place of a part, by kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, entry: str) -> None:
        """Count an entry, such as "annotation 17"."""
        count, first = self._found.get(kind, (0, entry))
        self._found[kind] = count + 1, first

    def listed(self) -> tuple[str, ...]:
        """A message for each kind, with its number and the first entry."""
        return tuple(
            f"{kind}: {count:,}, the first of {first}"
            for kind, (count, first) in self._found.items()
        )
