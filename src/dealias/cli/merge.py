"""``dealias merge``."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console
from dealias.cli.outputs import (
    add_interval_arguments,
    add_output_arguments,
    claim_asked,
    refuse_unused,
    write_outputs,
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE.npz", help="counts from dealias evaluate")
    add("--partial", action="store_true", help="allow missing shards")
    add_interval_arguments(parser)
    add_output_arguments(parser)


def run(options: Namespace) -> int:
    """Merge, write and print."""
    from dealias.cli.evaluation_tables import print_evaluation
    from dealias.evaluation import merge_counts, read_groups

    refuse_unused(options, {"groups": ["interval", "output", "counts"]})
    groups = None if options.groups is None else read_groups(options.groups)
    with claim_asked(options, inputs=options.files):
        evaluation = merge_counts(options.files, partial=options.partial)
        if groups is not None:
            evaluation.regroup(groups)
        write_outputs(evaluation, options)
    print_evaluation(evaluation, output_console(), interval=options.interval)
    return 1 if evaluation.skipped else 0
