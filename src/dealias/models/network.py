"""What every network is to the code that trains, tests and runs it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dealias import surgery

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_EXAMPLE_SIZE = (128, 160)
_DEALIAS_OPTIONS = ("cutoff", "filter", "filter_options", "mixing", "mixing_options", "sites")


class ModelError(ValueError):
    """There is no such network, or it can't be built as asked."""


class Network(nn.Module):
    """A backbone and its heads.

    Images are float32 `[B, 3, H, W]`: RGB in [0, 1], minus `mean`, divided by `std`.

    Attributes:
        backbone: the part that may come with pretrained weights; the rest are heads.
        num_classes: number of classes, without background.
        config: the arguments that build the network again, plain enough for JSON.
        mean: per channel, subtracted from RGB in [0, 1].
        std: per channel, by which the difference is divided.
        dealias_report: what :func:`dealias.dealias` inserted into the backbone; None if it was not
            called.
    """

    backbone: nn.Module

    def __init__(
        self, *, num_classes: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.mean = mean
        self.std = std
        self.config: dict[str, Any] = {}
        self.dealias_report: surgery.Report | None = None


def check_arguments(
    *,
    num_classes: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    **mappings: Mapping[str, Any] | None,
) -> None:
    """Check the arguments that all networks share.

    Raises:
        ModelError: `num_classes` is not a positive integer, `mean` or `std` is not three finite
            numbers, one of `std` is not positive, or one of `mappings` is not a mapping.
    """
    check_positive("num_classes", num_classes)
    for name, mapping in mappings.items():
        if mapping is not None and not isinstance(mapping, Mapping):
            raise ModelError(f"{name}: expected a mapping, got {mapping!r}")
    check_normalization(mean, std)


def check_normalization(mean: Any, std: Any) -> None:
    """Raise ModelError unless `mean` and `std` are three finite numbers each, or None.

    Those of `std` must be positive.
    """
    for name, value, least, kind in (
        ("mean", mean, -math.inf, "finite"),
        ("std", std, 0, "positive finite"),
    ):
        if value is not None and not (
            isinstance(value, list | tuple)
            and len(value) == 3
            and all(
                isinstance(part, int | float) and type(part) is not bool and least < part < math.inf
                for part in value
            )
        ):
            raise ModelError(
                f"{name}: expected three {kind} numbers, one for each of R, G and B, got {value!r}"
            )


def check_positive(name: str, value: Any) -> None:
    """Raise ModelError unless `value` is a positive integer."""
    if type(value) is not int or value < 1:
        raise ModelError(f"{name}: expected a positive integer, got {value!r}")


def finish(network: Network, config: Mapping[str, Any], dealias: Mapping[str, Any] | None) -> None:
    """De-alias the backbone of a network in place if asked to, and store its configuration.

    Args:
        network: the network.
        config: arguments that build it again, apart from `dealias`.
        dealias: arguments of :func:`dealias.dealias`; None leaves the backbone unchanged.

    Raises:
        ModelError: `dealias` is not a mapping, or has an unknown option.
    """
    if dealias is not None:
        if not isinstance(dealias, Mapping):
            raise ModelError(f"dealias: expected a mapping, got {dealias!r}")
        unknown = [key for key in dealias if key not in _DEALIAS_OPTIONS]
        if unknown:
            raise ModelError(
                f"dealias: expected options among {', '.join(_DEALIAS_OPTIONS)}, "
                f"got {', '.join(map(repr, unknown))}"
            )
        given = {k: _as_tuples(v) if k == "cutoff" else v for k, v in dealias.items()}
        example = torch.zeros(1, 3, *_EXAMPLE_SIZE)
        _, report = surgery.dealias(network.backbone, example, inplace=True, **given)
        network.dealias_report = report
    network.config = _plain({**config, "dealias": dealias})


def _as_tuples(value: Any) -> Any:
    """Cutoffs by (row, column), which configuration files store as lists."""
    if isinstance(value, Mapping):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
