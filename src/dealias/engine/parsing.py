"""Command-line parsers that report in one line what is wrong with an option."""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Mapping
from numbers import Number
from typing import Any, NoReturn

from jsonargparse.typing import register_type

from dealias.code import in_brief
from dealias.engine.configs import ConfigError


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {value!r}")
    return value


# The type of arguments of torchvision's transforms; jsonargparse can read but not write it.
register_type(Number, lambda value: value, _number, fail_already_registered=False)


class FreeOptions(UserDict[str, Any]):
    """Options that the parser leaves alone: classes in them are created elsewhere."""


def _free(value: Any) -> FreeOptions:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected options by name, got {value!r}")
    return FreeOptions(value)


register_type(FreeOptions, lambda options: options.data, _free, fail_already_registered=False)


class BriefParser:
    """Mixin for a parser without abbreviated options, and with errors of one line.

    Attributes:
        listing: option that lists all options.
    """

    listing = "--help"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"allow_abbrev": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise an error that says what is wrong with the options.

        Raises:
            ConfigError: always.
        """
        hint = f"; {self.listing} lists the options"
        raise ConfigError(in_brief(message).removesuffix(hint) + hint) from ex

    def format_help(self, *arguments: Any, **options: Any) -> str:
        """The help, in which classes appear by name."""
        text: str = super().format_help(*arguments, **options)  # type: ignore[misc]
        return re.sub(r"<class\s+'([\w.]+)'>", r"\1", text)
