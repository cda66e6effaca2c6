"""Let each image choose the samples that a strided step takes, and realign the output.

A step of stride s takes one of the s * s sets of samples of a map, which are called its phases.
Normally it always takes the phase of row 0 and column 0, whatever the image. If the phase is chosen
by the content of the image instead, the choice moves along when the image is shifted by a pixel.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dealias.spectral import check_choice, check_maps, is_traced

Pair = tuple[int, int]
Sampling = Literal["regular", "adaptive", "learned"]
CHOSEN: tuple[Sampling, ...] = ("adaptive", "learned")

_HIDDEN = 8  # channels of the network that chooses


class Offsets:
    """Positions of the samples of maps in the input of a network, given the phases it chose.

    An instance is true if any phase was chosen.

    Args:
        around: an enclosing collection, which gets the same choices.
    """

    def __init__(self, around: "Offsets | None" = None) -> None:
        self._around = around
        self._chosen: list[tuple[Tensor, int]] = []

    def __bool__(self) -> bool:
        return bool(self._chosen)

    def add(self, offset: Tensor, stride: int) -> None:
        """Add a step's choice, int64 [B, 2] in pixels, and the stride of the maps after it."""
        self._chosen.append((offset, stride))
        if self._around is not None:
            self._around.add(offset, stride)

    def at(self, stride: int | None = None) -> Tensor:
        """Return the position of the first sample of a map.

        Args:
            stride: stride of the map relative to the input of the network, in pixels; the larger
                one if those of rows and columns differ. None takes all choices so far into account.

        Returns:
            int64 [B, 2], (row, column) in pixels of the input; zeros, [1, 2], if no phase was
            chosen at all.
        """
        if not self._chosen:
            return torch.zeros(1, 2, dtype=torch.int64)
        start = torch.zeros_like(self._chosen[0][0])
        taken = (offset for offset, reached in self._chosen if stride is None or reached <= stride)
        return sum(taken, start)


class _Collecting(local):
    """The offsets that a thread collects."""

    offsets: Offsets | None = None


_COLLECTING = _Collecting()


@contextmanager
def collect_offsets() -> Iterator[Offsets]:
    """Collect the choices of every :class:`PolyphaseShift` in a forward pass inside the context.

    >>> shift = PolyphaseShift((2, 2), spacing=(4, 4))
    >>> x = torch.zeros(1, 1, 4, 4)
    >>> x[..., 3, 2] = 1
    >>> with collect_offsets() as offsets:
    ...     moved = shift(x)
    >>> offsets.at(8)
    tensor([[4, 0]])
    """
    around = _COLLECTING.offsets
    offsets = _COLLECTING.offsets = Offsets(around)
    try:
        yield offsets
    finally:
        _COLLECTING.offsets = around


class PolyphaseShift(nn.Module):
    r"""Roll each map so that the next strided step takes the phase that the image chose.

    After a roll by (-p, -q), the samples of phase (p, q) are where the step takes those of phase
    (0, 0). All layers between here and the step see the rolled map, so all branches of a residual
    block take the same phase, and none has to run at stride 1. If a map is shifted circularly,
    another phase with the same samples is chosen, and the output of the step is the same, shifted
    by whole samples. This holds up to rounding, with circular padding in every layer, along each
    axis whose length is a multiple of the strides. With zero padding it holds only away from the
    borders, and up to s - 1 rows and columns of one side appear at the other.

    "adaptive" chooses the phase with the largest norm,

    .. math:: \arg\max_{p, q} \sum_{c, i, j} x_c(s i + p, s j + q)^2,

    from Chaman and Dokmanic, "Truly Shift-Invariant Convolutional Neural Networks" (CVPR 2021).
    "learned" chooses the phase with the largest mean score, computed by two small convolutions that
    all phases share, from Rojas-Gomez et al., "Learnable Polyphase Sampling for Shift Invariant and
    Equivariant Convolutional Networks" (NeurIPS 2022). In training, its choice is drawn from the
    softmax of the scores, and their gradient is that of the softmax (straight-through
    Gumbel-softmax at a temperature of 1). In evaluation nothing is random.

    Of phases with equal scores the first is chosen. This commutes with shifts if the phases are
    identical, as in a constant map, but not if they differ. An image that equals a shifted copy of
    itself, such as stripes, has no choice that commutes with all shifts. If a map has no power at
    or above the Nyquist frequency of the step, the norms of all phases are equal, and rounding
    decides. So choose before an ideal low-pass, not after it.

    Args:
        stride: (row, column) of the step.
        sampling: "adaptive" or "learned".
        channels: number of channels C of the maps, for "learned".
        spacing: (row, column), distance between samples of the map in pixels of the network's
            input, for :func:`collect_offsets`.

    Raises:
        ValueError: an argument is out of range, or "learned" lacks the channels; in the forward
            pass, x is not [B, C, H, W], is smaller than the stride, or has other channels.

    >>> x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> shift = PolyphaseShift((2, 2))
    >>> def samples(x):
    ...     return shift(x)[..., ::2, ::2].flatten(1).sort().values
    >>> torch.equal(samples(x), samples(x.roll((3, 1), (2, 3))))
    True
    """

    def __init__(
        self,
        stride: Pair,
        sampling: Sampling = "adaptive",
        *,
        channels: int | None = None,
        spacing: Pair = (1, 1),
    ) -> None:
        super().__init__()
        check_choice("sampling", sampling, CHOSEN)
        for name, pair in (("stride", stride), ("spacing", spacing)):
            whole = isinstance(pair, tuple) and len(pair) == 2 and all(type(n) is int for n in pair)
            if not whole or min(pair) < 1:
                raise ValueError(f"{name}: expected two positive integers, got {pair!r}")
        self.stride = stride
        self.spacing = spacing
        self.sampling = sampling
        self.score: nn.Module | None = None
        if sampling == "learned":
            if type(channels) is not int or channels < 1:
                raise ValueError(
                    f"channels: expected a positive integer, for 'learned', got {channels!r}"
                )
            # Neighbours within a phase are a stride apart.
            self.score = nn.Sequential(
                nn.Conv2d(channels, _HIDDEN, 3, dilation=stride),
                nn.ReLU(),
                nn.Conv2d(_HIDDEN, 1, 1, bias=False),  # a bias would not distinguish phases
            )

    def forward(self, x: Tensor) -> Tensor:
        """Roll x, [B, C, H, W], by the phase of each image."""
        self._check(x)
        scores = self.scores(x)
        soft = None
        if self.training and self.score is not None:
            soft = nn.functional.gumbel_softmax(scores)
        chosen = (scores if soft is None else soft).argmax(1)
        columns = self.stride[1]
        phase = torch.stack([chosen // columns, chosen % columns], 1)
        offsets = _COLLECTING.offsets
        if offsets is not None:
            pixels = zip(phase.unbind(1), self.spacing, strict=True)
            reached = max(self.stride[0] * self.spacing[0], self.stride[1] * self.spacing[1])
            offsets.add(torch.stack([p * spacing for p, spacing in pixels], 1), reached)
        moved = roll_each(x, -phase, (x.shape[-2], x.shape[-1]))
        if soft is None or not torch.is_grad_enabled():
            return moved
        # This adds 0, and passes the gradient on to the scores.
        slope = (soft - soft.detach()).to(x.dtype)[:, :, None, None, None]
        for number in range(slope.shape[1]):
            shifts = (-(number // columns), -(number % columns))
            moved = moved + slope[:, number] * x.detach().roll(shifts, (2, 3))
        return moved

    def scores(self, x: Tensor) -> Tensor:
        """Score the phases of x, [B, C, H, W]; returns [B, s * s], the phases of row 0 first."""
        # Use three axes, so that the strided slices below are not mistaken for a step of the
        # network.
        if self.score is not None:
            per_pixel = self.score(_wrap(x, self.stride))[:, 0]
        else:
            per_pixel = (x if x.dtype == torch.float64 else x.float()).square().sum(1)
        # The order of summation, which differs for a shifted map, must not decide between phases.
        dtype = torch.float32 if x.device.type == "mps" else torch.float64
        rows, columns = self.stride
        phases = [per_pixel[:, p::rows, q::columns] for p in range(rows) for q in range(columns)]
        return torch.stack([phase.mean((1, 2), dtype=dtype) for phase in phases], 1)

    def _check(self, x: Tensor) -> None:
        check_maps(x)
        if x.ndim != 4:
            raise ValueError(f"x: expected [B, C, H, W], got {tuple(x.shape)}")
        if not is_traced() and (x.shape[2] < self.stride[0] or x.shape[3] < self.stride[1]):
            raise ValueError(
                f"x: expected a map of at least {self.stride[0]} x {self.stride[1]}, a sample of "
                f"each phase, got {x.shape[2]} x {x.shape[3]}"
            )

    def extra_repr(self) -> str:
        """Return the stride, sampling and spacing."""
        return f"stride={self.stride}, sampling={self.sampling!r}, spacing={self.spacing}"


def _wrap(x: Tensor, by: Pair) -> Tensor:
    """Pad [B, C, H, W] with rows and columns of the opposite side.

    PyTorch's circular padding is faster, but fixes the sizes in TorchScript graphs.
    """
    if not is_traced():
        return nn.functional.pad(x, (by[1], by[1], by[0], by[0]), mode="circular")
    for axis in (2, 3):
        more, length = by[axis - 2], x.shape[axis]
        x = x.index_select(axis, _places(length + 2 * more, more, length, x.device))
    return x


def roll_each(x: Tensor, shifts: Tensor, size: Pair) -> Tensor:
    """Roll each map by its own shift, and crop or repeat it to a size.

    Args:
        x: [B, C, H, W].
        shifts: int64 [B, 2], shift of each map by (row, column).
        size: (height, width) of the result; beyond their end, maps repeat.

    Returns:
        [B, C, height, width].

    >>> x = torch.tensor([[[[1, 2, 3]]], [[[4, 5, 6]]]])
    >>> roll_each(x, torch.tensor([[0, 1], [0, 0]]), (1, 3)).flatten(1)
    tensor([[3, 1, 2],
            [4, 5, 6]])
    """
    rows, columns = (
        _places(size[axis], shifts[:, axis, None], x.shape[2 + axis], x.device) for axis in (0, 1)
    )
    images = torch.arange(x.shape[0], device=x.device)[:, None, None]
    taken = x.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]]
    return taken.permute(0, 3, 1, 2)


def _places(count: int, shift: Tensor | int, length: int, device: torch.device) -> Tensor:
    """Return where rolled samples come from; exporters to ONNX support neither % nor negatives."""
    places = torch.arange(count, device=device) - shift
    places = torch.where(places < 0, places + length, places)
    return torch.where(places < length, places, places - length)


def polyphase_upsample(x: Tensor, size: Pair, factor: int, offset: Tensor) -> Tensor:
    """Upsample maps bilinearly and circularly, aligned with where their samples were taken.

    For an offset of 0 and away from the borders, the result equals that of
    :func:`torch.nn.functional.interpolate` between pixel centres.

    Args:
        x: [B, C, H, W].
        size: (height, width) of the result.
        factor: upsampling factor along both axes.
        offset: int64 [B, 2], position of the first sample of x, (row, column) in samples of the
            result.

    Returns:
        [B, C, height, width].

    Raises:
        ValueError: x is not [B, C, H, W], or `factor` is not positive.

    >>> x = torch.tensor([[[[0.0, 4.0]]]])
    >>> polyphase_upsample(x, (1, 4), 2, torch.tensor([[0, 1]])).squeeze()
    tensor([3., 1., 1., 3.])
    """
    check_maps(x)
    if x.ndim != 4:
        raise ValueError(f"x: expected [B, C, H, W], got {tuple(x.shape)}")
    if type(factor) is not int or factor < 1:
        raise ValueError(f"factor: expected a positive integer, got {factor!r}")
    if factor > 1:
        x = _wrap(x, (1, 1))
        larger = x.shape[2] * factor, x.shape[3] * factor
        x = nn.functional.interpolate(x, size=larger, mode="bilinear", align_corners=False)
        x = x[..., factor:-factor, factor:-factor]
    return roll_each(x, offset, size)


def check_sampling(sampling: str) -> None:
    """Raise ValueError unless `sampling` is "regular", "adaptive" or "learned"."""
    check_choice("sampling", sampling, get_args(Sampling))
