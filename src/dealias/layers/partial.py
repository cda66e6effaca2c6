"""A filter with adjustable strength, to introduce filters gradually into a trained network."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from dealias.layers.blur import BlurFilter
from dealias.layers.dealiasing import DealiasingFilter
from dealias.layers.subsampling import Subsample

Strength = float | Literal["learned"]


class PartialFilter(nn.Module):
    r"""Move a map part of the way to its filtered version.

    .. math:: y = x + \lambda \, (F(x) - x)

    With a strength :math:`\lambda` of 0 it is exactly the identity, and with 1 exactly the filter.

    Args:
        filter: a module that keeps the shape of a map, [B, C, H, W].
        strength: strength in [0, 1], stored in the state dict and changed by :func:`set_strength`;
            or ``"learned"``, a parameter for each channel that starts at 0.
        channels: number of channels C, for a learned strength.

    Raises:
        ValueError: ``strength`` is out of range, or is learned for an unknown number of channels.

    >>> x = torch.randn(1, 8, 6, 6)
    >>> half = PartialFilter(nn.AvgPool2d(3, 1, 1), 0.5)
    >>> half(x).allclose((x + nn.functional.avg_pool2d(x, 3, 1, 1)) / 2, atol=1e-6)
    True
    """

    strength: Tensor

    def __init__(
        self,
        filter: nn.Module,  # noqa: A002
        strength: Strength,
        *,
        channels: int | None = None,
    ) -> None:
        super().__init__()
        self.filter = filter
        self.learned = check_strength(strength) == "learned"
        if not self.learned:
            self.register_buffer("strength", torch.tensor(float(strength)))
        elif channels is None:
            raise ValueError("channels: expected a number, for a strength that is learned")
        else:
            self.strength = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, sample: Subsample | None = None) -> Tensor:
        """Filter x, [B, C, H, W], and subsample it if `sample` is given."""
        strength = self.strength
        if self.learned:
            strength = clamp_to_unit(strength)[:, None, None]
        filtered = filter_sampled(self.filter, x, sample)
        x = x if sample is None else sample(x)
        # Under autocast, a filter may return another dtype.
        return torch.lerp(x, filtered.to(x.dtype), strength.to(x.dtype))

    def extra_repr(self) -> str:
        """Return the strength, or that it is learned."""
        return "learned" if self.learned else f"strength={float(self.strength):.4g}"


def filter_sampled(
    filter: nn.Module,  # noqa: A002
    x: Tensor,
    sample: Subsample | None,
) -> Tensor:
    """Filter x and subsample it; filters that support it compute only the samples."""
    fewer = sample is not None and isinstance(filter, _SAMPLED)
    filtered: Tensor = filter(x, sample) if fewer else filter(x)
    return filtered if sample is None or fewer else sample(filtered)


def check_strength(strength: Any) -> Strength:
    """Check a strength and return it.

    Raises:
        ValueError: it is neither a number in [0, 1] nor "learned".
    """
    is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if strength == "learned" or (is_number and 0 <= strength <= 1):
        known: Strength = strength
        return known
    raise ValueError(f"strength: expected a number in [0, 1] or 'learned', got {strength!r}")


def clamp_to_unit(values: Tensor) -> Tensor:
    """Clamp to [0, 1], with a gradient that leads values at or beyond the limits back inside.

    The gradient of :func:`torch.clamp` is 0 outside, so a value that an optimizer has moved out
    would stay there.

    >>> values = torch.tensor([-0.1, 0.0, 0.5, 1.0], requires_grad=True)
    >>> (clamp_to_unit(values) * torch.tensor([-1.0, 1.0, 1.0, -1.0])).sum().backward()
    >>> values.grad  # a descent moves against it
    tensor([-1.,  0.,  1.,  0.])
    """
    # TorchScript could not save the function.
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if torch.is_grad_enabled() and values.requires_grad and not traced:
        clamped: Tensor = _ClampToUnit.apply(values)
        return clamped
    return values.clamp(0, 1)


class _ClampToUnit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        outward = ((values <= 0) & (gradient > 0)) | ((values >= 1) & (gradient < 0))
        return gradient.masked_fill(outward, 0)


def set_strength(model: nn.Module, strength: float) -> int:
    """Set the strength of every :class:`PartialFilter` in a network, except learned ones.

    Args:
        model: any module.
        strength: in [0, 1].

    Returns:
        The number of filters that were set.

    Raises:
        ValueError: ``strength`` is not a number in [0, 1].
    """
    if check_strength(strength) == "learned":
        raise ValueError("strength: expected a number in [0, 1], got 'learned'")
    filters = [m for m in model.modules() if isinstance(m, PartialFilter) and not m.learned]
    with torch.no_grad():
        for module in filters:
            module.strength.fill_(strength)
    return len(filters)


_SAMPLED = DealiasingFilter, BlurFilter, PartialFilter
