"""The de-aliasing filter: an ideal low-pass before a downsampling step."""

from typing import get_args

from torch import Tensor, nn

from dealias.spectral import (
    Backend,
    BandEdge,
    Border,
    Response,
    Transfer,
    check_choice,
    check_cutoff,
    check_response,
    lowpass,
    per_axis,
)


class DealiasingFilter(nn.Module):
    """Remove, before a sampling step, the frequencies that it cannot hold.

    See :func:`dealias.spectral.lowpass` for the arguments. The filter works along each axis by a
    cutoff of its own and has nothing to learn; its state dict is empty.

    >>> import torch
    >>> from dealias.spectral import nyquist_frequency
    >>> x = torch.randn(1, 64, 32, 48)
    >>> DealiasingFilter(nyquist_frequency(3, 2, 64, 128))(x).shape
    torch.Size([1, 64, 32, 48])
    """

    def __init__(
        self,
        cutoff: float | tuple[float, float],
        *,
        transfer: Transfer = "ideal",
        border: Border = "wrap",
        band_edge: BandEdge = "symmetric",
        rolloff: float = 0.5,
        order: int = 4,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.cutoff = per_axis("cutoff", cutoff, check_cutoff)
        check_choice("backend", backend, get_args(Backend))
        for c in self.cutoff:
            check_response(Response(c, transfer, border, band_edge, rolloff, order))
        self.transfer: Transfer = transfer
        self.border: Border = border
        self.band_edge: BandEdge = band_edge
        self.rolloff = rolloff
        self.order = order
        self.backend: Backend = backend

    @classmethod
    def for_stride(cls, stride: int | tuple[int, int]) -> "DealiasingFilter":
        """The filter of the textbook, cut at half the rate that the stride alone gives.

        Blind to the channels that the step adds, it removes more than it must (Grabinski et al.,
        "FrequencyLowCut Pooling", ECCV 2022).

        >>> DealiasingFilter.for_stride(2)
        DealiasingFilter(cutoff=(0.25, 0.25))
        """
        rows, columns = per_axis("stride", stride, lambda _, value: value)
        if min(rows, columns) < 1:
            raise ValueError(f"stride must be positive, got {stride!r}")
        return cls((0.5 / rows, 0.5 / columns))

    def forward(self, x: Tensor) -> Tensor:
        """Filter x [..., H, W]."""
        return lowpass(
            x,
            self.cutoff,
            transfer=self.transfer,
            border=self.border,
            band_edge=self.band_edge,
            rolloff=self.rolloff,
            order=self.order,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        """Cutoff, and what differs from the default."""
        parts = [f"cutoff=({self.cutoff[0]:.4g}, {self.cutoff[1]:.4g})"]
        if self.transfer != "ideal":
            parts.append(f"transfer={self.transfer!r}")
        if self.border != "wrap":
            parts.append(f"border={self.border!r}")
        if self.band_edge != "symmetric":
            parts.append(f"band_edge={self.band_edge!r}")
        return ", ".join(parts)
