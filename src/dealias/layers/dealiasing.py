"""The de-aliasing filter: an ideal low-pass before a downsampling step."""

from torch import Tensor, nn

from dealias.layers.subsampling import Subsample
from dealias.spectral import (
    Backend,
    BandEdge,
    Border,
    Transfer,
    apply_lowpass,
    check_backend,
    check_maps,
    check_responses,
)


class DealiasingFilter(nn.Module):
    """Remove the frequencies that the next sampling step can't represent.

    See :func:`dealias.spectral.lowpass` for the arguments. The filter has no parameters, and its
    state dict is empty.

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
        self.responses = check_responses(
            cutoff,
            transfer=transfer,
            border=border,
            band_edge=band_edge,
            rolloff=rolloff,
            order=order,
        )
        check_backend(backend, *self.responses)
        self.backend: Backend = backend

    @property
    def cutoff(self) -> tuple[float, float]:
        """Cutoffs along the rows and the columns, in cycles per pixel."""
        rows, columns = self.responses
        return rows.cutoff, columns.cutoff

    def forward(self, x: Tensor, sample: Subsample | None = None) -> Tensor:
        """Filter x, [..., H, W]; with `sample`, compute only the samples that it takes."""
        check_maps(x)
        keep = None if sample is None else sample.kept(x)
        return apply_lowpass(x, *self.responses, self.backend, keep)

    def extra_repr(self) -> str:
        """Return the cutoff, and arguments that differ from their defaults."""
        rows, columns = self.responses
        parts = [f"cutoff=({rows.cutoff:.4g}, {columns.cutoff:.4g})"]
        if rows.transfer != "ideal":
            parts.append(f"transfer={rows.transfer!r}")
        if rows.border != "wrap":
            parts.append(f"border={rows.border!r}")
        if rows.band_edge != "symmetric":
            parts.append(f"band_edge={rows.band_edge!r}")
        if self.backend != "auto":
            parts.append(f"backend={self.backend!r}")
        return ", ".join(parts)
