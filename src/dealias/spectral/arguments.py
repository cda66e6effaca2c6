"""Check arguments, and whether PyTorch is tracing."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter

T = TypeVar("T")


def per_axis(name: str, value: T | tuple[T, T], check: Callable[[str, T], T]) -> tuple[T, T]:
    """Check one number for both axes, or a pair (row, column), and return the pair."""
    if not isinstance(value, tuple | list):
        checked = check(name, value)
        return checked, checked
    if len(value) != 2:
        raise ValueError(f"{name}: expected one number or (row, column), got {value!r}")
    return check(name, value[0]), check(name, value[1])


def check_cutoff(name: str, value: float) -> float:
    """Check a frequency in (0, 0.5] cycles per pixel."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 0.5:
        raise ValueError(f"{name}: expected a number in (0, 0.5] cycles per pixel, got {value!r}")
    return float(value)


def check_maps(x: Tensor) -> None:
    """Check that x is a real floating-point tensor with two non-empty spatial dimensions."""
    if not isinstance(x, Tensor):
        raise ValueError(f"x: expected a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise ValueError(f"x: expected real floating-point numbers, got {x.dtype}")
    if x.ndim < 2 or x.shape[-1] == 0 or x.shape[-2] == 0:
        raise ValueError(
            "x: expected [..., H, W] with at least 2 dimensions and H, W > 0, "
            f"got shape {tuple(x.shape)}"
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check a string against its choices."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def is_traced() -> bool:
    """Whether PyTorch is compiling or exporting; sizes may then be symbolic."""
    by_torchscript: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return by_torchscript or torch.compiler.is_compiling()


def is_plain(x: Tensor) -> bool:
    """Whether x is a plain tensor, not of a subclass, and PyTorch is not tracing."""
    return not is_traced() and type(x) in (Tensor, Parameter)
