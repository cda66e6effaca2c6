"""Whether a function runs on numbers, or is being written down as a graph."""

import torch
from torch import Tensor
from torch.nn import Parameter


def is_traced() -> bool:
    """Whether PyTorch is compiling or exporting: sizes may then stand for any number."""
    by_torchscript: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return by_torchscript or torch.compiler.is_compiling()


def is_plain(x: Tensor) -> bool:
    """Whether x is no subclass, and nothing is being traced."""
    return not is_traced() and type(x) in (Tensor, Parameter)
