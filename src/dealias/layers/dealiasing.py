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
    per_axis,
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

    @classmethod
    def for_stride(cls, stride: int | tuple[int, int]) -> "DealiasingFilter":
        """Create a filter whose cutoff is the Nyquist frequency of the stride alone.

        Such a filter ignores the channels that the step adds, so it removes more than necessary
        (Grabinski et al., "FrequencyLowCut Pooling", ECCV 2022).

        >>> DealiasingFilter.for_stride(2)
        DealiasingFilter(cutoff=(0.25, 0.25))
        """
        rows, columns = per_axis("stride", stride, lambda _, value: value)
        if min(rows, columns) < 1:
            raise ValueError(f"stride: expected positive numbers, got {stride!r}")
        return cls((0.5 / rows, 0.5 / columns))

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
