"""``dealias merge``."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli._console import output_console, print_evaluation
from dealias.evaluation import check_output, merge_counts, write_counts, write_csv, write_json

_WRITERS = {"output": write_json, "csv": write_csv, "counts": write_counts}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE.npz", help="counts of dealias evaluate")
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--csv", type=Path, metavar="FILE.csv", help="write the table of classes")
    add("--counts", type=Path, metavar="FILE.npz", help="write the counts of all")
    add("--overwrite", action="store_true", help="replace outputs that exist")


def run(options: Namespace) -> int:
    """Merge, print and write."""
    files = {name: options[name] for name in _WRITERS if options[name] is not None}
    for path in files.values():
        check_output(path, overwrite=options.overwrite)
    evaluation = merge_counts(options.files)
    for name, path in files.items():
        _WRITERS[name](evaluation, path)
    print_evaluation(evaluation, output_console())
    return 1 if evaluation.skipped else 0
