"""Paths in configuration files, which are relative to the file that contains them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


class Placed(str):
    """A string from a configuration file, which knows the folder of that file."""

    folder: Path

    def __new__(cls, text: str, folder: Path) -> Placed:
        """Create the string."""
        placed = super().__new__(cls, text)
        placed.folder = folder
        return placed


def place(options: Any, folder: Path) -> Any:
    """Attach the folder of a file to all strings in its options."""
    if isinstance(options, Mapping):
        return {key: place(value, folder) for key, value in options.items()}
    if isinstance(options, list):
        return [place(value, folder) for value in options]
    return Placed(options, folder) if isinstance(options, str) else options


def settle(value: Any, kind: Any = None) -> Any:
    """Turn :class:`Placed` strings into plain ones, and resolve those whose type is a path.

    Args:
        value: options from a file.
        kind: their type; for a mapping, types by key, or a class or function that takes them as
            arguments. If the type allows both a path and a name (``Path | str``), a single word
            without a suffix is taken as a name and stays unchanged.

    >>> settle(place({"a": "x", "b": "x", "c": "x", "d": "x.pth"}, Path("/f")),
    ...        {"a": Path, "b": str, "c": Path | str, "d": Path | str | None})
    {'a': '/f/x', 'b': 'x', 'c': 'x', 'd': '/f/x.pth'}
    >>> settle(place("x", Path("/f")), str | list[int])
    'x'
    """
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, Placed):
        return _settle_text(value, members)
    if isinstance(value, list):
        several = [m for m in members if get_origin(m) in (list, Iterable) and get_args(m)]
        of = get_args(several[0])[0] if several else None
        return [settle(item, of) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "class_path" in value:
        named = {"class_path": str, "init_args": _find(str(value["class_path"]), members)}
        for member in members:
            named = option_types(member) | named
        return {key: settle(item, named.get(key)) for key, item in value.items()}
    types: dict[str, Any] = {}
    for member in members:
        types |= option_types(member)
    return {key: settle(item, types.get(key)) for key, item in value.items()}


def _settle_text(value: Placed, members: tuple[Any, ...]) -> str:
    if not any(_is_class(m) and issubclass(m, os.PathLike) for m in members):
        return str(value)
    is_name = str in members and Path(value).name == value and not Path(value).suffix
    return str(value) if is_name else str(value.folder / Path(value).expanduser())


def _is_class(kind: Any) -> bool:
    return isinstance(kind, type) and get_origin(kind) is None  # list[int] is a type in Python 3.10


def option_types(kind: Any) -> dict[str, Any]:
    """Types of the arguments of a class or function; a mapping is returned as it is."""
    if isinstance(kind, Mapping):
        return dict(kind)
    if kind is None or not callable(kind) or get_origin(kind) is not None:
        return {}
    function: Any = kind.__init__ if _is_class(kind) else kind
    names = vars(sys.modules[function.__module__]) if hasattr(function, "__module__") else {}
    types: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        with suppress(NameError, TypeError):  # types imported for type checkers only
            types |= get_type_hints(SimpleNamespace(__annotations__={name: annotation}), names)
    return types


def _find(class_path: str, members: tuple[Any, ...]) -> Any:
    """A class by its path, or by its name alone if it is one of the members or their subclasses."""
    module, _, name = class_path.rpartition(".")
    if not module:
        kinds: list[Any] = [member for member in members if _is_class(member)]
        for kind in kinds:  # the list grows during the loop
            kinds += [sub for sub in type.__subclasses__(kind) if sub not in kinds]
        return next((kind for kind in kinds if kind.__name__ == name), None)
    try:
        return getattr(importlib.import_module(module), name, None)
    except Exception:  # importing runs the module; its errors are reported on creation
        return None
