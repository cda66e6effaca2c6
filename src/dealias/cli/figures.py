"""``dealias figures``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, short_names
from dealias.cli.outputs import TRUST_PATHS
from dealias.outputs import OutputFolder, claim_outputs
from dealias.text import printable

if TYPE_CHECKING:
    from dealias.report import Examples

_LONGEST_PREFIX = 60  # characters of up to four bytes; a file name holds 255 bytes


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE.json", help="results of dealias evaluate")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for the figures")
    strips = "number of worst images to draw (0: none)"
    add("--strips", type=int, default=4, metavar="N", help=strips)
    add("--trust", action="store_true", help=TRUST_PATHS)
    add("--overwrite", action="store_true", help="replace existing outputs")


def run(options: Namespace) -> int:
    """Draw the figures, write the tables and print where they are."""
    if options.strips < 0:
        raise ValueError(f"--strips: expected 0 or more, got {options.strips}")
    if options.trust and not options.strips:
        raise ValueError("--trust is for the images of --strips, and there are none")
    claimed = claim_outputs([], [options.output], options.files, overwrite=options.overwrite)
    with claimed, OutputFolder(options.output) as folder:
        count = _write(folder.part, options)
        folder.finish()
    output_console().print(f"{count} files: {printable(options.output)}", soft_wrap=True)
    return 0


def _write(folder: Path, options: Namespace) -> int:
    from dealias.report import (
        ResultFileError,
        class_table,
        find_examples,
        mean_table,
        read_result,
        worst_images,
        write_figures,
        write_tables,
    )

    results = dict(zip(short_names(options.files), map(read_result, options.files), strict=True))
    if len(results) < len(options.files):
        raise ValueError("expected each result once")
    prefixes = _prefixes(list(results))
    console = output_console()
    images: list[Examples | None] = []
    for result, path in zip(results.values(), options.files, strict=True):
        images.append(None)
        try:
            if options.strips:
                images[-1] = find_examples(result, path, trust=options.trust)
        except ResultFileError as error:
            console.print(f"no strips of images: {error}", soft_wrap=True)
        if images[-1] is not None:
            for name in worst_images(result, options.strips):
                images[-1].load(name)  # fails on an unusable image before anything is drawn
    count = 0
    for result, examples, prefix in zip(results.values(), images, prefixes, strict=True):
        drawn = write_figures(folder, result, examples, images=options.strips, prefix=prefix)
        written = write_tables(folder, f"{prefix}classes", class_table(result))
        count += len(drawn) + len(written)
    try:
        table = mean_table(results)
    except ResultFileError as error:
        console.print(f"table: no best figures are marked: {error}", soft_wrap=True)
        table = mean_table(results, bold=False)
    return count + len(write_tables(folder, "table", table))


def _prefixes(names: Sequence[str]) -> list[str]:
    """A prefix for the files of each result: distinct, and of word characters only."""
    if len(names) == 1:
        return [""]
    plain = [re.sub(r"\W+", "_", name)[-_LONGEST_PREFIX:] for name in names]
    return [
        f"{text}_" if plain.count(text) == 1 else f"{number}_{text}_"
        for number, text in enumerate(plain, start=1)
    ]
