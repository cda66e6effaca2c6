"""Class sets: the meaning of the labels of a data set."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dealias.inputs import parse_yaml, read_yaml
from dealias.text import FileError, printable, shorten

MOST_CLASSES = 4096  # for these the table of counts takes half a gigabyte
_LONGEST_NAME = 1000  # characters
_BINARY = "binary:"
_INTEGER = re.compile("-?[0-9]{1,19}")
Role = Literal["prediction", "target", "stored"]


class ClassSetError(ValueError):
    """A class set is unknown, or a file does not describe a class set."""


@dataclass(frozen=True)
class ClassSet:
    """The classes of a data set and how its files store them.

    Attributes:
        name: name of the set.
        names: names of classes 0 .. C - 1.
        palette: colour of each class, (R, G, B) in 0 .. 255; or None.
        ignore_index: the label of void, outside 0 .. C - 1.
        void_color: colour of void in colour-coded files; or None.
        color_map: further colours in colour-coded files: from (R, G, B) to class or `ignore_index`.
        label_map: from stored label to class or `ignore_index`, for targets that store other labels
            than class numbers; empty if they store class numbers.
        label_map_files: pattern of the file names, of predictions or targets, to which `label_map`
            applies. By default it applies to all targets and no predictions.
        reduce_zero_label: whether targets store 0 for void and k + 1 for class k.
        single_labels: whether to refuse a file with two labels that `label_map` maps to the same
            class, because only one of them can be meant.

    Raises:
        ClassSetError: the attributes contradict each other.
    """

    name: str
    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] | None = None
    ignore_index: int = 255
    void_color: tuple[int, int, int] | None = None
    color_map: dict[tuple[int, int, int], int] = field(default_factory=dict)
    label_map: dict[int, int] = field(default_factory=dict)
    label_map_files: str | None = None
    reduce_zero_label: bool = False
    single_labels: bool = False

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ClassSetError(f"class set {shorten(self.name)}: {problem}")

    def _problem(self) -> str | None:
        if not self.names:
            return "expected at least one class, got none"
        if len(self) > MOST_CLASSES:
            return f"expected at most {MOST_CLASSES:,} classes, got {len(self):,}"
        if max(map(len, (self.name, self.label_map_files or "", *self.names))) > _LONGEST_NAME:
            return f"expected names of at most {_LONGEST_NAME:,} characters"
        twice = sorted(name for name, times in Counter(self.names).items() if times > 1)
        if twice:
            return f"several classes are named {shorten(twice[0])}"
        if self.label_map_files is not None and not self.label_map:
            return "label_map_files without a label_map"
        if any(abs(label) >= 2**63 for label in (self.ignore_index, *self.label_map)):
            return "expected labels and an ignore_index of 64 bits"
        if self.ignore_index in range(len(self)):
            return (
                f"expected an ignore_index outside 0..{len(self) - 1}, got {self.ignore_index}, "
                f"which is {shorten(self.names[self.ignore_index])}; label maps of 16 bits may "
                "have 65535"
            )
        if self.palette is not None and len(self.palette) != len(self):
            return f"expected one colour per class ({len(self)}), got {len(self.palette)}"
        for key, values in (("label_map", self.label_map), ("color_map", self.color_map)):
            wrong = sorted({*values.values()} - {self.ignore_index} - {*range(len(self))})
            if wrong:
                return f"{key}: expected classes 0..{len(self) - 1} or ignore, got {shorten(wrong)}"
        if self.color_map and self.palette is None:
            return "color_map without a palette"
        if self.single_labels and not self.label_map:
            return "single_labels without a label_map"
        if self.label_map and self.reduce_zero_label:
            return "label_map and reduce_zero_label exclude one another"
        return None

    def __len__(self) -> int:
        return len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return vars(self) | {
            "label_map": {str(stored): label for stored, label in self.label_map.items()},
            "color_map": {
                f"#{bytes(color).hex()}": label for color, label in self.color_map.items()
            },
        }

    @classmethod
    def from_dict(cls, content: Any, source: str) -> ClassSet:
        """Read what `to_dict` wrote, whether or not it was stored as JSON.

        Args:
            content: the values.
            source: path of the file, for messages.

        Raises:
            ClassSetError: the values do not describe a class set.
        """
        if not isinstance(content, dict) or not isinstance(content.get("label_map"), dict):
            raise ClassSetError(f"{source}: expected a class set, got {shorten(content)}")
        stored = {
            int(label) if _INTEGER.fullmatch(str(label)) else label: meaning
            for label, meaning in content["label_map"].items()
        }
        plain = {key: value for key, value in content.items() if value is not None}
        lists = {
            key: [list(entry) if isinstance(entry, tuple) else entry for entry in value]
            for key, value in plain.items()
            if isinstance(value, tuple | list)
        }
        return _parse(plain | lists | {"label_map": stored}, "", source)

    def stored_labels(self, path: Path, role: Role) -> dict[int, int] | None:
        """Return the mapping from stored labels in a file to classes or `ignore_index`.

        Args:
            path: the file; only its name is used.
            role: "target", "prediction", or "stored" for labels that are mapped whatever the file's
                name is.

        Returns:
            The mapping, or None if the file stores class numbers.
        """
        if self.label_map:
            by_name = self.label_map_files is not None and role != "stored"
            if by_name and not fnmatch.fnmatchcase(path.name, str(self.label_map_files)):
                return None
            return self.label_map if by_name or role != "prediction" else None
        if self.reduce_zero_label and role != "prediction":
            classes = {k + 1: k for k in range(len(self))}
            return {0: self.ignore_index, self.ignore_index: self.ignore_index} | classes
        return None

    def labels_of_colors(self) -> dict[tuple[int, int, int], frozenset[int]]:
        """Return the labels that each colour stands for; empty without a palette."""
        if self.palette is None:
            return {}
        known = [*enumerate(self.palette)]
        if self.void_color is not None:
            known.append((self.ignore_index, self.void_color))
        known += [(label, color) for color, label in self.color_map.items()]
        found: dict[tuple[int, int, int], frozenset[int]] = {}
        for label, color in known:
            found[color] = found.get(color, frozenset()) | {label}
        return found

    def colors(self) -> NDArray[np.uint8]:
        """Return colours `[C, 3]` to draw the classes: the palette, or else well-spread hues."""
        if self.palette is not None:
            return np.array(self.palette, np.uint8)
        return spread_colors(len(self))

    def paint(self, labels: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return the colours `[..., 3]`, uint8, of a label map `[...]`; void is black.

        Raises:
            IndexError: a label is neither a class nor void.
        """
        void = labels == self.ignore_index
        unknown = labels[~void & ((labels < 0) | (labels >= len(self)))]
        if unknown.size:
            raise IndexError(
                f"labels: expected classes 0..{len(self) - 1} or void {self.ignore_index}, "
                f"got {shorten(unknown[:8].tolist())}"
            )
        colors = np.concatenate([self.colors(), np.zeros((1, 3), np.uint8)])
        # Not a plain number, which might be too large for the dtype of the labels.
        return colors[np.where(void, np.uint16(len(self)), labels)]


def spread_colors(count: int) -> NDArray[np.uint8]:
    """Return colours `[count, 3]` of well-spread hues.

    >>> spread_colors(2).tolist()
    [[220, 60, 60], [60, 106, 220]]
    """
    hue = np.arange(count) * 0.618034 % 1  # steps of the golden ratio spread evenly
    wheel = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    colors: NDArray[np.uint8] = (np.clip(wheel, 0, 1) * 160 + 60).astype(np.uint8)
    return colors


def builtin_class_sets() -> list[str]:
    """List the names of the class sets that come with the library."""
    folder = files("dealias.labels") / "class_sets"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_class_set(name_or_path: str | Path) -> ClassSet:
    """Load a class set by name, or from a YAML file.

    Args:
        name_or_path: one of `builtin_class_sets()`; "binary:FOREGROUND" or
            "binary:BACKGROUND,FOREGROUND" for masks whose classes have these names; or a .yaml or
            .yml file with the key `names` and, optionally, the other attributes of
            :class:`ClassSet`; in `label_map` and `color_map`, "ignore" stands for the void label.

    Raises:
        ClassSetError: the name is unknown, or the file can't be read or is not a class set.

    >>> load_class_set("camvid").names[2]
    'Pole'
    >>> load_class_set("binary:crack").names
    ('background', 'crack')
    """
    if str(name_or_path).startswith(_BINARY):
        return _binary(str(name_or_path).removeprefix(_BINARY))
    if str(name_or_path) in builtin_class_sets():
        text = (files("dealias.labels") / "class_sets" / f"{name_or_path}.yaml").read_text("utf-8")
        return _parse(parse_yaml(text), str(name_or_path), str(name_or_path))
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        raise ClassSetError(
            f"expected a class set ({', '.join(builtin_class_sets())}) or a .yaml file, "
            f"got {shorten(str(name_or_path))}"
        )
    try:
        content = read_yaml(path)
    except FileError as error:
        raise ClassSetError(str(error)) from error
    return _parse(content, path.stem, printable(path))


def _binary(given: str) -> ClassSet:
    """Create the class set of masks, given a name for the foreground or names for both classes."""
    names = [name.strip() for name in given.split(",")]
    if not all(names) or len(names) > 2:
        raise ClassSetError(
            f"expected binary:FOREGROUND or binary:BACKGROUND,FOREGROUND, "
            f"got {shorten(_BINARY + given)}"
        )
    plain = load_class_set("binary")
    return replace(plain, names=(*plain.names[: 2 - len(names)], *names))


def _parse(content: Any, name: str, source: str) -> ClassSet:
    if not isinstance(content, dict):
        raise ClassSetError(f"{source}: expected a mapping with the key 'names'")
    known = sorted(attribute.name for attribute in fields(ClassSet))
    unknown = sorted({*map(str, content)} - {*known})
    if unknown:
        raise ClassSetError(
            f"{source}: unknown keys {shorten(unknown)}; known are {', '.join(known)}"
        )
    names = content.get("names")
    if not isinstance(names, list) or not all(isinstance(entry, str) for entry in names):
        raise ClassSetError(
            f"{source}: names: expected a list of class names, got {shorten(names)}"
        )
    kinds = {"ignore_index": int, "label_map_files": str}
    kinds |= dict.fromkeys(("reduce_zero_label", "single_labels"), bool)
    options: dict[str, Any] = {key: content[key] for key in kinds if key in content}
    for key, value in options.items():
        if type(value) is not kinds[key]:
            raise ClassSetError(
                f"{source}: {key}: expected {kinds[key].__name__}, got {shorten(value)}"
            )
    if content.get("palette") is not None:
        if not isinstance(content["palette"], list):
            raise ClassSetError(f"{source}: palette: expected a list of [R, G, B]")
        options["palette"] = tuple(_color(c, source) for c in content["palette"])
    if content.get("void_color") is not None:
        options["void_color"] = _color(content["void_color"], source)
    ignore = {"ignore": options.get("ignore_index", 255)}
    if content.get("label_map") is not None:
        options["label_map"] = _mapping(
            f"{source}: label_map",
            content["label_map"],
            ("stored label: class", "integers or 'ignore'"),
            lambda stored: stored if type(stored) is int else None,
            ignore,
        )
    if content.get("color_map") is not None:
        options["color_map"] = _mapping(
            f"{source}: color_map",
            content["color_map"],
            ("'#rrggbb': class", "'#rrggbb' and a class, its name or 'ignore'"),
            _color_of_code,
            ignore | {name: label for label, name in enumerate(names)},
        )
    called = content.get("name", name)
    if isinstance(called, dict | list):
        raise ClassSetError(f"{source}: name: expected a name, got {shorten(called)}")
    try:
        return ClassSet(str(called), tuple(names), **options)
    except ClassSetError as error:
        raise ClassSetError(f"{source}: {error}") from error


def _color(value: Any, source: str) -> tuple[int, int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(v) is int and 0 <= v <= 255 for v in value)
    ):
        raise ClassSetError(
            f"{source}: expected a colour [R, G, B] in 0..255, got {shorten(value)}"
        )
    return (value[0], value[1], value[2])


def _color_of_code(code: Any) -> tuple[int, ...] | None:
    known = re.fullmatch("#[0-9a-fA-F]{6}", code) if isinstance(code, str) else None
    return tuple(bytes.fromhex(known[0][1:])) if known else None


def _mapping(
    where: str,
    content: Any,
    expected: tuple[str, str],
    read_key: Callable[[Any], Any],
    meanings: Mapping[str, int],
) -> dict[Any, int]:
    """Read a mapping to labels or words with a meaning; `read_key` gives None for other keys."""
    if not isinstance(content, dict):
        raise ClassSetError(f"{where}: expected {expected[0]}, got {shorten(content)}")
    result = {}
    for stored, value in content.items():
        key = read_key(stored)
        label = meanings.get(value) if isinstance(value, str) else value
        if key is None or type(label) is not int:
            raise ClassSetError(
                f"{where}: expected {expected[1]}, got {shorten(stored)}: {shorten(value)}"
            )
        result[key] = label
    return result
