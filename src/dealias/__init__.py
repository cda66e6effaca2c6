"""Where and why segmentation networks fail at fine structure, and a cure for part of it.

Subpackages are imported on first use, so that ``import dealias`` stays light:

>>> import dealias
>>> dealias.metrics.functional.banded_confusion  # doctest: +ELLIPSIS
<function banded_confusion at ...>
"""

import importlib
from importlib.metadata import version
from types import ModuleType

__version__ = version("dealias")

__all__ = [
    "__version__",
    "data",
    "demo",
    "evaluation",
    "labels",
    "layers",
    "metrics",
    "spectral",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"dealias.{name}")
    raise AttributeError(f"module 'dealias' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
