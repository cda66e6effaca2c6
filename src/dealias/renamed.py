"""Public names that have changed, under their earlier name for one minor version."""

import pkgutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module whose earlier names still work, with a warning.

    Args:
        module: name of the module.
        names: earlier names, each with the path of what it is now.
    """

    def getattribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {names[name]}", DeprecationWarning, stacklevel=2)
        return pkgutil.resolve_name(names[name])

    return getattribute
