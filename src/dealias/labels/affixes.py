"""Match file names that differ only in a prefix or suffix shared by all files of one side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Generic, TypeVar

from dealias.labels.naming import is_known

First = TypeVar("First")
Second = TypeVar("Second")
File = TypeVar("File")

_MOST_CUTS = 16  # at either end of the names


@dataclass(frozen=True)
class Reading(Generic[File]):
    """The files of one side, named by what lies between a common prefix and a common suffix.

    Attributes:
        prefix: common prefix of all keys; may be empty.
        suffix: common suffix of all keys; may be empty.
        files: the files by name.
    """

    prefix: str
    suffix: str
    files: Mapping[str, File]

    @property
    def pattern(self) -> str:
        """The pattern of the keys, with "{name}" in place of the name."""
        return f"{self.prefix}{{name}}{self.suffix}"

    @property
    def known(self) -> bool:
        """Whether only known words, such as _pred, are removed."""
        return is_known(self.prefix) and is_known(self.suffix)


@dataclass(frozen=True)
class Match(Generic[First, Second]):
    """Files of two sides that have the same name in one reading of each side.

    Attributes:
        patterns: patterns of the two readings.
        files: the files of both sides by name.
        known: whether at least one reading removes only known words.
    """

    patterns: tuple[str, str]
    files: Mapping[str, tuple[First, Second]]
    known: bool


def match_readings(
    first: Sequence[Reading[First]], second: Sequence[Reading[Second]]
) -> list[Match[First, Second]]:
    """Find every way to match two sides so that each file of the smaller side has a partner.

    Args:
        first: readings of one side, in order of preference.
        second: readings of the other side.

    Returns:
        A match for each different set of pairs, in order of preference. If there are matches in
        which a reading removes only known words, the others are left out: unknown words on both
        sides, as in aachen_1 and ulm_1, may mean that the files show different things.

    >>> match_readings(read_names({"unet_1": 1, "unet_2": 2}), read_names({"1": 3, "2": 4}))
    [Match(patterns=('unet_{name}', '{name}'), files={'1': (1, 3), '2': (2, 4)}, known=True)]
    """
    found: dict[frozenset[tuple[First, Second]], Match[First, Second]] = {}
    for one, two in product(first, second):
        less, more = sorted((one.files, two.files), key=len)
        if not less or next(iter(less)) not in more or not less.keys() <= more.keys():
            continue
        files = {name: (one.files[name], two.files[name]) for name in less}
        pairs = frozenset(files.values())
        known = one.known or two.known
        if pairs not in found or known > found[pairs].known:
            found[pairs] = Match((one.pattern, two.pattern), files, known)
    matches = list(found.values())
    return [match for match in matches if match.known] or matches


def read_files(folder: Path, files: Iterable[Path]) -> list[Reading[Path]]:
    """Read the names of files by their stems, if these are unique, and by their paths.

    Files that differ only in their suffixes have no such reading.
    """
    listed = list(files)
    readings: list[Reading[Path]] = []
    for keyed in (
        {path.stem: path for path in listed},
        {key_of(folder, path): path for path in listed},
    ):
        if len(keyed) == len(listed):
            readings += read_names(keyed)
    return readings


def key_of(folder: Path, path: Path) -> str:
    """Return the path of a file in a folder, with "/" between folders and without the suffix."""
    return (path.parent.relative_to(folder) / path.stem).as_posix()


def read_names(files: Mapping[str, File]) -> list[Reading[File]]:
    """Read keys in every way that removes one prefix and one suffix from all of them.

    Keys are only cut next to a blank, a sign or "/", or between a letter and a digit, so no number
    or word is split: 12 and 112 never get the same name.

    Args:
        files: the files by key.

    Returns:
        The readings, those that remove least first.

    >>> [reading.pattern for reading in read_names({"a_1_x": 1, "a_2_x": 2})]
    ['{name}', '{name}_x', 'a_{name}', 'a_{name}_x']
    """
    keys = list(files)
    if not keys:
        return []
    prefix, suffix = _common(keys), _common([key[::-1] for key in keys])[::-1]
    readings = []
    for start, end in product(_cuts(prefix), _cuts(suffix[::-1])):
        names = [key[start : len(key) - end] for key in keys]
        if all(_fits(key, start, end) for key in keys):
            named = dict(zip(names, files.values(), strict=True))
            readings.append(Reading(prefix[:start], suffix[len(suffix) - end :], named))
    return readings


def _common(keys: Sequence[str]) -> str:
    """Return the common prefix of all keys."""
    first, last = min(keys), max(keys)  # all others sort between these
    ends = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(ends, min(len(first), len(last)))]


def _cuts(common: str) -> list[int]:
    """List the lengths at which the common prefix may be cut, as far as the prefix alone shows."""
    return [0, *_places(common)][:_MOST_CUTS]


def _places(common: str) -> Iterator[int]:
    for place in range(1, len(common) + 1):
        if place == len(common) or _is_boundary(common[place - 1], common[place]):
            yield place


def _fits(key: str, start: int, end: int) -> bool:
    """Whether this many characters can be cut from the start and the end of a key."""
    stop = len(key) - end
    if start >= stop:
        return False
    before = start == 0 or _is_boundary(key[start - 1], key[start])
    return before and (end == 0 or _is_boundary(key[stop], key[stop - 1]))


def _is_boundary(outside: str, inside: str) -> bool:
    """Whether a name may begin or end between these two characters."""
    if not inside.isalnum():
        return False
    kinds = {outside.isdigit(), inside.isdigit()}
    return not outside.isalnum() or len(kinds) == 2
