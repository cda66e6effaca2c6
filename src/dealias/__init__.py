"""Show where and why segmentation networks fail at fine structure, and mend part of it.

Subpackages are imported on first use, so ``import dealias`` stays light:

>>> import dealias
>>> dealias.metrics.functional.banded_confusion  # doctest: +ELLIPSIS
<function banded_confusion at ...>
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dealias.surgery import dealias, restore

__version__ = version("dealias")

_FUNCTIONS = {"dealias": "surgery", "restore": "surgery"}

__all__ = [
    "__version__",
    "data",
    "dealias",
    "demo",
    "engine",
    "evaluation",
    "instance",
    "labels",
    "layers",
    "lowlight",
    "metrics",
    "models",
    "probe",
    "report",
    "restore",
    "spectral",
    "study",
    "surgery",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"dealias.{_FUNCTIONS[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"dealias.{name}")
    raise AttributeError(f"module 'dealias' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
