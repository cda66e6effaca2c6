"""Where the map is among the arguments of a module."""

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from dealias.surgery.shapes import Layout

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
