"""``dealias data check``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from dealias._text import printable
from dealias.cli._console import add_row, output_console, percent, progress
from dealias.data import (
    DataCheck,
    SegmentationDataModule,
    SplitCheck,
    check_data,
    write_contact_sheet,
)
from dealias.engine import take_configs
from dealias.evaluation import check_outputs, write_whole

_LISTED = 10


def main(command: str, arguments: Sequence[str]) -> int:
    """Look through a data set.

    Returns:
        0 if every file can be used, 1 if not.
    """
    given, _, others = take_configs(arguments)
    parser = _parser(command)
    if "data" in given:
        others = [*others[:1], "--options", json.dumps({"data": given["data"]}), *others[1:]]
    options = parser.parse_args(others)
    return _check(options.check)


def _parser(command: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"dealias {command}", description="Look through a data set.")
    check = ArgumentParser(description="Read every file, count classes and sizes, list problems.")
    add = check.add_argument
    add("--options", action="config", help="options as JSON or YAML")
    check.add_class_arguments(SegmentationDataModule, "data", fail_untyped=False)
    add("--parts", type=list[Literal["train", "val", "test"]], default=["train", "val"])
    add("--sheet", type=Path, metavar="FILE.png", help="draw samples and training crops")
    add("--output", type=Path, metavar="FILE.json", help="write what was found")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    commands = parser.add_subcommands(required=True, dest="command")
    commands.add_subcommand("check", check, help="read every file before hours are spent on it")
    return parser


def _check(options: Namespace) -> int:
    files = [path for path in (options.output, options.sheet) if path is not None]
    check_outputs(files, [], [], overwrite=options.overwrite)
    data = SegmentationDataModule(**options.data.as_dict())
    found = check_data(data, parts=options.parts, progress=progress)
    console = output_console()
    for split in found.splits:
        _print_split(split, found.classes, console)
    if found.shared:
        console.print(f"{len(found.shared):,} images are in more than one split:")
        _print_list([str(path) for path in found.shared], console)
    if options.output is not None:
        text = json.dumps(found.to_dict(), indent=2, allow_nan=False)
        with write_whole(options.output) as file:
            file.write(text.encode("utf-8", "backslashreplace") + b"\n")
    if options.sheet is not None:
        write_contact_sheet(data, options.sheet, part=found.splits[0].part)
    _conclude(found, console)
    return 0 if found.ok else 1


def _print_split(split: SplitCheck, names: Sequence[str], console: Console) -> None:
    sizes = [f"{width}x{height}" for height, width in split.sizes]
    more = f" and {len(sizes) - 3:,} other sizes" if len(sizes) > 3 else ""
    title = (
        f"{split.part}: split {printable(split.split)}, {split.samples:,} images of "
        f"{', '.join(sizes[:3]) or 'no size'}{more}; {percent(split.void_share)} % void"
    )
    console.print(title, soft_wrap=True)
    table = Table("class")
    for head in ("pixels (%)", "images", "pixels"):
        table.add_column(head, justify="right")
    rows = zip(names, split.shares, split.images, split.pixels, strict=True)
    for name, share, images, pixels in rows:
        add_row(table, name, percent(share), f"{images:,}", f"{pixels:,}")
    console.print(table)
    if split.unseen:
        absent = ", ".join(printable(names[label]) for label in split.unseen)
        console.print(f"without a pixel: {absent}", soft_wrap=True)
    for what, found in (
        ("files without a partner", list(map(str, split.unpaired))),
        ("files that can't be used", split.problems),
    ):
        if found:
            console.print(f"{len(found):,} {what}:")
            _print_list(found, console)


def _print_list(lines: Sequence[str], console: Console) -> None:
    for line in lines[:_LISTED]:
        console.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > _LISTED:
        console.print(f"  and {len(lines) - _LISTED:,} more")


def _conclude(found: DataCheck, console: Console) -> None:
    good = "every file can be used" + (
        ", and none is in two splits" if len(found.splits) > 1 else ""
    )
    console.print(good if found.ok else "not every file is as it should be")
