"""Parameter groups and the learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dealias.layers import PartialFilter

Kind = Literal["sgd", "adamw"]
_MIXING = "frequency_mixing"


@dataclass(frozen=True)
class Optimization:
    """Optimizer and learning rates; the defaults are those of the paper.

    The learning rate at step t of n is ``floor + (lr - floor) * (1 - t / n) ** power``. During
    the first `warmup_steps` it is multiplied by a factor that grows linearly to 1. With `drops`,
    the polynomial is replaced by 0.1 to the power of the number of drops so far.

    Attributes:
        kind: "sgd" or "adamw".
        lr: learning rate of the backbone, over 0.
        lr_floor: lowest learning rate, at most `lr`.
        power: exponent of the polynomial.
        drops: fractions of the training, rising in (0, 1), after each of which the learning rate
            is divided by 10, for example 9 / 12 and 11 / 12; empty for the polynomial.
        warmup_steps: optimizer steps of linear warm-up; 0 for none.
        head_multiplier: learning rate of the rest of the network, relative to the backbone.
        mixing_multiplier: learning rate of frequency mixing modules, relative to the backbone.
        momentum: momentum of SGD.
        betas: betas of AdamW.
        weight_decay: weight decay of all parameters, subject to `decay_norms`. Learned strengths
            of filters never decay.
        decay_norms: whether biases and parameters of normalisation layers decay, too.

    Raises:
        ValueError: a value is out of range.
    """

    kind: Kind = "sgd"
    lr: float = 0.01
    lr_floor: float = 1e-4
    power: float = 0.9
    drops: tuple[float, ...] = ()
    warmup_steps: int = 0
    head_multiplier: float = 2.0
    mixing_multiplier: float = 2.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4
    decay_norms: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: expected {' or '.join(get_args(Kind))}, got {self.kind!r}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: expected a rate over 0, got {self.lr}")
        lowest = self.lr * min(1.0, self.head_multiplier, self.mixing_multiplier)
        if not 0 <= self.lr_floor <= lowest:
            raise ValueError(f"lr_floor: expected 0..{lowest:g}, got {self.lr_floor}")
        if not all(a < b for a, b in pairwise((0, *self.drops, 1))):
            raise ValueError(f"drops: expected shares rising in (0, 1), got {self.drops}")
        for name in ("head_multiplier", "mixing_multiplier"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a factor over 0, got {getattr(self, name)}")
        for name in ("warmup_steps", "power", "momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {self.betas}")

    def to_dict(self) -> dict[str, Any]:
        """The options by name, as plain values: numbers, strings and lists."""
        options = asdict(self).items()
        return {name: list(v) if isinstance(v, tuple) else v for name, v in options}

    def optimizer(self, network: nn.Module) -> Optimizer:
        """The optimizer of a network with an attribute `backbone`."""
        groups = parameter_groups(network, self)
        if self.kind == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas)

    def schedule(self, optimizer: Optimizer, steps: int) -> LambdaLR:
        """The schedule of each group over `steps` optimizer steps; advance it after each step."""

        def factor_of(rate: float) -> Any:
            return lambda step: self.rate(step, steps, rate) / rate

        rates = [group["lr"] for group in optimizer.param_groups]
        return LambdaLR(optimizer, [factor_of(rate) for rate in rates])

    def rate(self, step: int, steps: int, rate: float | None = None) -> float:
        """The learning rate at a step (from 0) of a group that starts at `rate` (default: `lr`).

        >>> [round(Optimization(lr=1.0, power=1.0, lr_floor=0.5).rate(t, 4), 3) for t in (0, 2, 4)]
        [1.0, 0.75, 0.5]
        """
        rate = self.lr if rate is None else rate
        if self.drops:
            factor = 0.1 ** sum(step >= round(share * steps) for share in self.drops)
        else:
            factor = max(0.0, 1 - step / steps) ** self.power
        value = self.lr_floor + (rate - self.lr_floor) * factor
        if step < self.warmup_steps:
            value *= (step + 1) / (self.warmup_steps + 1)
        return float(value)


def parameter_groups(network: Any, options: Optimization) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate and weight decay, for an optimizer.

    The "name" of a group is "backbone", "mixing" or "head", followed by " (no decay)" for
    parameters that do not decay. Empty groups are left out.

    Args:
        network: a module with a `backbone`.
        options: learning rates and weight decay.
    """
    norms = {id(parameter) for parameter in _norm_parameters(network)}
    strengths = {id(m.strength) for m in network.modules() if isinstance(m, PartialFilter)}
    # By identity, since names do not identify the backbone in networks of transformers.
    backbone = {id(parameter) for parameter in network.backbone.parameters()}
    rates = {
        "backbone": options.lr,
        "mixing": options.lr * options.mixing_multiplier,
        "head": options.lr * options.head_multiplier,
    }
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "backbone" if id(parameter) in backbone else "head"
        part = "mixing" if f".{_MIXING}." in name else part
        decays = options.decay_norms or not (id(parameter) in norms or name.endswith("bias"))
        decays &= id(parameter) not in strengths  # decay would pull filters towards no effect
        key = part if decays else f"{part} (no decay)"
        decay = options.weight_decay if decays else 0.0
        group = {"name": key, "lr": rates[part], "weight_decay": decay, "params": []}
        groups.setdefault(key, group)["params"].append(parameter)
    return list(groups.values())


def _norm_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    for module in network.modules():
        if "norm" in type(module).__name__.lower():
            yield from module.parameters(recurse=False)
