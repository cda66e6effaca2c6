"""Options and output files that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from dealias.files import write_json
from dealias.outputs import claim_outputs

if TYPE_CHECKING:
    from dealias.evaluation import Evaluation

GROUPS = "images to resample together, such as those of a video, city or patient"
TRUST_PATHS = (
    "draw images from the folders that the results name, or from their pages in any folder; "
    "without it, only from the page of evaluate --report, if it is below the folder of its result"
)
_OUTPUTS = ("output", "csv", "counts")


def add_interval_arguments(parser: ArgumentParser) -> None:
    """Declare the options of confidence intervals."""
    parser.add_argument("--interval", action="store_true", help="print confidence intervals")
    add_groups(parser)


def add_groups(parser: ArgumentParser) -> None:
    """Declare the option that groups images."""
    parser.add_argument("--groups", type=str, metavar="REGEX|FILE.csv", help=GROUPS)


def add_output_arguments(parser: ArgumentParser) -> None:
    """Declare the options that name files to write."""
    add = parser.add_argument
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--csv", type=Path, metavar="FILE.csv", help="write the table of classes")
    add("--counts", type=Path, metavar="FILE.npz", help="write counts for dealias merge")
    add("--overwrite", action="store_true", help="replace existing outputs")


def refuse_unused(options: Namespace, uses: Mapping[str, Sequence[str]]) -> None:
    """Refuse options that have no effect without others.

    Args:
        options: options of a command.
        uses: names of options, each with those options of which at least one must be given too.

    Raises:
        ValueError: an option would have no effect.

    >>> refuse_unused(Namespace(title="x", report=None), {"title": ["report"]})
    Traceback (most recent call last):
    ValueError: --title is for --report
    >>> refuse_unused(Namespace(x="y", output=None, csv=None), {"x": ["output", "csv"]})
    Traceback (most recent call last):
    ValueError: --x is for --output or --csv
    """
    for name, others in uses.items():
        values = {each: options[each] for each in (name, *others)}
        given = [each for each, value in values.items() if value is not None and value is not False]
        if given == [name]:
            *most, last = (f"--{other.replace('_', '-')}" for other in others)
            used = f"{', '.join(most)} or {last}" if most else last
            raise ValueError(f"--{name.replace('_', '-')} is for {used}")


def claim_asked(
    options: Namespace,
    *,
    folders: Sequence[Path] = (),
    inputs: Sequence[Path] = (),
) -> AbstractContextManager[None]:
    """Claim the requested outputs, or refuse them before any work is done."""
    files = [options[name] for name in _OUTPUTS if options[name] is not None]
    return claim_outputs(files, folders, inputs, overwrite=options.overwrite)


def write_outputs(
    evaluation: Evaluation, options: Namespace, more: Mapping[str, Any] | None = None
) -> None:
    """Write the requested files, with the keys of `more` added to the result."""
    from dealias.evaluation import write_counts, write_csv

    if options.output is not None:
        write_json(evaluation.to_dict() | dict(more or {}), options.output)
    if options.csv is not None:
        write_csv(evaluation, options.csv)
    if options.counts is not None:
        write_counts(evaluation, options.counts)
