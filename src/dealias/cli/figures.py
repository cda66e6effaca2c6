"""``dealias figures``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, short_names
from dealias.files import check_outputs
from dealias.report import (
    Examples,
    ResultFileError,
    check_comparable,
    class_table,
    find_examples,
    mean_table,
    read_result,
    worst_images,
    write_figures,
    write_tables,
)
from dealias.text import printable


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE.json", help="results of dealias evaluate")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of the figures")
    add("--strips", type=int, default=4, metavar="N", help="worst images to show; 0 for none")
    add("--overwrite", action="store_true", help="replace outputs that exist")


def run(options: Namespace) -> int:
    """Draw, set the tables and say where they are."""
    if options.strips < 0:
        raise ValueError(f"--strips: expected 0 or more, got {options.strips}")
    check_outputs([], [options.output], options.files, overwrite=options.overwrite)
    results = {
        name: read_result(path)
        for name, path in zip(short_names(options.files), options.files, strict=True)
    }
    console = output_console()
    images: list[Examples | None] = []
    for result, path in zip(results.values(), options.files, strict=True):
        images.append(None)
        try:
            images[-1] = find_examples(result, path) if options.strips else None
        except ResultFileError as error:
            console.print(f"no strips of images: {error}", soft_wrap=True)
        if images[-1] is not None:
            for name in worst_images(result, options.strips):
                images[-1].load(name)  # what can't be drawn shows before anything is
    count = 0
    for (name, result), examples in zip(results.items(), images, strict=True):
        prefix = f"{'_'.join(Path(name).parts)}_" if len(results) > 1 else ""
        drawn = write_figures(
            options.output, result, examples, images=options.strips, prefix=prefix
        )
        written = write_tables(options.output, f"{prefix}classes", class_table(result))
        count += len(drawn) + len(written)
    problem = _incomparable(results)
    if problem:
        console.print(f"table: no best figures are marked: {problem}", soft_wrap=True)
    table = mean_table(results, bold=not problem)
    count += len(write_tables(options.output, "table", table))
    console.print(f"{count} files: {printable(options.output)}", soft_wrap=True)
    return 0


def _incomparable(results: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why the rows of a table can't be compared; None if they can."""
    (first, one), *others = results.items()
    try:
        for name, other in others:
            check_comparable(one, other, names=(first, name))
    except ResultFileError as error:
        return str(error)
    return None
