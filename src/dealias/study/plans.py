"""The plan of each variant, whose options are parsed and checked as by ``dealias fit``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.utilities.exceptions import MisconfigurationException

from dealias.code import allow_programs
from dealias.engine import (
    FilterRamp,
    Prepared,
    Task,
    find_task,
    refuse_programs,
    resolve,
    take_configs,
    take_task,
)
from dealias.study.asked import Study
from dealias.study.fingerprints import Known, digest_files, digest_options
from dealias.study.options import differences, locate, of_tests, option_value, relevant
from dealias.study.variants import StudyError, Variant, command_line, flatten
from dealias.text import printable, shorten

_BATCH = ("trainer.accumulate_grad_batches", "data.batch_size")
_LONGEST = 400  # characters of a value in a message; paths may differ only at their end
# Options of the base that a study sets itself, with their defaults.
_DECIDED: Mapping[str, Any] = {
    **dict.fromkeys(("output", "results", "report", "probe", "unstable_maps", "ckpt_path")),
    "shifts": None,
    "shift_seed": 0,
    "noise": 0,
    "label_maps": False,
}
FIXED = (  # in every run: last.ckpt is tested, so validation would only take time
    *("--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
)


@dataclass(frozen=True)
class Plan:
    """A variant whose options have been checked.

    Attributes:
        variant: the variant.
        arguments: arguments of ``dealias fit``, without the seed and the output.
        options: every option that matters, by its full name.
        defaults: the defaults of `options`.
        steps: number of training steps.
        on_gpu: whether it trains on an accelerator.
        located: `options` with full paths, and the root of the data.
        trained_on: digest of the images and targets of the training; None for procedural data.
        tested_on: the same for the test.
        files: digests of the files that options name, by option.
        conditions: how the images of the test are changed; see `told_conditions`.
    """

    variant: Variant
    arguments: tuple[str, ...]
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]
    steps: int
    on_gpu: bool
    located: Mapping[str, Any] = field(default_factory=dict)
    trained_on: str | None = None
    tested_on: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Any]:
        """Digests of the files that a training uses."""
        return {"trained_on": self.trained_on, "files": dict(self.files)}


def plan_variants(
    study: Study, variants: Sequence[Variant], known: Known
) -> tuple[str, list[Plan]]:
    """The task and the plan of each variant; networks are built and data found, as a check.

    Args:
        study: the study, with the base; paths in its variants are relative to the folder of
            their file.
        variants: the variants, the baseline first.
        known: filled with the digests of the files that were read.

    Raises:
        StudyError: an option can't be used, or two variants can't be compared.
        ConfigError: the base can't be read, or a variant names a class without `trust`.
    """
    if study.trust:
        allow_programs()
    else:
        for variant in variants:  # resolving paths imports the classes, for their types
            refuse_programs(variant.changes, [])
    base, _, _ = take_configs(["--config", study.config])
    _check_base(study.config, base)
    task = find_task(take_task(base, []))
    with quiet():
        plans = [_plan(study, task, variant, known) for variant in variants]
    for plan in plans[1:]:
        _check_comparable(plans[0], plan)
    for index, plan in enumerate(plans):
        for other in plans[:index]:
            if not differences(other.located, plan.located, plan.defaults):
                raise StudyError(f"{plan.variant.name}: has the same options as {_name(other)}")
    return task.name, plans


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what Lightning prints about seeds and devices for each variant."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _name(plan: Plan) -> str:
    return plan.variant.name


def _check_base(config: str, base: Mapping[str, Any]) -> None:
    """Raise StudyError if the base sets options of tests or folders, which a study sets itself."""
    for name, default in _DECIDED.items():
        if base.get(name, default) != default:
            raise StudyError(
                f"{printable(config)}: {name}: expected none in the base of a study, which "
                f"decides it for each run, got {shorten(base[name])}"
            )


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Raise StudyError, with a name, if an option can't be used."""
    try:
        yield
    except (ValueError, MisconfigurationException) as error:
        raise StudyError(f"{name}: {error}") from error


def _plan(study: Study, task: Task, variant: Variant, known: Known) -> Plan:
    changes = resolve(variant.changes, study.variants.parent.absolute(), task)
    trusted = ["--trust"] if study.trust else []
    arguments = ("--config", study.config, *command_line(changes), *trusted)
    with refusing(variant.name):
        # What is in the folders of runs does not matter here.
        nowhere = study.output / variant.name / "SEED"
        prepared = prepare("fit", arguments, nowhere)
        trainer: Any = prepared.trainer
        for callback in trainer.callbacks:
            if isinstance(callback, FilterRamp):
                callback.check(trainer, prepared.model)
        located = locate(prepared.options)
        trained_on, tested_on = (
            digest_files(prepared.datamodule.files(part), known) for part in ("train", "test")
        )
        files = digest_options(located, known)
    if trainer.max_steps < 1:
        raise StudyError(
            f"{variant.name}: trainer.max_steps: expected steps to train for, got "
            f"{trainer.max_steps}"
        )
    if trainer.world_size > 1:
        raise StudyError(
            f"{variant.name}: trainer.devices: expected 1 for a run of a study, got "
            f"{trainer.world_size}; --jobs trains several at a time"
        )
    given = dict(flatten(prepared.options))
    time, callbacks = given.get("trainer.max_time"), given.get("trainer.callbacks")
    if time or "EarlyStopping" in str(callbacks):
        got = f"trainer.max_time {time}" if time else f"trainer.callbacks {shorten(callbacks)}"
        raise StudyError(
            f"{variant.name}: expected a training that ends at trainer.max_steps, got {got}"
        )
    on_gpu = trainer.strategy.root_device.type != "cpu"
    defaults = dict(flatten(prepared.defaults))
    return Plan(
        variant,
        arguments,
        relevant(prepared.options),
        defaults,
        trainer.max_steps,
        on_gpu,
        located=located,
        trained_on=trained_on,
        tested_on=tested_on,
        files=files,
        conditions=prepared.datamodule.conditions,
    )


def prepare(command: Literal["fit", "test"], arguments: Sequence[str], output: Path) -> Prepared:
    """Prepare to fit or test a run: build its network, find the test data, write nothing.

    Raises:
        ValueError, MisconfigurationException: an option can't be used.
    """
    more = ["--output", str(output), "--overwrite", "true", "--trainer.logger", "false"]
    prepared = Prepared(command, [*arguments, *FIXED, *more])
    prepared.datamodule.setup("test")
    return prepared


def _check_comparable(baseline: Plan, plan: Plan) -> None:
    """Raise StudyError if two variants are not tested on the same images in the same way."""
    for name in dict.fromkeys([*baseline.located, *plan.located]):
        sides = [option_value(side.located, name, side.defaults) for side in (baseline, plan)]
        if of_tests(name) and sides[0] != sides[1]:
            raise StudyError(
                f"{_name(plan)}: {name}: expected {shorten(sides[0], _LONGEST)} as in "
                f"{_name(baseline)}, got {shorten(sides[1], _LONGEST)}: variants are "
                f"tested on the same data in the same way"
            )


def unequal_lengths(plans: Sequence[Plan]) -> list[str]:
    """Warnings about variants that differ from the baseline in training steps or batches."""
    first = plans[0]
    longer = [
        f"{_name(plan)}: trains for {plan.steps:,} steps, {_name(first)} for {first.steps:,}: the "
        f"two are not trained alike"
        for plan in plans[1:]
        if plan.steps != first.steps
    ]
    return longer + [
        f"{_name(plan)}: {name} is {shorten(plan.options.get(name))}, in {_name(first)} "
        f"{shorten(first.options.get(name))}: the two are not trained alike"
        for plan in plans[1:]
        for name in _BATCH
        if plan.options.get(name) != first.options.get(name)
    ]
