"""Options of runs by full name: which ones matter, and the differences between two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dealias.study.dealiasing import spelled_out
from dealias.study.variants import flatten
from dealias.text import printable, shorten

# Options that change neither the weights of a training nor the figures of a test.
_INCIDENTAL = {
    *("output", "results", "report", "probe", "unstable_maps", "overwrite", "trust", "ckpt_path"),
    *("noise", "shifts", "largest_shift", "label_maps", "interval", "groups"),
    *("objects", "band_widths"),
    *("max_pixels", "samples"),
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
# Options of the test data and of counting; TRAINED_ON lists those that only training uses.
_TESTED = ("data.", "model.protocol", "model.band_width", "model.boundary", "model.detection_area")
TRAINED_ON = (
    *("data.augmentation.", "data.batch_size", "data.splits.train", "data.scenes.train"),
    *("data.skip_empty", "data.dark.keep_bright"),
)
# Options that do not change the weights.
_TESTS_ALONE = (
    *("model.inference.", "model.protocol", "model.band_width", "model.boundary"),
    *("model.detection_area", "trainer.limit_test_batches", "trainer.limit_predict_batches"),
    *("data.splits.val", "data.splits.test", "data.scenes.val"),
)
_NOTHING = "(not given)"


def relevant(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that matter, by full name, independent of where its files are.

    Only the last part of an absolute path is kept.
    """
    given = {name: _portable(value) for name, value in flatten(options) if name not in _INCIDENTAL}
    return spelled_out(given)


def changed_options(changes: Mapping[str, Any], *, everything: bool = False) -> dict[str, Any]:
    """Changes by full name, independent of where files are; `everything` adds incidental ones."""
    kept = {} if everything else _INCIDENTAL
    return {name: _portable(value) for name, value in flatten(changes) if name not in kept}


def locate(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that matter, with full paths: files of the same name may differ."""
    kept = _INCIDENTAL - {"data.root"}
    return {name: _resolved(value) for name, value in flatten(options) if name not in kept}


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(one) for one in value]
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return str(Path(value).resolve()) if is_path else value


def of_training(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of :func:`relevant` options on which the weights depend."""
    return {name: value for name, value in options.items() if not name.startswith(_TESTS_ALONE)}


def of_tests(name: str) -> bool:
    """Whether an option is one of the test data or of counting."""
    return name.startswith(_TESTED) and not name.startswith(TRAINED_ON)


def _portable(value: Any) -> Any:
    if isinstance(value, list):
        return [_portable(one) for one in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    """The differences between two mappings of options, for a message: "NAME FIRST, now SECOND".

    If one of them lacks an option, for example because it is newer than a run, the default counts.
    """
    found = []
    for name in dict.fromkeys([*first, *second]):
        before, after = (option_value(side, name, defaults) for side in (first, second))
        if before != after:
            found.append(f"{printable(name)} {shorten(before)}, now {shorten(after)}")
    return found


def option_value(options: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> Any:
    """The value of an option as in JSON, or a mark if there is none, since null is a value."""
    value = options[name] if name in options else _portable(defaults.get(name, _NOTHING))
    return json.loads(json.dumps(value, default=list))
