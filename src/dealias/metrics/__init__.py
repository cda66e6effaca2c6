"""Hard-pixel metrics: functions in `functional`, and a torchmetrics class that uses them."""

from typing import TYPE_CHECKING, Any

from dealias.metrics import functional

if TYPE_CHECKING:
    from dealias.metrics.hard_pixel_errors import HardPixelErrors

__all__ = ["HardPixelErrors", "functional"]


def __getattr__(name: str) -> Any:
    if name == "HardPixelErrors":
        from dealias.metrics.hard_pixel_errors import HardPixelErrors

        return HardPixelErrors
    raise AttributeError(f"module 'dealias.metrics' has no attribute {name!r}")
