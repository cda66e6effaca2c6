"""What was found in a network: sites, where their maps are, and the steps that are none."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from torch import Tensor

from dealias.surgery.resolution import Layout, Pair

Rate = float | tuple[float, float]
Key = int | str  # of a positional argument, or of one by name


@dataclass(frozen=True)
class Place:
    """Which argument of a module holds the map, and how.

    Attributes:
        layout: "channels_first" (B, C, H, W), "channels_last" (B, H, W, C) or "tokens"
            (B, H * W, C).
        argument: number or name of the argument.
        grid: that of the argument with (H, W), for tokens.

    >>> import torch
    >>> place = Place("channels_last", 0)
    >>> place.take((torch.zeros(1, 4, 6, 8),), {}).shape
    torch.Size([1, 8, 4, 6])
    """

    layout: Layout
    argument: Key
    grid: Key | None = None

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """The map, as (B, C, H, W), from the arguments of a call."""
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
        """The arguments of the call with another map (B, C, H, W) in place of its own."""
        if self.layout == "channels_last":
            maps = maps.permute(0, 2, 3, 1)
        elif self.layout == "tokens":
            maps = maps.flatten(2).transpose(1, 2)
        if isinstance(self.argument, str):
            return args, {**kwargs, self.argument: maps}
        return (*args[: self.argument], maps, *args[self.argument + 1 :]), kwargs


def _get(args: tuple[Any, ...], kwargs: dict[str, Any], key: Key | None) -> Any:
    return args[key] if isinstance(key, int) else kwargs[cast(str, key)]


@dataclass(frozen=True)
class Site:
    """A downsampling step and the module it belongs to.

    Attributes:
        name: dotted path of the unit, the smallest module that takes the high resolution in and
            gives the low one out. Where there is none, the module that runs the step and the kind
            of the step, joined by a colon, with its number from the second on; then
            ``place`` is None.
        kind: "convolution", "patch_embedding", "patch_merging", "max_pool", "avg_pool",
            "pixel_unshuffle", "slicing" or "interpolation"; of several branches, that of the
            learned one with the largest kernel.
        kernel: (row, column).
        stride: (row, column); whole numbers, except for interpolation.
        in_channels: channels that enter the unit.
        out_channels: channels that leave it.
        esr: equivalent sampling rate, per axis where the axes differ.
        nyquist: in cycles per pixel of the input, per axis where the axes differ.
        input_size: (H, W) in the recorded pass.
        output_size: (H, W) in the recorded pass.
        step: dotted path of the module that runs the step: of a unit of several branches, the one
            named under `kind`.
        place: where the map is among the arguments of the unit, and in which layout; None where a
            filter cannot be put before it.
        reason: why :func:`dealias.dealias` leaves the site by default; empty if it filters it.
        call: which call of the unit it is in a pass, from 0 on.
        others: of a module that runs at several steps, the further ones, as sites whose names end
            in "#2", "#3" and so on.
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

    @property
    def uses(self) -> tuple["Site", ...]:
        """The steps at which the module runs, in their order: one, where it is not shared."""
        return replace(self, others=()), *self.others

    @property
    def row(self) -> dict[str, str]:
        """The site as a row of the table."""
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
            "left because": self.reason,
        }


@dataclass(frozen=True)
class MixingSite:
    """A spatial convolution inside a residual unit, after which frequencies can be mixed.

    Attributes:
        name: dotted path of the convolution.
        unit: dotted path of the residual unit.
        after: name of the downsampling site whose cutoff splits the frequencies.
        channels: of the convolution's output.
        cutoff: Nyquist frequency of that site, in cycles per pixel.
        size: (H, W) of the convolution's output in the recorded pass.
    """

    name: str
    unit: str
    after: str
    channels: int
    cutoff: Rate
    size: Pair

    @property
    def row(self) -> dict[str, str]:
        """The site as a row of the table."""
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
    """A step at which the resolution falls that is no site, and why."""

    name: str
    kind: str
    reason: str


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def row(self) -> dict[str, str]: ...


S = TypeVar("S", bound=_Named)


@dataclass(frozen=True, repr=False)
class Plan(Sequence[S], Generic[S]):
    """The sites of a network in the order they run, by number or by name; prints as a table.

    Attributes:
        sites: what was found.
        excluded: steps at which the resolution falls that are no sites.
    """

    sites: tuple[S, ...]
    excluded: tuple[Excluded, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(site.name for site in self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __iter__(self) -> Iterator[S]:
        return iter(self.sites)

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
        lines = table([site.row for site in self.sites])
        return "\n".join([*lines, *by_reason("no site", self.excluded)])


def table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Lines of a table with a header, columns aligned.

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
    """A line for each reason, with the steps that it holds for.

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
    """One number, or one for each axis, with three decimals."""
    if isinstance(rate, tuple):
        return f"{rate[0]:.3f}, {rate[1]:.3f}"
    return f"{rate:.3f}"
