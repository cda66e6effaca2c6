"""The interface of networks to the code that trains, tests and runs them."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dealias import surgery
from dealias.layers import CHOSEN

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
EXAMPLE_SIZE = (128, 160)  # size of images to run a network with

_LARGEST = 2**30  # values of a network's tensors, 4 GiB in float32
_MOST_TENSORS = 20_000
_BY_SIZE = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
_DEALIAS_OPTIONS = {
    name: parameter.default
    for name, parameter in signature(surgery.dealias).parameters.items()
    if name not in ("model", "example_input", "inplace")
}
# The defaults from before filters were placed after the activation.
EARLIER_PLACE, EARLIER_MIXING, EARLIER_BORDER = "before", True, "wrap"
# The behaviour of version 0.1. Configurations that it saved have no option "unit".
_EARLIER = {"place": EARLIER_PLACE, "unit": "step", "strength": 1.0}


class ModelError(ValueError):
    """There is no such network, or it can't be built with these arguments."""


class Network(nn.Module):
    """A backbone and its heads.

    Images are float32 `[B, 3, H, W]`: RGB in [0, 1], minus `mean`, divided by `std`.

    Attributes:
        backbone: the part that may have pretrained weights; the rest are heads.
        num_classes: number of classes, without background.
        config: the arguments that build the network again, as values that JSON can hold.
        mean: mean per channel, subtracted from RGB in [0, 1].
        std: standard deviation per channel, by which the difference is divided.
        dealias_report: what :func:`dealias.dealias` inserted into the backbone; None if it was not
            called.
        puts_back: whether the heads put maps back to the places where images chose their samples.
    """

    backbone: nn.Module
    puts_back: ClassVar[bool] = False

    def __init__(
        self, *, num_classes: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.mean = mean
        self.std = std
        self.config: dict[str, Any] = {}
        self.dealias_report: surgery.Report | None = None


def network_name(config: Mapping[str, Any]) -> str:
    """The name of the network in a configuration, or the path of its class."""
    return str(config.get("name") or config.get("class_path"))


@contextmanager
def limited() -> Iterator[None]:
    """Limit networks that are built inside to 2**30 values in at most 20,000 tensors.

    Options of a few bytes can request any size. A network over the limit is refused before its
    memory is allocated.

    Raises:
        ModelError: a network is larger.
    """
    with _Limited() as limits:
        try:
            yield
        except Exception as error:
            if limits.exceeded is not None:  # a library may have caught it
                raise limits.exceeded from error
            raise


class _Limited(TorchFunctionMode):
    """Counts the tensors that are created."""

    def __init__(self) -> None:
        super().__init__()
        self.exceeded: ModelError | None = None
        self._values = self._tensors = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        count = None
        if func in _BY_SIZE:
            count = _product(args or (given.get("size", ()),))
        elif func is torch.full:
            count = _product((args or (given.get("size", ()),))[:1])
        elif func is torch.linspace:
            count = _product((args[2] if len(args) > 2 else given.get("steps", 0),))
        elif func is torch.arange:
            numbers = [value for value in args if isinstance(value, int | float)]
            count = int(max(map(abs, numbers), default=0))
        if count is not None:
            self._values += count
            self._tensors += 1
            if self._values > _LARGEST or self._tensors > _MOST_TENSORS:
                self.exceeded = ModelError(
                    f"expected a network of at most {_LARGEST:,} values in {_MOST_TENSORS:,} "
                    f"tensors, got options of a larger one"
                )
                raise self.exceeded
        return func(*args, **given)


def _product(sizes: Sequence[Any]) -> int:
    whole = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else sizes
    return math.prod(int(size) for size in whole if isinstance(size, int | float))


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

    The numbers of `std` must be positive.
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
    """De-alias the backbone of a network in place if requested, and store its configuration.

    Args:
        network: the network.
        config: arguments that build it again, apart from `dealias`.
        dealias: arguments of :func:`dealias.dealias`; None leaves the backbone unchanged.

    Raises:
        ModelError: `dealias` is not a mapping or has an unknown option, or images choose their
            samples and the heads do not put them back.
    """
    settings = None
    if dealias is not None:
        _check_sampling(network, dealias)
        settings, network.dealias_report = _dealias(network.backbone, dealias, _example(network))
    network.config = _plain({**config, "dealias": settings})


def _check_sampling(network: Network, options: Any) -> None:
    sampling = options.get("sampling") if isinstance(options, Mapping) else None
    if sampling in CHOSEN and not network.puts_back:
        raise ModelError(
            f"dealias: sampling: expected 'regular' for {type(network).__name__}, whose heads do "
            f"not put samples back, got {sampling!r}"
        )


def _example(network: Network) -> Tensor:
    """An image of a size that the backbone accepts."""
    divisor = getattr(network, "size_divisor", 1)
    return torch.zeros(1, 3, *(-(-length // divisor) * divisor for length in EXAMPLE_SIZE))


def _dealias(
    backbone: nn.Module, options: Mapping[str, Any], example: Tensor
) -> tuple[dict[str, Any], surgery.Report]:
    """De-alias a backbone in place, and return all options with the resulting sites and cutoffs.

    Defaults may change between versions, but a saved network must not.
    """
    if not isinstance(options, Mapping):
        raise ModelError(f"dealias: expected a mapping, got {options!r}")
    unknown = [key for key in options if key not in _DEALIAS_OPTIONS]
    if unknown:
        raise ModelError(
            f"dealias: expected options among {', '.join(sorted(_DEALIAS_OPTIONS))}, "
            f"got {', '.join(map(repr, unknown))}"
        )
    given = {k: _as_tuples(v) if k == "cutoff" else v for k, v in options.items()}
    try:
        _, report = surgery.dealias(backbone, example, inplace=True, **given)
    except ValueError:
        raise
    except Exception as error:  # options of wrong types may fail anywhere
        raise ModelError(f"dealias: {type(error).__name__}: {error}") from error
    cutoffs = {item.site: item.cutoff for item in report.inserted if item.cutoff is not None}
    settled = {**_DEALIAS_OPTIONS, **options, "cutoff": cutoffs}
    defaults = surgery.FILTER_OPTIONS.get(settled["filter"])
    if defaults is not None:
        settled["filter_options"] = {**defaults, **(settled["filter_options"] or {})}
    if not isinstance(settled["strength"], str):
        settled["strength"] = float(settled["strength"])
    left = {step.name for step in report.left}
    if not left.intersection(report.sites):  # steps that were left can't be requested by name
        settled["sites"] = list(report.sites)
    return settled, report


def earlier_dealias(options: Any) -> Any:
    """Options of a saved network, with the defaults of the version that saved it."""
    if not isinstance(options, Mapping):
        return options
    filters = options.get("filter_options") or {}
    kinds = [*surgery.FILTER_OPTIONS]  # what a saved network has may be no key
    if options.get("filter", "daf") in kinds and isinstance(filters, Mapping):
        options = {**options, "filter_options": {"border": EARLIER_BORDER, **filters}}
    if "unit" in options:
        return _without_unused(options)
    cutoff = options.get("cutoff", "auto")
    if isinstance(cutoff, Mapping):
        cutoff = {"*": "published", **cutoff}  # version 0.1 had no names as values
    cutoff = "published" if cutoff == "auto" else cutoff
    return _without_unused({"mixing": EARLIER_MIXING, **options, **_EARLIER, "cutoff": cutoff})


def _without_unused(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those for parts that are not inserted: once ignored, now refused."""
    filter_, mixing = options.get("filter", "daf"), options.get("mixing", False)
    unused = surgery.unused_options(filter_, mixing=mixing)
    return {name: value for name, value in options.items() if name not in unused}


def settled_dealias(network: Network, options: Any) -> Any:
    """The saved options of a network, resolved for the backbone of another, as in its config.

    Raises:
        ValueError: the options can't be used for that backbone.
    """
    if not isinstance(options, Mapping):
        return options
    backbone = copy.deepcopy(network.backbone)
    if network.dealias_report is not None:
        surgery.restore(backbone)
    return _plain(_dealias(backbone, earlier_dealias(options), _example(network))[0])


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
