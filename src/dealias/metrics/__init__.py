"""Metrics for label maps: functions in `functional`, and torchmetrics classes that use them."""

import importlib
from typing import TYPE_CHECKING, Any

from dealias.metrics import functional

if TYPE_CHECKING:
    from dealias.metrics.hard_pixel_errors import HardPixelErrors
    from dealias.metrics.shift_agreement import ShiftAgreement

__all__ = ["HardPixelErrors", "ShiftAgreement", "functional"]

_CLASSES = {"HardPixelErrors": "hard_pixel_errors", "ShiftAgreement": "shift_agreement"}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:  # these need torchmetrics
        return getattr(importlib.import_module(f"dealias.metrics.{_CLASSES[name]}"), name)
    raise AttributeError(f"module 'dealias.metrics' has no attribute {name!r}")
