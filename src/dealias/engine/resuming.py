"""Whether a training can resume from a checkpoint."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from dealias.engine.checkpoint_files import CheckpointError
from dealias.text import reason, shorten

_LARGEST = 2**62


def check_resumable(
    checkpoint: Mapping[str, Any], module: Any, trainer: Any, *, source: str
) -> None:
    """Refuse to resume from states that do not fit this optimizer and trainer.

    Optimizers keep the options in their state, such as the learning rate. Other options in the
    configuration are refused, because they would be ignored.

    Args:
        checkpoint: checkpoint to resume from.
        module: a :class:`dealias.engine.Training`.
        trainer: its trainer.
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: a state is missing or of another kind, or an option of the optimizer
            differs.
    """
    optimizer = module.optimization.optimizer(module.network)
    schedule = module.optimization.schedule(optimizer, max(1, trainer.max_steps))
    own = optimizer.state_dict()["param_groups"]
    try:
        (state,), (schedule_state,) = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
        _check_kinds(own, state["param_groups"], "optimizer_states")
        _check_kinds(schedule.state_dict(), schedule_state, "lr_schedulers")
        changed = _changed_options(checkpoint, module.optimization)
        if changed is not None:
            raise CheckpointError(
                f"{source}: was trained with {changed}: a resumed training keeps the optimizer's "
                f"options; to change them, start a new run from these weights with --init_from"
            )
        _check_kinds(trainer.fit_loop.state_dict(), checkpoint["loops"]["fit_loop"], "loops")
        _check_kinds([0, 0], [checkpoint["epoch"], checkpoint["global_step"]], "steps")
        for name in schedule_state:
            if callable(getattr(type(schedule), name, None)):
                raise ValueError(f"lr_schedulers: unexpected {name!r}")
        optimizer.load_state_dict(state)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                _check_moments(optimizer, parameter)
    except CheckpointError:
        raise
    except Exception as error:  # a misplaced value may raise any kind of error
        raise CheckpointError(_cannot_resume(source, error)) from error


_IN_OPTIMIZER = (  # options that are in the state of an optimizer, or in its groups of parameters
    *("kind", "lr", "head_multiplier", "mixing_multiplier", "momentum", "betas", "weight_decay"),
    "decay_norms",
)


def _changed_options(checkpoint: Mapping[str, Any], optimization: Any) -> str | None:
    """The first option that differs from that of a checkpoint, as "lr 0.01, not 0.1"; or None.

    Checkpoints of version 0.1 do not have the options.
    """
    held = checkpoint.get("hyper_parameters", {}).get("optimization", {})
    ours = optimization.to_dict()
    for name in _IN_OPTIMIZER:
        if name in held and held[name] != ours[name]:
            return f"{name} {shorten(held[name])}, not {shorten(ours[name])}"
    return None


_MOMENTS = {"SGD": {"momentum_buffer"}, "AdamW": {"step", "exp_avg", "exp_avg_sq"}}


def _check_moments(optimizer: torch.optim.Optimizer, parameter: Tensor) -> None:
    state = optimizer.state.get(parameter, {})
    if state and set(state) != _MOMENTS[type(optimizer).__name__]:
        raise ValueError(f"optimizer_states: unexpected {', '.join(map(str, state))}")
    for name, value in state.items():
        alike = isinstance(value, Tensor) and value.is_floating_point()
        if value is not None and not (alike and value.shape in (parameter.shape, ())):
            raise ValueError(f"optimizer_states: {name}: not of the shape of its parameter")


def _check_kinds(own: Any, other: Any, name: str) -> None:
    """Raise ValueError if a number, list or mapping is of another kind in `other`."""
    if isinstance(own, dict):
        if not isinstance(other, dict):
            raise ValueError(f"{name}: expected a mapping")
        for key in own.keys() & other.keys():
            _check_kinds(own[key], other[key], f"{name}: {key}")
    elif isinstance(own, list | tuple):
        if not isinstance(other, list | tuple) or (name.endswith("param_groups") and not other):
            raise ValueError(f"{name}: expected a list")
        if len(own) != len(other) and not name.endswith("params"):
            raise ValueError(f"{name}: expected {len(own)} values, got {len(other)}")
        for ours, theirs in zip(own, other, strict=False):
            _check_kinds(ours, theirs, name)
    elif isinstance(own, int | float) and not isinstance(own, bool):
        whole = not isinstance(own, int) or isinstance(other, int)
        if not (isinstance(other, int | float) and abs(other) < _LARGEST and whole):
            raise ValueError(f"{name}: expected a number")


def cause_in_checkpoint(error: Exception, source: str) -> Exception:
    """The error to raise for one in training: a CheckpointError if a checkpoint was being read."""
    names = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, ValueError) and source in str(error):
        return error
    if names & {"_restore_modules_and_callbacks", "restore_training_state"}:
        return CheckpointError(_cannot_resume(source, error))
    return error


def _cannot_resume(source: str, error: Exception) -> str:
    return f"{source}: training can't go on from it: {type(error).__name__}: {reason(error)[:400]}"


def check_averaging(checkpoint: Mapping[str, Any], trainer: Any, *, source: str) -> None:
    """Refuse to resume from averaged weights as if they were the trained ones.

    Lightning's WeightAveraging saves the average as "state_dict" and the trained weights beside it.
    Only WeightAveraging itself resumes from the latter.

    Args:
        checkpoint: checkpoint to resume from.
        trainer: trainer with its callbacks.
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: it was saved with WeightAveraging, and the trainer has none.
    """
    kind: Any = getattr(pl.callbacks, "WeightAveraging", ())  # since Lightning 2.6
    averages = any(isinstance(callback, kind) for callback in trainer.callbacks)
    if "current_model_state" in checkpoint and not averages:
        raise CheckpointError(
            f"{source}: expected WeightAveraging, such as EMAWeightAveraging, among "
            f"trainer.callbacks, as in the run that it is of: its weights are an average, and the "
            f"trained ones are kept beside them"
        )
