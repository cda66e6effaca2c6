"""The file of variants: names, and the options in which each differs from the base."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dealias.inputs import read_yaml
from dealias.text import FileError, printable, shorten

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,99}")
_SECTIONS = ("model", "data", "trainer")
_SINGLE = "filter_ramp"  # the only option of training outside the sections
# Other outputs beside the folders of variants.
OUTPUTS = ("study.json", "table.md", "figure.png", "cost.json", "cost.log")


class StudyError(ValueError):
    """A study can't be carried out with these settings."""


@dataclass(frozen=True)
class Variant:
    """A variant to compare.

    Attributes:
        name: name of its folder.
        title: name in tables.
        changes: options in which it differs from the base, nested as in a configuration file.
    """

    name: str
    title: str
    changes: Mapping[str, Any]


def read_variants(path: Path) -> list[Variant]:
    """Read a file of variants: a mapping of names to options of ``dealias fit``, or to nothing.

    The first variant is the baseline. Besides sections of options, a variant may have a ``title``.

    Raises:
        FileError: the file can't be read, is not such a mapping, or has fewer than two variants; a
            name can't be used for a folder; or two variants have the same title.
    """
    return read_named(
        path, "variants", least=2, sections=_SECTIONS, single=(_SINGLE,), taken=OUTPUTS
    )


def read_named(
    path: Path,
    what: str,
    *,
    least: int,
    sections: Sequence[str],
    single: Sequence[str] = (),
    taken: Collection[str] = (),
) -> list[Variant]:
    """Read a mapping of names to options, with optional titles.

    Args:
        path: path of the file.
        what: what the names stand for, in the plural, for messages.
        least: smallest number of names.
        sections: sections that options may be in.
        single: options outside the sections.
        taken: names of other outputs, which can't be used.

    Raises:
        FileError: see :func:`read_variants`.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise FileError(path, f"expected a mapping of names of {what} to options")
    if len(content) < least:
        raise FileError(path, f"expected {what}, {least} at least, got {len(content)}")
    seen: set[str] = set()
    for name in content:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
            raise FileError(
                path,
                f"expected names of folders, of letters, digits and - _ + ., got {shorten(name)}",
            )
        if name.lower() in seen | set(taken):  # file systems may ignore case
            raise FileError(path, f"{name}: there is another output of this name")
        seen.add(name.lower())
    found = [_variant(path, name, options, sections, single) for name, options in content.items()]
    _check_titles(path, found)
    return found


def _check_titles(path: Path, variants: Sequence[Variant]) -> None:
    """Raise FileError if two variants have the same title, since tables name them by it."""
    named: dict[str, str] = {}
    for variant in variants:
        other = named.setdefault(variant.title, variant.name)
        if other != variant.name:
            raise FileError(
                path,
                f"{variant.name}: title: expected another than that of {other}, got "
                f"{shorten(variant.title)}",
            )


def baseline_first(variants: Sequence[Variant], name: str) -> list[Variant]:
    """The variants, with the one of this name first.

    Raises:
        StudyError: there is no such variant.

    >>> variants = [Variant(name, name, {}) for name in ("plain", "noise", "both")]
    >>> [variant.name for variant in baseline_first(variants, "noise")]
    ['noise', 'plain', 'both']
    """
    names = [variant.name for variant in variants]
    if name not in names:
        raise StudyError(f"baseline: expected one of {', '.join(names)}, got {shorten(name)}")
    return sorted(variants, key=lambda variant: variant.name != name)


def _variant(
    path: Path, name: str, options: Any, sections: Sequence[str], single: Sequence[str]
) -> Variant:
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise FileError(path, f"{name}: expected a mapping of options, got {shorten(options)}")
    title = options.pop("title", name)
    if not isinstance(title, str) or not title.strip():
        raise FileError(path, f"{name}: title: expected text, got {shorten(title)}")
    for section, value in options.items():
        if section in single:
            continue
        if section not in sections:
            raise FileError(
                path,
                f"{name}: expected options of {', '.join([*sections, *single])} or a title, got "
                f"{shorten(section)}: what else there is holds for all",
            )
        if not isinstance(value, dict):
            raise FileError(path, f"{name}: {section}: expected options, got {shorten(value)}")
    return Variant(name, printable(title.strip()), options)


def command_line(changes: Mapping[str, Any]) -> list[str]:
    """Options as arguments of ``dealias fit``.

    >>> command_line({"model": {"network": {"dealias": {"filter": None}}}, "data": {"limit": 4}})
    ['--model.network.dealias.filter', 'null', '--data.limit', '4']
    """
    return [part for name, value in flatten(changes) for part in (f"--{name}", _text(value))]


def flatten(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Full names of options and their values, which are anything but non-empty mappings."""
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _text(value: Any) -> str:
    """A value as YAML on one line; JSON writes some numbers in a form that YAML reads as text."""
    text = yaml.safe_dump(value, default_flow_style=True, width=2**31, allow_unicode=True)
    return text.removesuffix("...\n").strip()
