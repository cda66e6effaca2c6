"""``dealias compare``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, progress, short_names
from dealias.cli.outputs import TRUST_PATHS, add_groups, refuse_unused
from dealias.outputs import claim_outputs
from dealias.processes import reading_processes

if TYPE_CHECKING:
    from dealias.report import Examples


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("first", type=Path, metavar="A.json", help="result of dealias evaluate")
    add("second", type=Path, metavar="B.json", help="another result for the same images")
    add("--report", type=Path, metavar="DIR", help="write a page that shows the differences")
    add("--format", choices=["text", "json"], default="text", help="format of the printed result")
    add_groups(parser)
    workers = "number of processes that draw; 0 draws in this process"
    add("--workers", type=int, default=None, metavar="N", help=workers)
    add("--trust", action="store_true", help=TRUST_PATHS)
    add("--overwrite", action="store_true", help="replace existing outputs")


def run(options: Namespace) -> int:
    """Compare, draw and print."""
    from dealias.cli.difference_tables import print_differences
    from dealias.evaluation import read_groups
    from dealias.report import compare_results, read_result, write_comparison

    refuse_unused(options, {"workers": ["report"], "trust": ["report"]})
    paths = options.first, options.second
    folders = [] if options.report is None else [options.report]
    groups = None if options.groups is None else read_groups(options.groups)
    with claim_outputs([], folders, paths, overwrite=options.overwrite):
        results = [read_result(path) for path in paths]
        comparison = compare_results(*results, names=short_names(paths), groups=groups)
        console = output_console()
        if options.format == "json":  # numbers first: drawing may fail
            console.out(json.dumps(comparison, indent=2, allow_nan=False))
        else:
            print_differences(comparison, console)
        examples: list[Examples] | str = []
        if options.report is not None:
            examples = _images(results, paths, trust=options.trust)
            write_comparison(
                options.report,
                comparison,
                examples,
                workers=reading_processes(options.workers),
                progress=progress,
            )
    if isinstance(examples, str) and options.format != "json":
        console.print(f"no pictures: {examples}", soft_wrap=True)
    return 0


def _images(
    results: Sequence[Mapping[str, Any]], paths: Sequence[Path], *, trust: bool
) -> list[Examples] | str:
    """The images of both results, or why there are none."""
    from dealias.report import ResultFileError, find_examples

    try:
        return [
            find_examples(result, path, trust=trust)
            for result, path in zip(results, paths, strict=True)
        ]
    except ResultFileError as error:
        return str(error)
