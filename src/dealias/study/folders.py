"""The folders of a study: whether they belong to one, and which of their runs differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from dealias.files import OutputError
from dealias.inputs import read_yaml
from dealias.study.begun import changed_since_begun, holds_begun
from dealias.study.fingerprints import digest_options
from dealias.study.options import differences, of_training, relevant
from dealias.study.plans import Plan
from dealias.study.records import run_key
from dealias.study.variants import OUTPUTS, flatten
from dealias.text import FileError, printable, shorten


def check_folders(
    output: Path,
    results: Path,
    plans: Sequence[Plan],
    earlier: Collection[str],
    *,
    overwrite: bool,
) -> None:
    """Refuse folders that contain something other than a study.

    Args:
        output: folder of the runs. It may contain finished trainings in VARIANT/SEED.
        results: folder of study.json.
        plans: plans of the variants.
        earlier: names of the variants in study.json, some of which may no longer exist.
        overwrite: whether a table and a figure without a study.json may be replaced.

    Raises:
        OutputError: a path is not a folder, or the folder contains something else.
    """
    for folder in (output, results):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{printable(folder)}: expected a folder, got a file")
    known = {plan.variant.name for plan in plans} | {*earlier, *OUTPUTS}
    is_study = (output / "study.json").exists()
    for path in sorted(output.iterdir()) if output.is_dir() and not is_study else ():
        if not (path.name in known or path.name.startswith(".") or holds_begun(path)):
            raise OutputError(
                f"{printable(output)}: expected a folder of a study, got one with "
                f"{printable(path.name)}, which is none of the variants"
            )
    if not (results / "study.json").exists() and not overwrite:
        for name in ("table.md", "figure.png"):
            if (results / name).exists():
                raise OutputError(
                    f"{printable(results / name)}: exists already, and there is no study.json "
                    f"beside it; --overwrite replaces it"
                )


def differing_runs(output: Path, runs: Sequence[tuple[Plan, int]]) -> dict[str, list[str]]:
    """The differences of runs whose checkpoint was trained with other options, by run key.

    Raises:
        FileError: the options of a run can't be read.
    """
    found = {}
    for plan, seed in runs:
        key = run_key(plan.variant.name, seed)
        if (output / key / "last.ckpt").exists():
            differing = _differing(output / key / "config.yaml", plan, seed)
            if differing:
                found[key] = differing
    return found


def _differing(file: Path, plan: Plan, seed: int) -> list[str]:
    options = read_yaml(file)
    if not isinstance(options, dict):
        raise FileError(file, "expected the options of a run")
    trained, asked = of_training(relevant(options)), of_training(plan.options)
    found = differences(trained, asked, plan.defaults)
    given = {name: value for name, value in flatten(options) if name in plan.files}
    for name, digest in digest_options(given, {}).items():  # of files that still exist
        if digest != plan.files[name]:
            found.append(f"{printable(name)} {shorten(given[name], 400)}, which differs")
    found += changed_since_begun(file.parent, plan)
    kept = options.get("seed_everything")
    return found + ([] if kept == seed else [f"seed_everything {kept}, now {seed}"])
