"""Rules that say which prediction belongs to which target."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dealias.inputs import leads_out, read_bytes
from dealias.labels.affixes import key_of
from dealias.labels.folders import PairingError, files_in, jpeg_hint, several_files
from dealias.labels.lossless import JPEG_SUFFIXES
from dealias.labels.matching import apart, describe
from dealias.labels.reading import LABEL_SUFFIXES
from dealias.text import FileError, printable, shorten

_PLACE = "{name}"
_LARGEST_TABLE = 2**28  # bytes
_COLUMNS = ("prediction", "target", "name")

Named = dict[str, tuple[Path, Path]]


@dataclass(frozen=True)
class PairingRule:
    """How to pair predictions and targets whose names alone do not show which belong together.

    Attributes:
        prediction_pattern: path of a prediction in its folder, with "{name}" for the name, which
            may include folders, and with or without a suffix. None means "{name}".
        target_pattern: the same for targets.
        table: CSV file with the columns prediction and target, which hold paths in their folders,
            and optionally name. Nothing else is paired.

    Raises:
        PairingError: a pattern does not have exactly one "{name}", or both a table and a pattern
            are given.
    """

    prediction_pattern: str | None = None
    target_pattern: str | None = None
    table: Path | None = None

    def __post_init__(self) -> None:
        patterns = [p for p in (self.prediction_pattern, self.target_pattern) if p is not None]
        if patterns and self.table is not None:
            raise PairingError("expected patterns or a table of pairs, got both")
        for pattern in patterns:
            if pattern.count(_PLACE) != 1:
                raise PairingError(
                    f"pattern {shorten(pattern)}: expected {_PLACE} once, as in {_PLACE}_pred.png"
                )

    def __bool__(self) -> bool:
        return self != PairingRule()

    def __str__(self) -> str:
        if self.table is not None:
            return f"pairs of {printable(self.table)}"
        patterns = (self.prediction_pattern or _PLACE, self.target_pattern or _PLACE)
        return describe(patterns, "prediction")

    def to_dict(self) -> dict[str, str]:
        """Return what was given as plain values for JSON, with an absolute path of the table."""
        given = vars(self) | ({} if self.table is None else {"table": self.table.absolute()})
        return {key: str(value) for key, value in given.items() if value is not None}

    @classmethod
    def from_dict(cls, content: Any) -> PairingRule:
        """Read what `to_dict` returned.

        Raises:
            ValueError: the content is malformed.
        """
        known = {"prediction_pattern", "target_pattern", "table"}
        if not isinstance(content, dict) or not content.keys() <= known:
            raise PairingError(f"expected a rule of pairs, got {shorten(content)}")
        if not all(isinstance(value, str) for value in content.values()):
            raise PairingError(f"expected a rule of pairs, got {shorten(content)}")
        table = Path(content["table"]) if "table" in content else None
        return cls(content.get("prediction_pattern"), content.get("target_pattern"), table)


def pair_by_patterns(
    predictions: Path, targets: Path, rule: PairingRule
) -> tuple[Named, list[Path]]:
    """Pair the files that match two patterns.

    Files that do not match are ignored. If both sides are in one folder, a file that matches both
    patterns belongs to the one with more fixed characters. If the last parts of the names are
    unique on each side, folders in names do not matter.

    Returns:
        The prediction and the target by name, and the matching files without a partner.

    Raises:
        PairingError: no file matches, two files have the same name, or there are no pairs.
    """
    patterns = (rule.prediction_pattern or _PLACE, rule.target_pattern or _PLACE)
    folders = (predictions, targets)
    listed = apart([(folder, files_in(folder, LABEL_SUFFIXES)) for folder in folders])
    sides = [
        _fitting(folder, files, pattern)
        for (folder, files), pattern in zip(listed, patterns, strict=True)
    ]
    if predictions.samefile(targets):
        _settle(sides, patterns)
    for folder, pattern, side in zip(folders, patterns, sides, strict=True):
        if not side:
            raise PairingError(
                f"{printable(folder)}: no label map fits {shorten(pattern, 200)}"
                + jpeg_hint(path for path in files_in(folder) if _fits(folder, path, pattern))
            )
    short = [_last_parts(side) for side in sides]
    if all(len(few) == len(side) for few, side in zip(short, sides, strict=True)):
        sides = short
    first, second = sides
    named = {name: (first[name], second[name]) for name in sorted(first.keys() & second.keys())}
    if not named:
        told = " and ".join(
            f"{len(side):,} of {printable(pattern)}, such as {shorten(next(iter(side)))}"
            for pattern, side in zip(patterns, sides, strict=True)
        )
        raise PairingError(f"no pairs: expected names on both sides, got {told}")
    return named, [path for side in sides for name, path in side.items() if name not in named]


def _fitting(folder: Path, files: Iterable[Path], pattern: str) -> dict[str, Path]:
    """Find the files in a folder that match a pattern, by name."""
    before, after = map(re.escape, pattern.split(_PLACE))
    fits = re.compile(f"{before}(.+){after}", re.DOTALL)
    whole = pattern.lower().endswith(LABEL_SUFFIXES)
    found: dict[str, Path] = {}
    for path in files:
        key = path.relative_to(folder).as_posix() if whole else key_of(folder, path)
        match = fits.fullmatch(key)
        if match is None or leads_out(match[1]):
            continue
        if match[1] in found:
            raise several_files(match[1], [found[match[1]], path])
        found[match[1]] = path
    return found


def _fits(folder: Path, path: Path, pattern: str) -> bool:
    """Whether a file matches a pattern; the pattern may leave out a JPEG suffix."""
    suffix = PurePosixPath(pattern).suffix
    stem = pattern.removesuffix(suffix) if suffix.lower() in JPEG_SUFFIXES else pattern
    return bool(_fitting(folder, [path], stem))


def _settle(sides: list[dict[str, Path]], patterns: tuple[str, str]) -> None:
    """Assign each file of one folder to one side."""
    one, two = sides
    both = {*one.values()} & {*two.values()}
    if both and len(patterns[0]) == len(patterns[1]):
        listed = " and ".join(shorten(pattern) for pattern in patterns)
        raise PairingError(f"{printable(min(both))}: fits {listed}, which are for one folder")
    loser = min(range(2), key=lambda side: len(patterns[side]))
    sides[loser] = {name: path for name, path in sides[loser].items() if path not in both}


def _last_parts(side: Mapping[str, Path]) -> dict[str, Path]:
    return {name.rsplit("/", 1)[-1]: path for name, path in side.items()}


def pair_by_table(predictions: Path, targets: Path, table: Path) -> Named:
    """Pair the files that a CSV file names.

    Args:
        predictions: folder of the predictions.
        targets: folder of the targets.
        table: CSV file with the columns prediction and target, which hold paths in their folders,
            and optionally name; the default name is the path of the prediction without its suffix.

    Returns:
        The prediction and the target by name. Whether the files exist is checked when they are
        read.

    Raises:
        PairingError: the file can't be read or has other columns; a path or name leads out of its
            folder; or a file or name occurs twice.
    """
    try:
        text = read_bytes(table, _LARGEST_TABLE).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except FileError as error:
        raise PairingError(str(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PairingError(f"{printable(table)}: expected CSV in UTF-8: {error}") from error
    columns = [*rows[0]] if rows else []
    if not {*_COLUMNS[:2]} <= {*columns}:
        raise PairingError(
            f"{printable(table)}: expected a line of heads with prediction and target and a line "
            f"for each pair, got {shorten(columns)}"
        )
    named: Named = {}
    seen: list[set[str]] = [set(), set()]
    for line, row in enumerate(rows, start=2):
        where = f"{printable(table)}, pair {line - 1}"
        given = [row[column] for column in _COLUMNS[:2]]
        _check_inside(where, given)
        name = row.get("name") or PurePosixPath(given[0]).with_suffix("").as_posix()
        _check_inside(where, [name])
        # A path can be spelled in several ways, such as a.png and ./a.png.
        *files, name = (PurePosixPath(path or "").as_posix() for path in (*given, name))
        for file, earlier in zip(files, seen, strict=True):
            if file in earlier:
                raise PairingError(f"{where}: {shorten(file)} is listed twice")
            earlier.add(file)
        if name in named:
            raise PairingError(f"{where}: the name {shorten(name)} is given twice")
        named[name] = (predictions / files[0], targets / files[1])
    return named


def _check_inside(where: str, paths: Iterable[str | None]) -> None:
    for path in paths:
        if not path or leads_out(path) or not PurePosixPath(path).name:
            raise PairingError(f"{where}: expected paths inside the folders, got {shorten(path)}")
