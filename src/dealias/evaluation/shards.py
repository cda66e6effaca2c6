"""Parts of a list of images that are counted separately, on any number of machines."""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dealias.text import shorten

MOST_SHARDS = 100_000
_LISTED = 8  # missing shards that a message lists
_DIGEST = re.compile(r"[0-9a-f]{16}")


class Shard(NamedTuple):
    """A part of a list of images.

    Attributes:
        number: number of the part, from 1.
        parts: number of parts.
        images: digest of the names of all images in the list; "" if unknown, as in files of counts
            written by version 0.1.
    """

    number: int
    parts: int
    images: str = ""

    @classmethod
    def of(cls, number: int, parts: int, names: Sequence[str]) -> "Shard":
        """Return a part of the images with these names."""
        found = hashlib.blake2b(repr(sorted(names)).encode(), digest_size=8)
        return cls(number, parts, found.hexdigest())

    @classmethod
    def whole(cls, names: Sequence[str]) -> "Shard":
        """Return the shard of all images with these names."""
        return cls.of(1, 1, names)

    @classmethod
    def from_json(cls, content: Any) -> "Shard":
        """Read a shard from JSON values.

        Raises:
            ValueError: the content is not a shard.
        """
        if not (
            isinstance(content, list)
            and [type(part) for part in content] in ([int, int], [int, int, str])
            and 1 <= content[0] <= content[1] <= MOST_SHARDS
            and ("".join(content[2:]) == "" or _DIGEST.fullmatch(content[2]))
        ):
            raise ValueError(
                f"shards: expected i of n with 1 <= i <= n <= {MOST_SHARDS:,}, and a digest, "
                f"got {shorten(content)}"
            )
        return cls(*content)


def missing_shards(shards: Iterable[Shard]) -> str:
    """List the missing shards as text for a message; "" if none is missing.

    Shards of different image lists do not complete each other. If the images of a shard are
    unknown, only the numbers count.

    >>> missing_shards([Shard.of(1, 2, ["a", "b"]), Shard.of(2, 2, ["a", "b"])])
    ''
    >>> missing_shards([Shard.of(1, 2, ["a", "b"]), Shard.of(2, 2, ["c", "d"])])
    '2/2, 1/2; these shards are of 2 different lists of images'
    """
    there = {*shards}
    if not all(shard.images for shard in there):
        there = {Shard(shard.number, shard.parts) for shard in there}
    found = Counter((shard.parts, shard.images) for shard in there)
    absent = sum(parts - n for (parts, _), n in found.items())
    if not absent:
        return ""
    missing = (
        f"{number}/{parts}"
        for parts, images in sorted(found)
        for number in range(1, parts + 1)
        if Shard(number, parts, images) not in there
    )
    listed = ", ".join(itertools.islice(missing, _LISTED))
    more = f" and {absent - _LISTED:,} more" if absent > _LISTED else ""
    lists = len({shard.images for shard in there})
    apart = f"; these shards are of {lists} different lists of images" if lists > 1 else ""
    return listed + more + apart
