"""The options of each variant, parsed as ``dealias fit`` does, and what differs between two."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException

from dealias.engine import Prepared, Task, find_task, resolve, take_configs, take_task
from dealias.study.variants import StudyError, Variant, command_line, flatten
from dealias.text import printable, shorten

# What changes neither the weights of a training nor the figures of a test.
_INCIDENTAL = {
    *("output", "results", "report", "probe", "unstable_maps", "overwrite", "trust", "ckpt_path"),
    *("noise", "shifts", "largest_shift", "label_maps", "max_pixels", "samples"),
    *("checkpoint_every", "seed_everything", "data.workers", "data.root", "data.predict_images"),
    *(
        f"trainer.{name}"
        for name in (
            *("logger", "log_every_n_steps", "enable_progress_bar", "enable_model_summary"),
            *("limit_val_batches", "val_check_interval", "check_val_every_n_epoch"),
            *("num_sanity_val_steps", "default_root_dir", "enable_checkpointing", "profiler"),
        )
    ),
}
# What is tested on, and how it is counted; but for what training alone takes.
_TESTED = ("data.", "model.protocol", "model.band_width", "model.boundary", "model.detection_area")
_TRAINED_ON = ("data.augmentation.", "data.batch_size", "data.splits.train", "data.scenes.train")
# What leaves the weights as they are.
_TESTS_ALONE = (
    *("model.inference.", "model.protocol", "model.band_width", "model.boundary"),
    *("model.detection_area", "trainer.limit_test_batches", "trainer.limit_predict_batches"),
    *("data.splits.val", "data.splits.test", "data.scenes.val"),
)
_LENGTH = ("trainer.max_steps", "trainer.accumulate_grad_batches", "data.batch_size")
_NOTHING = "(not given)"
FIXED = (  # of every run: last.ckpt is tested, so that validation would only take time
    *("--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
)


@dataclass(frozen=True)
class Plan:
    """A variant whose options are known to be good.

    Attributes:
        variant: the variant.
        arguments: of ``dealias fit``, but for the seed and the output.
        options: every option that matters, by its full name.
        defaults: what `options` has where nothing is given.
        steps: of training.
        on_gpu: whether it trains on an accelerator.
    """

    variant: Variant
    arguments: tuple[str, ...]
    options: Mapping[str, Any]
    defaults: Mapping[str, Any]
    steps: int
    on_gpu: bool


def plan_variants(
    config: str, file: Path, variants: Sequence[Variant], output: Path
) -> tuple[str, list[Plan]]:
    """The task, and the plan of each variant: its network is built and its data are found.

    Args:
        config: the base, a configuration file or the name of one.
        file: that of the variants, from whose folder their paths are relative.
        variants: the baseline first.
        output: folder of the study.

    Raises:
        StudyError: an option of a variant can't be used; or two variants can't be compared.
        ConfigError: the base can't be read.
    """
    base, _, _ = take_configs(["--config", config])
    task = find_task(take_task(base, []))
    with _quiet():
        folder = file.parent.absolute()
        plans = [_plan(config, folder, task, variant, output) for variant in variants]
    for plan in plans[1:]:
        _check_comparable(plans[0], plan)
    for index, plan in enumerate(plans):
        for other in plans[:index]:
            if not differences(other.options, plan.options, plan.defaults):
                raise StudyError(f"{plan.variant.name}: has the same options as {_name(other)}")
    return task.name, plans


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Lightning says of seeds and devices, once for each variant."""
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


def _plan(config: str, folder: Path, task: Task, variant: Variant, output: Path) -> Plan:
    changes = resolve(variant.changes, folder, task)
    arguments = ("--config", config, *command_line(changes))
    nowhere = output / variant.name / "SEED"  # what is in the folders of runs does not matter here
    more = ["--output", str(nowhere), "--overwrite", "true"]
    try:
        prepared = Prepared("fit", [*arguments, *FIXED, *more, "--trainer.logger", "false"])
        prepared.datamodule.setup("test")
    except (ValueError, MisconfigurationException) as error:
        raise StudyError(f"{variant.name}: {error}") from error
    trainer = prepared.trainer
    if trainer.max_steps < 1:
        raise StudyError(f"{variant.name}: trainer.max_steps: expected steps to train for")
    if trainer.world_size > 1:
        raise StudyError(
            f"{variant.name}: trainer.devices: expected 1 for a run of a study, got "
            f"{trainer.world_size}; --jobs trains several at a time"
        )
    given = dict(flatten(prepared.options))
    if given.get("trainer.max_time") or "EarlyStopping" in str(given.get("trainer.callbacks")):
        raise StudyError(f"{variant.name}: expected a training that ends at trainer.max_steps")
    on_gpu = trainer.strategy.root_device.type != "cpu"
    defaults = dict(flatten(prepared.defaults))
    return Plan(variant, arguments, relevant(prepared.options), defaults, trainer.max_steps, on_gpu)


def relevant(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of the options of a run matters, by full name, the same wherever its files lie.

    Of absolute paths, the last part counts.
    """
    return {name: _portable(value) for name, value in flatten(options) if name not in _INCIDENTAL}


def of_training(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of :func:`relevant` options the weights depend on."""
    return {name: value for name, value in options.items() if not name.startswith(_TESTS_ALONE)}


def _portable(value: Any) -> Any:
    if isinstance(value, list):
        return [_portable(one) for one in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    """What differs between two mappings of options, for a message: "NAME FIRST, now SECOND".

    An option that one of them lacks, as it is newer than a run, has its default.
    """
    found = []
    for name in dict.fromkeys([*first, *second]):
        before, after = (_value(side, name, defaults) for side in (first, second))
        if before != after:
            found.append(f"{printable(name)} {shorten(before)}, now {shorten(after)}")
    return found


def _value(options: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> Any:
    """The value of an option as JSON has it, or what stands for none: null is one."""
    value = options[name] if name in options else _portable(defaults.get(name, _NOTHING))
    return json.loads(json.dumps(value, default=list))


def _check_comparable(baseline: Plan, plan: Plan) -> None:
    """Raise StudyError if two variants are not tested on the same images in the same way."""
    for name in dict.fromkeys([*baseline.options, *plan.options]):
        tested = name.startswith(_TESTED) and not name.startswith(_TRAINED_ON)
        sides = [_value(side.options, name, side.defaults) for side in (baseline, plan)]
        if tested and sides[0] != sides[1]:
            raise StudyError(
                f"{_name(plan)}: {name}: expected {shorten(sides[0])} as in {_name(baseline)}, got "
                f"{shorten(sides[1])}: variants are tested on the same data in the same way"
            )


def unequal_lengths(plans: Sequence[Plan]) -> list[str]:
    """Warnings of variants that train for other steps or batches than the baseline."""
    first = plans[0]
    return [
        f"{_name(plan)}: {name} is {shorten(plan.options.get(name))}, in {_name(first)} "
        f"{shorten(first.options.get(name))}: the two are not trained alike"
        for plan in plans[1:]
        for name in _LENGTH
        if plan.options.get(name) != first.options.get(name)
    ]
