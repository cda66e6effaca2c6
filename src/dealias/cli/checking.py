"""The work of ``dealias data check``."""

import importlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, print_list, progress
from dealias.cli.training_help import ALL_OPTIONS
from dealias.code import allow_programs
from dealias.data import write_picture
from dealias.engine import (
    BriefParser,
    Task,
    TaskName,
    find_task,
    no_imports,
    refuse_files,
    refuse_moved,
    refuse_programs,
    settle,
    take_configs,
    take_task,
)
from dealias.files import write_json
from dealias.images import MAX_PIXELS_HELP, allow_pixels
from dealias.outputs import claim_outputs


def run(command: str, arguments: Sequence[str]) -> int:
    """Check a data set.

    Returns:
        0 if every file can be used, 1 if not.
    """
    given, _, others = take_configs(arguments)
    task = find_task(take_task(given, others))
    taken: dict[str, Any] = {key: given[key] for key in ("data", "max_pixels") if key in given}
    trusted = "--trust" in others
    if trusted:
        allow_programs()
    else:
        refuse_programs(taken, others)
    refuse_moved(taken, others, task.data.moved)
    refuse_files(taken, others)
    parser = _parser(command, task)
    if taken:
        taken = {
            key: settle(value, task.data) if key == "data" else value
            for key, value in taken.items()
        }
        others = [*others[:1], "--config", json.dumps(taken), *others[1:]]
    with nullcontext() if trusted else no_imports():
        options = parser.parse_args(others)
        instances = parser.instantiate(options)
    allow_pixels(options.check.max_pixels)
    checked = options.check
    files = [path for path in (checked.output, checked.sheet) if path is not None]
    with claim_outputs(files, [], [], overwrite=checked.overwrite):
        return _check(task, instances.check)


class _Parser(BriefParser, ArgumentParser):
    """jsonargparse's parser, without the list of options before an error."""

    listing = ALL_OPTIONS


def _parser(command: str, task: Task) -> ArgumentParser:
    parser = _Parser(prog=f"dealias {command}", description="Check a data set.")
    check = _Parser(description="Read every file, count classes and sizes, and list problems.")
    add = check.add_argument
    add("-c", "--config", action="config", help="configuration name or file; may be repeated")
    add("--task", type=TaskName, default=task.name, help="task that the data set is for")
    check.add_class_arguments(task.data, "data", fail_untyped=False)
    add("--parts", type=list[Literal["train", "val", "test"]], default=["train", "val"])
    sheet = "draw samples, and crops as training sees them"
    add("--sheet", type=Path, metavar="FILE.png", help=sheet)
    add("--max_pixels", type=int | None, default=None, help=MAX_PIXELS_HELP)
    add("--trust", action="store_true", help="run classes that options name by class_path")
    add("--output", type=Path, metavar="FILE.json", help="write the findings to this file")
    add("--overwrite", action="store_true", help="replace existing outputs")
    commands = parser.add_subcommands(required=True, dest="command")
    commands.add_subcommand("check", check, help="read every file before training")
    return parser


def _check(task: Task, options: Namespace) -> int:
    found = task.check(options.data, parts=options.parts, progress=progress)
    if options.output is not None:
        write_json(found.to_dict(), options.output)  # before drawing, which may fail
    console = output_console()
    importlib.import_module(task.printed).print_check(found, console)
    if found.shared:
        console.print(f"{len(found.shared):,} images are in more than one split:")
        print_list([str(path) for path in found.shared], console)
    if options.sheet is not None:
        write_picture(task.contact_sheet(options.data, part=found.splits[0].part), options.sheet)
    compared = len(found.splits) > 1 and all(part.images for part in found.splits)
    good = "every file can be used" + (", and none is in two splits" if compared else "")
    console.print(good if found.ok else "not every file is as it should be")
    return 0 if found.ok else 1
