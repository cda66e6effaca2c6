"""Plans list the sites of a network, and the steps that are not sites."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, cast, overload

from torch import Tensor

from dealias.surgery.resolution import Layout, Pair
from dealias.text import html_table

Rate = float | tuple[float, float]
Key = int | str  # number of a positional argument, or name of a keyword argument
Where = Literal["auto", "before", "after"]  # the place of filters
UnitOf = Literal["block", "step"]  # what the unit of a strided depthwise convolution is


@dataclass(frozen=True)
class Place:
    """Tells which argument of a module holds the map, and in which layout.

    Attributes:
        layout: "channels_first" [B, C, H, W], "channels_last" [B, H, W, C] or "tokens"
            [B, H * W, C].
        argument: number or name of the argument.
        grid: number or name of the argument that holds (H, W), for tokens.

    >>> import torch
    >>> place = Place("channels_last", 0)
    >>> place.take((torch.zeros(1, 4, 6, 8),), {}).shape
    torch.Size([1, 8, 4, 6])
    """

    layout: Layout
    argument: Key
    grid: Key | None = None

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the map [B, C, H, W] from the arguments of a call."""
        x: Tensor = _get(args, kwargs, self.argument)
        if self.layout == "channels_first":
            return x
        if self.layout == "channels_last":
            return x.permute(0, 3, 1, 2)
        height, width = _get(args, kwargs, self.grid)
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], height, width)

    def put(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], maps: Tensor
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with the map replaced by another, [B, C, H, W]."""
        if self.layout == "channels_last":
            maps = maps.permute(0, 2, 3, 1)
        elif self.layout == "tokens":
            maps = maps.flatten(2).transpose(1, 2)
        if isinstance(self.argument, str):
            return args, {**kwargs, self.argument: maps}
        return (*args[: self.argument], maps, *args[self.argument + 1 :]), kwargs


@dataclass(frozen=True)
class Branch:
    """A strided module of a site, and where its map is filtered after its activation.

    Attributes:
        step: dotted path of the strided module, which then runs at stride 1. Empty for average
            pooling, and for a 1x1 convolution that no activation follows, like that of a shortcut:
            these are linear, so their input can be filtered instead.
        stride: (row, column).
        at: dotted path of the module at which the map is filtered and subsampled.
        place: which argument of `at` holds the map; None for the output of `at`.
        channels: number of channels of the map that is filtered.
        same: see :class:`dealias.layers.Subsample`.
        dense: dotted paths of the modules whose map is larger than in the plain network.
    """

    step: str
    stride: Pair
    at: str
    place: Place | None
    channels: int
    same: Pair | None = None
    dense: frozenset[str] = field(default=frozenset(), repr=False)


def _get(args: tuple[Any, ...], kwargs: dict[str, Any], key: Key | None) -> Any:
    return args[key] if isinstance(key, int) else kwargs[cast(str, key)]


@dataclass(frozen=True)
class Site:
    """A downsampling step, and the module it belongs to.

    Attributes:
        name: dotted path of the unit, the smallest module that takes the map at the high resolution
            and returns it at the low one. If there is no such module, the path of the module that
            runs the step, a colon and the kind of the step, numbered from the second one on;
            ``place`` is then None.
        kind: "convolution", "patch_embedding", "patch_merging", "max_pool", "avg_pool",
            "pixel_unshuffle", "slicing", "interpolation" or "adaptive_pool", which includes
            interpolation with mode "area". With several branches, the kind of the main branch,
            which is the learned one with the largest kernel.
        kernel: (row, column).
        stride: (row, column); whole numbers, except for interpolation and adaptive pooling.
        in_channels: channels of the input of the unit.
        out_channels: channels of the output of the unit.
        esr: equivalent sampling rate as published; one for each axis if they differ.
        nyquist: Nyquist frequency in cycles per pixel of the input. It is at least that of the
            stride, and equals that of the stride for a filter after the activation. One for each
            axis if they differ.
        input_size: (H, W) in the recorded pass.
        output_size: (H, W) in the recorded pass.
        step: dotted path of the module that runs the step; with several branches, the main one.
        place: which argument of the unit holds the map; None if no filter can or should be inserted
            before the unit.
        reason: why :func:`dealias.dealias` does not filter the site by default; empty if it does.
        call: number of the unit's call in a pass, from 0.
        others: further steps at which the module runs, as sites with names ending in "#2", "#3" and
            so on.
        branches: where each branch is filtered after its activation; empty if the site isn't
            filtered there.
    """

    name: str
    kind: str
    kernel: Pair
    stride: tuple[float, float]
    in_channels: int
    out_channels: int
    esr: Rate
    nyquist: Rate
    input_size: Pair
    output_size: Pair
    step: str
    place: Place | None
    reason: str
    call: int = 0
    others: tuple["Site", ...] = ()
    branches: tuple[Branch, ...] = ()

    @property
    def uses(self) -> tuple["Site", ...]:
        """All steps at which the module runs, in order; one if it is not shared."""
        return replace(self, others=()), *self.others

    @property
    def filtered(self) -> str:
        """Where :func:`dealias.dealias` filters the site by default; empty if it does not."""
        if self.reason:
            return ""
        return "after" if self.branches else "before"

    @property
    def row(self) -> dict[str, str]:
        """Return the site as a row of the table."""
        channels = [f"{use.in_channels} -> {use.out_channels}" for use in self.uses]
        sizes = [f"{_size(use.input_size)} -> {_size(use.output_size)}" for use in self.uses]
        name = self.name or "(model)"
        return {
            "site": f"{name} (shared, {len(sizes)} uses)" if self.others else name,
            "kind": self.kind,
            "kernel": _by(self.kernel),
            "stride": _by(self.stride),
            "channels": ", ".join(dict.fromkeys(channels)),
            "size": ", ".join(dict.fromkeys(sizes)),
            "ESR": rate_text(self.esr),
            "Nyquist": rate_text(self.nyquist),
            "filter": self.filtered,
            "left because": self.reason,
        }


@dataclass(frozen=True)
class MixingSite:
    """A spatial convolution inside a residual unit, after which frequencies can be mixed.

    Attributes:
        name: dotted path of the convolution.
        unit: dotted path of the residual unit.
        after: name of the downsampling site whose cutoff splits the frequencies.
        channels: channels of the output of the convolution.
        cutoff: Nyquist frequency of that site, in cycles per pixel.
        size: (H, W) of the output of the convolution in the recorded pass.
    """

    name: str
    unit: str
    after: str
    channels: int
    cutoff: Rate
    size: Pair

    @property
    def row(self) -> dict[str, str]:
        """Return the site as a row of the table."""
        return {
            "site": self.name,
            "unit": self.unit,
            "after": self.after,
            "channels": str(self.channels),
            "size": _size(self.size),
            "cutoff": rate_text(self.cutoff),
        }


@dataclass(frozen=True)
class Excluded:
    """A step that lowers the resolution but is not a site, and the reason."""

    name: str
    kind: str
    reason: str


S = TypeVar("S", Site, MixingSite)


@dataclass(frozen=True, repr=False)
class Plan(Sequence[S], Generic[S]):
    """The sites of a network in the order in which they run, by number or name; prints as a table.

    Attributes:
        sites: the sites.
        excluded: steps that lower the resolution but are not sites.
    """

    sites: tuple[S, ...]
    excluded: tuple[Excluded, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(site.name for site in self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __contains__(self, item: object) -> bool:
        return item in self.sites or item in self.names

    @overload
    def __getitem__(self, key: int | str) -> S: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[S, ...]: ...
    def __getitem__(self, key: int | str | slice) -> S | tuple[S, ...]:
        if not isinstance(key, str):
            return self.sites[key]
        for site in self.sites:
            if site.name == key:
                return site
        raise KeyError(f"no site {key!r}; there are: {', '.join(self.names) or 'none'}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"

    def __str__(self) -> str:
        return "\n".join(
            [*table([site.row for site in self]), *by_reason("no site", self.excluded)]
        )

    def _repr_html_(self) -> str:
        return html_table([site.row for site in self], *by_reason("no site", self.excluded))


def table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Return the lines of a table with a header and aligned columns.

    >>> print(*table([{"a": "1", "long": "2"}, {"a": "333", "long": "4"}]), sep="|")
    a    long|1    2|333  4
    """
    if not rows:
        return ["nothing found"]
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def by_reason(label: str, excluded: Iterable[Excluded]) -> list[str]:
    """Return a line for each reason, with its steps.

    >>> by_reason("left", [Excluded("a", "max_pool", "so"), Excluded("b", "max_pool", "so")])
    ['left: a, b: so']
    """
    names: dict[str, list[str]] = {}
    for step in excluded:
        names.setdefault(step.reason, []).append(step.name or f"(model) {step.kind}")
    return [f"{label}: {', '.join(steps)}: {reason}" for reason, steps in names.items()]


def _by(pair: tuple[float, float]) -> str:
    rows, columns = (f"{value:.3g}" for value in pair)
    return rows if rows == columns else f"{rows}x{columns}"


def _size(size: Pair) -> str:
    return f"{size[0]}x{size[1]}"


def rate_text(rate: Rate) -> str:
    """Format a rate with three decimals, for each axis if they differ."""
    if isinstance(rate, tuple):
        return f"{rate[0]:.3f}, {rate[1]:.3f}"
    return f"{rate:.3f}"
