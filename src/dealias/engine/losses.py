"""Losses for networks that score pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dealias.code import CodeError, call_code, find_code, takes
from dealias.models import pixel_loss
from dealias.text import on_a_line, printable

CROSS_ENTROPY = "cross_entropy"
# Losses of segmentation_models_pytorch for one class per pixel.
_SMP = {
    "dice": "DiceLoss",
    "focal": "FocalLoss",
    "jaccard": "JaccardLoss",
    "lovasz": "LovaszLoss",
    "tversky": "TverskyLoss",
}
NAMES = (CROSS_ENTROPY, *_SMP)
_KEYS = ("name", "class_path", "init_args", "weight")


class LossError(ValueError):
    """A loss can't be created, or returns something that is not a loss."""


class Losses(nn.Module):
    """A weighted sum of losses of scores and targets.

    A custom loss is called with scores `[B, C, H, W]` and a target of integers `[B, H, W]`, and
    returns a scalar. If it is given as a class, an instance is created first; a function is used
    as it is. Void pixels of the target are `ignore_index`. The class or function receives this
    value if it has an argument of that name; otherwise, a target with void is an error. A batch
    that is entirely void has a loss of 0.

    Args:
        losses: the terms. Each is a name ("cross_entropy", or from segmentation_models_pytorch
            "dice", "focal", "jaccard", "lovasz" or "tversky"), or a mapping of "name" or
            "class_path", "init_args", and "weight", the factor of the term (default: 1). None
            means cross-entropy alone.
        ignore_index: label of void.
        num_classes: number of classes.
        class_weights: weights of the classes in cross-entropy, each 0 or more; None for equal ones.
        label_smoothing: share of the target that cross-entropy spreads over all classes, in [0, 1).

    Raises:
        LossError: an option is out of range, or a loss does not exist or can't be created.

    >>> losses = Losses(["cross_entropy", {"name": "dice", "weight": 0.5}], ignore_index=255,
    ...                 num_classes=2)
    >>> losses(torch.zeros(1, 2, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)).shape
    torch.Size([])
    """

    class_weights: Tensor | None

    def __init__(
        self,
        losses: Sequence[Any] | None,
        *,
        ignore_index: int,
        num_classes: int,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        if not 0 <= label_smoothing < 1:
            raise LossError(
                f"model.label_smoothing: expected a share in [0, 1), got {label_smoothing}"
            )
        self.label_smoothing = label_smoothing
        weights = None
        if class_weights is not None:
            weights = _checked_weights(class_weights, num_classes)
        self.register_buffer("class_weights", weights, persistent=False)
        asked = [CROSS_ENTROPY] if losses is None else losses
        if not isinstance(asked, list | tuple) or not asked:
            raise LossError(f"model.losses: expected a list of losses, got {printable(str(asked))}")
        self._terms = [self._term(f"model.losses.{k}", loss) for k, loss in enumerate(asked)]
        names = [term.name for term in self._terms]
        for name, value in (
            ("class_weights", class_weights is not None),
            ("label_smoothing", label_smoothing > 0),
        ):
            if value and CROSS_ENTROPY not in names:
                raise LossError(
                    f"model.{name}: is for {CROSS_ENTROPY}, which is not among the losses"
                )
        # Registered here, so that their buffers move to the device of the network.
        self.held = nn.ModuleList(
            term.loss for term in self._terms if isinstance(term.loss, nn.Module)
        )

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """The loss of scores, floating point `[B, C, H, W]`, and a target, integers `[B, H, W]`.

        Raises:
            LossError: a loss returns no scalar, or can't handle void and the target has some.
        """
        target = target.long()
        void = target == self.ignore_index
        if void.all():
            return 0 * scores.sum()
        total = scores.new_zeros(())
        for term in self._terms:
            if not term.knows_void and void.any():
                raise LossError(
                    f"{term.option}: {term.name} has no argument ignore_index, and the target has "
                    f"void"
                )
            value = term.value(scores, target)
            if not isinstance(value, Tensor) or value.numel() != 1 or value.is_complex():
                got = f"a tensor of {[*value.shape]}" if isinstance(value, Tensor) else repr(value)
                raise LossError(f"{term.option}: {term.name}: expected a scalar, got {got[:80]}")
            total = total + term.factor * value.reshape(())
        return total

    def _term(self, option: str, given: Any) -> _Term:
        given = {"name": given} if isinstance(given, str) else given
        keys = given.keys() if isinstance(given, Mapping) else ()
        unknown = [key for key in keys if key not in _KEYS]
        if unknown or ("name" in keys) == ("class_path" in keys):
            raise LossError(
                f"{option}: expected a name or a mapping of name or class_path, with init_args and "
                f"weight if need be, got {printable(str(given))}"
            )
        factor, arguments = given.get("weight", 1.0), given.get("init_args") or {}
        if type(factor) not in (int, float) or not 0 < factor < math.inf:
            raise LossError(f"{option}.weight: expected a factor over 0, got {factor!r}")
        if not isinstance(arguments, Mapping):
            raise LossError(f"{option}.init_args: expected a mapping, got {arguments!r}")
        if given.get("name") == CROSS_ENTROPY:
            if arguments:
                raise LossError(
                    f"{option}.init_args: expected none for {CROSS_ENTROPY}; class_weights and "
                    f"label_smoothing are options of the model"
                )
            return _Term(option, CROSS_ENTROPY, factor, self._cross_entropy, knows_void=True)
        name, path, arguments = _found(option, given, arguments)
        try:
            code = find_code(path)
            knows = takes(code, "ignore_index")
            if isinstance(code, type):
                loss = call_code(path, arguments, ignore_index=self.ignore_index)
            else:
                loss = partial(code, **arguments)
                if knows and "ignore_index" not in arguments:
                    loss = partial(loss, ignore_index=self.ignore_index)
        except CodeError as error:
            raise LossError(f"{option}: {error}") from error
        if arguments.get("ignore_index", self.ignore_index) != self.ignore_index:
            raise LossError(
                f"{option}.init_args.ignore_index: expected {self.ignore_index}, the label of void "
                f"in the data, or nothing, got {arguments['ignore_index']!r}"
            )
        if not callable(loss):
            raise LossError(f"{option}: {name}: expected a module, got {type(loss).__name__}")
        if isinstance(loss, nn.Module) and any(True for _ in loss.parameters()):
            raise LossError(f"{option}: {name} has parameters, and those of losses are not trained")
        return _Term(option, name, factor, loss, knows_void=knows)

    def _cross_entropy(self, scores: Tensor, target: Tensor) -> Tensor:
        return pixel_loss(
            scores,
            target,
            self.ignore_index,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
        )


@dataclass(frozen=True)
class _Term:
    """A loss with its factor in the sum."""

    option: str
    name: str
    factor: float
    loss: Callable[[Tensor, Tensor], Any]
    knows_void: bool

    def value(self, scores: Tensor, target: Tensor) -> Any:
        """What the loss returns; any error is reported for the option that named the loss."""
        try:
            return self.loss(scores, target)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            said = on_a_line(error)
            message = f"{self.option}: {self.name}: {type(error).__name__}: {said}"
            raise LossError(message) from error


def _found(
    option: str, given: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[str, str, dict[str, Any]]:
    """Name, path and arguments of a loss that is not cross-entropy."""
    if "class_path" in given:
        return str(given["class_path"]), str(given["class_path"]), dict(arguments)
    name = str(given["name"])
    if name not in _SMP:
        near = get_close_matches(name, NAMES) or NAMES
        raise LossError(f"{option}: expected one of {', '.join(near)}, got {printable(name)!r}")
    path = f"segmentation_models_pytorch.losses.{_SMP[name]}"
    return name, path, {"mode": "multiclass", **arguments}


def _checked_weights(weights: Sequence[float], num_classes: int) -> Tensor:
    values = torch.tensor(weights, dtype=torch.float64)
    if len(weights) != num_classes:
        raise LossError(
            f"model.class_weights: expected {num_classes}, one a class, got {len(weights)} of them"
        )
    if not (values.isfinite().all() and (values >= 0).all() and values.any()):
        raise LossError(
            f"model.class_weights: expected weights from 0 on, not all 0, got {[*weights]}"
        )
    return values.float()
