"""Match the files of two sides by their names."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dealias.labels.affixes import Match, Reading, match_readings, read_files
from dealias.labels.folders import PairingError, several_files
from dealias.labels.naming import FileRole, names_of, role_of, root_of
from dealias.text import printable

Found = tuple[str, Path, Path]
Listed = list[tuple[Path, list[Path]]]  # folders with the files in them

_LISTED = 4


def match_files(listed: Listed, kind: FileRole) -> tuple[list[Found], list[Path], str]:
    """Match files of a kind with targets.

    Returns:
        The name and both files of each pair, sorted by name; the unpaired files; and a description
        of what was removed from the names, if it was more than known endings.
    """
    listed = apart(listed)
    flat = all(in_one_folder_each(files) for _, files in listed)
    sides = [by_root(folder, files, flat) for folder, files in listed]
    shared = sides[0].keys() & sides[1].keys()
    if not shared:
        return match_affixes(listed, kind)
    unpaired = [
        path for side in sides for name in side if name not in shared for path in side[name]
    ]
    pairs = []
    for name in shared:
        matched, left = _match_root(name, sides[0][name], sides[1][name], kind)
        pairs += matched
        unpaired += left
    return sorted(pairs), unpaired, ""


def apart(listed: Listed) -> Listed:
    """Assign each file to only one side if one folder is inside the other."""
    (first, first_files), (second, second_files) = listed
    if first.samefile(second):
        return listed
    return [
        (first, [path for path in first_files if not _inside(path, second, first)]),
        (second, [path for path in second_files if not _inside(path, first, second)]),
    ]


def match_affixes(listed: Listed, kind: FileRole) -> tuple[list[Found], list[Path], str]:
    """Match files by their names without the prefix and suffix that all files of a side share."""
    readings = [read_files(folder, files) for folder, files in listed]
    matches = match_readings(*readings)
    if len(matches) != 1 or not matches[0].known:
        raise _unmatched(listed, kind, readings, matches)
    pairs = matches[0].files
    used = {path for files in pairs.values() for path in files}
    unpaired = [path for _, files in listed for path in files if path not in used]
    found = [(name, *pairs[name]) for name in sorted(pairs)]
    return found, unpaired, describe(matches[0].patterns, kind)


def _unmatched(
    listed: Listed,
    kind: FileRole,
    readings: Sequence[Sequence[Reading[Path]]],
    matches: Sequence[Match[Path, Path]],
) -> PairingError:
    """Return the error for files that can be paired in no way, or in several."""
    (first, first_files), (second, second_files) = listed
    told = (
        f"none of the {len(first_files):,} names in {printable(first)} "
        f"({_examples(first_files)}) is among the {len(second_files):,} in "
        f"{printable(second)} ({_examples(second_files)})"
    )
    ways = "; or ".join(describe(match.patterns, kind) for match in matches[:_LISTED])
    if not matches:
        tried = [" or ".join(_patterns(found)) or "no other" for found in readings]
        told += (
            "; tried names without known endings, such as _pred and _mask, and "
            f"{describe(tried, kind)}"
        )
    elif matches[0].known:
        told += f"; there are several ways to pair them: {ways}"
    else:
        told += f"; unknown words on both sides may mean other images: {ways}"
    outright = "; --prediction-pattern and --target-pattern, or --pairs, say which belong together"
    return PairingError(f"no pairs: {told}{outright if kind == 'prediction' else ''}")


def _patterns(readings: Sequence[Reading[Path]]) -> list[str]:
    """Return the first distinct patterns of the readings."""
    return [*dict.fromkeys(reading.pattern for reading in readings)][:_LISTED]


def describe(patterns: Sequence[str], kind: FileRole) -> str:
    """Describe for messages how patterns of one kind of file pair with those of targets."""
    first, second = map(printable, patterns)
    if kind == "image":
        return f"images {first} with label maps {second}"
    return f"predictions {first} with targets {second}"


def _match_root(
    root: str, first: list[Path], second: list[Path], kind: FileRole
) -> tuple[list[Found], list[Path]]:
    """Pair the files of one root, starting with those that need the fewest endings removed.

    Files that are left over are unpaired. If the endings of such a file say that it belongs to its
    side, it is ambiguous which file is meant, and that is an error.
    """
    if len(first) == len(second) == 1:
        return [(root, first[0], second[0])], []
    ways = {(one, two): _shared_name(one, two) for one in first for two in second}
    pairs: dict[str, tuple[Path, Path]] = {}
    left = {*first, *second}
    while ways:
        least = min(cost for cost, _ in ways.values())
        best = {files: name for files, (cost, name) in ways.items() if cost == least}
        used = {path for files in best for path in files}
        names = pairs.keys() | {*best.values()}
        if len(used) < 2 * len(best) or len(names) < len(pairs) + len(best):
            break
        pairs |= {name: files for files, name in best.items()}
        left -= used
        ways = {files: way for files, way in ways.items() if used.isdisjoint(files)}
    meant = any(role_of(path) == (kind if path in first else "target") for path in left)
    if ways or meant:
        raise several_files(root, max(first, second, key=len))
    return [(in_folder_of(root, name), *files) for name, files in pairs.items()], sorted(left)


def _shared_name(first: Path, second: Path) -> tuple[int, str]:
    """Return how many endings to remove from two files so that their names agree, and that name."""
    mine, theirs = names_of(first), names_of(second)
    return min((mine.index(n) + theirs.index(n), n) for n in mine if n in theirs)


def _inside(path: Path, folder: Path, searched: Path) -> bool:
    """Whether a file is in a folder that is inside the searched one."""
    inner, outer = folder.resolve(), searched.resolve()
    return inner.is_relative_to(outer) and path.resolve().is_relative_to(inner)


def in_one_folder_each(files: Iterable[Path]) -> bool:
    """Whether no root occurs in several folders."""
    folders: dict[str, Path] = {}
    return all(folders.setdefault(root_of(path), path.parent) == path.parent for path in files)


def by_root(folder: Path, files: Iterable[Path], flat: bool) -> dict[str, list[Path]]:
    """List files by the name of their image, which includes its folders unless `flat`."""
    found = defaultdict(list)
    for path in files:
        root = root_of(path)
        found[root if flat else (path.parent.relative_to(folder) / root).as_posix()].append(path)
    return found


def in_folder_of(root: str, name: str) -> str:
    """Put a name into the folder of a root."""
    return "/".join([*root.split("/")[:-1], name])


def _examples(files: list[Path]) -> str:
    return f"such as {', '.join(printable(path.name) for path in files[:2])}"
