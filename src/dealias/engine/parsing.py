"""Parsers of the command line that say in a line what is wrong with an option."""

from __future__ import annotations

import re
from numbers import Number
from typing import Any, NoReturn

from jsonargparse.typing import register_type

from dealias.engine.configs import ConfigError
from dealias.text import printable

_LONGEST_ERROR = 1000  # characters
# What jsonargparse says, once its lines are joined.
_KEY = re.compile(r'Parser key "([^"]+)": ')
_OF_CLASS = re.compile(
    r"Problem with given class_path '([^']+)': (.+?)(?= - Expected an? | Given value type: |$)"
)
_ONE_TYPE = re.compile(r"Expected an? (.+?)\. Got value: (.*)")
_UNION = re.compile(
    r"Does not validate against any of the Union subtypes .*? Errors: (- .+?) "
    r"Given value type: .+? Given value: (.*)"
)
_WRITTEN_AS = (  # types, and how they are written in a file
    (re.compile(r"<class 'NoneType'>"), "null"),
    (re.compile(r"dot import path string: .*"), "the name of a class"),
    (re.compile(r"<class '([\w.]+)'>"), r"\1"),
    (re.compile(r"typing\.Literal\[([^\]]*)\]"), r"\1"),
)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {value!r}")
    return value


# The type of arguments of torchvision's transforms, which jsonargparse could read but not write.
register_type(Number, lambda value: value, _number, fail_already_registered=False)


class BriefParser:
    """Mixin for a parser whose options have one name each, and whose errors are a line.

    Attributes:
        listing: the option that lists all options.
    """

    listing = "--help"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"allow_abbrev": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong with the options.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{in_brief(message)}; {self.listing} lists the options") from ex

    def format_help(self, *arguments: Any, **options: Any) -> str:
        """The help, with classes by their names."""
        text: str = super().format_help(*arguments, **options)  # type: ignore[misc]
        return re.sub(r"<class '([\w.]+)'>", r"\1", text)


def names_class(message: str) -> bool:
    """Whether a message of jsonargparse is of a class that can't be created."""
    return _OF_CLASS.search(" ".join(message.split())) is not None


def in_brief(message: str) -> str:
    """A message of jsonargparse on a line: the option, what was expected and what came.

    >>> in_brief("Expected a <class 'float'>. Got value: fast")
    'expected float, got fast'
    """
    text = printable(" ".join(message.split()))
    key = _KEY.match(text)
    option, text = (f"{key[1]}: ", text[key.end() :]) if key else ("", text)
    of_class, one, union = _OF_CLASS.search(text), _ONE_TYPE.fullmatch(text), _UNION.search(text)
    if of_class is not None:
        text = f"{of_class[1]}: {of_class[2]}"
    elif one is not None:
        text = f"expected {_written(one[1])}, got {one[2]}"
    elif union is not None:
        kinds = [_written(kind) for kind in re.findall(r"- Expected an? (.+?)(?= - |$)", union[1])]
        text = f"expected {' or '.join(dict.fromkeys(kinds))}, got {union[2]}"
    text = f"{option}{text}"
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} ..."


def _written(kind: str) -> str:
    for pattern, text in _WRITTEN_AS:
        kind = pattern.sub(text, kind)
    return kind
