"""``dealias evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, progress
from dealias.cli.outputs import (
    add_interval_arguments,
    add_output_arguments,
    claim_asked,
    refuse_unused,
    write_outputs,
)
from dealias.labels import (
    PairingRule,
    builtin_class_sets,
    file_of,
    is_copied,
    is_url,
    load_class_set,
    local_folder,
    name_table,
)
from dealias.outputs import fill_folder
from dealias.processes import main_process, reading_processes

if TYPE_CHECKING:
    from dealias.evaluation import Groups, Options
    from dealias.metrics.functional import ObjectRecall

_PLACE = "DIR|URL|COCO.json|FILE.parquet"
_FOLDERS = ("predictions", "targets", "images")
_USES = {
    "images": ["error_maps", "report"],
    "probe": ["report"],
    "title": ["report"],
    "trust": ["probe"],
    "groups": ["interval", "output", "counts", "report"],
    "vanished_below": ["objects"],
    "found_from": ["objects"],
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    sets = "|".join(builtin_class_sets())
    add = parser.add_argument
    add("--predictions", type=str, required=True, metavar=_PLACE, help="predicted label maps")
    add("--targets", type=str, required=True, metavar=_PLACE, help="target label maps")
    add("--classes", type=str, required=True, metavar=f"{sets}|FILE.yaml", help="class set")
    protocol = "how edges are found: as in the paper's code, or exactly, without its two gaps"
    add("--protocol", choices=["paper", "exact"], default="paper", help=protocol)
    add("--band-width", type=int, default=15, help="width of the boundary bands in pixels, odd")
    add(
        "--band-widths",
        type=str,
        metavar="3,7,15|1%,2%",
        help="also compute the figures at other widths, in pixels or shares of the diagonal",
    )
    add("--boundary", action="store_true", help="also compute Boundary IoU and boundary F-score")
    objects = "also count objects found, vanished, merged and split"
    add("--objects", action="store_true", help=objects)
    add(
        "--vanished-below",
        type=float,
        metavar="SHARE",
        help="an object has vanished if less than this share of it is predicted as its class; "
        "0.1 if not given",
    )
    add(
        "--found-from",
        type=float,
        metavar="SHARE",
        help="an object is found if at least this share of it is predicted as its class; "
        "0.5 if not given",
    )
    add(
        "--map-predictions",
        action="store_true",
        help="predictions store labels like the targets, such as the label ids of Cityscapes",
    )
    add(
        "--resize-predictions",
        choices=["nearest"],
        help="resize predictions to the size of their target; without it, other sizes are refused",
    )
    pattern = "pattern of the names of predictions, such as {name}_pred.png"
    add("--prediction-pattern", type=str, metavar="PATTERN", help=pattern)
    pattern = "pattern of the names of targets, such as {name}/mask.png"
    add("--target-pattern", type=str, metavar="PATTERN", help=pattern)
    pairs = "paths of pairs, in the columns prediction and target"
    add("--pairs", type=Path, metavar="FILE.csv", help=pairs)
    workers = "number of processes that read images; 0 reads in this process"
    add("--workers", type=int, default=None, metavar="N", help=workers)
    shard = "evaluate only the I-th of N parts, counted from 1"
    add("--shard", type=str, default="1/1", metavar="I/N", help=shard)
    add("--error-maps", type=Path, metavar="DIR", help="write one error picture per image")
    add("--report", type=Path, metavar="DIR", help="write a page that shows the errors")
    add("--title", type=str, metavar="TEXT", help="heading of the page, such as the name of a run")
    add(
        "--images",
        type=str,
        metavar="DIR|URL|FILE.parquet",
        help="photographs to draw the errors over",
    )
    add("--probe", type=Path, metavar="FILE.json", help="result of dealias probe for the report")
    trust = "read the maps named in the file of --probe from any folder"
    add("--trust", action="store_true", help=trust)
    skip = "leave out files that cannot be used, and exit with 1"
    add("--skip-bad", action="store_true", help=skip)
    add_interval_arguments(parser)
    add_output_arguments(parser)


def run(options: Namespace) -> int:
    """Evaluate, write, draw and print."""
    from dealias.cli.evaluation_tables import print_evaluation
    from dealias.evaluation import DrawingError, evaluate_folders, read_groups
    from dealias.report import read_probe, report_folders

    drawn = [path for path in (options.error_maps, options.report) if path is not None]
    given = {name: name_table(options[name]) for name in _FOLDERS if options[name] is not None}
    inputs = [Path(file_of(place)) for place in given.values() if not is_url(place)]
    inputs += [] if options.pairs is None else [options.pairs]
    refuse_unused(options, _USES)
    probe = None if options.probe is None else read_probe(options.probe, trust=options.trust)
    groups = None if options.groups is None else read_groups(options.groups)
    asked = claim_asked(options, folders=drawn, inputs=inputs)
    with asked, fill_folder(options.error_maps) as error_maps, ExitStack() as stack:
        how = _options(options, given, error_maps, groups)  # before much is copied
        # Equal places share one copy, so that it shows if predictions and targets are the same.
        asked_for = {name: (place, _kind(name, place)) for name, place in given.items()}
        copies = {one: stack.enter_context(local_folder(*one)) for one in {*asked_for.values()}}
        folders = {name: copies[one] for name, one in asked_for.items()}
        folders_and_options = (folders["predictions"], folders["targets"], how)
        reading = {
            "images": folders.get("images"),
            "workers": reading_processes(options.workers),
            "shard": _shard(options.shard),
            "skip_bad": options.skip_bad,
            "progress": progress,
        }
        more = None
        try:
            if options.report is None:
                evaluation = evaluate_folders(*folders_and_options, **reading)
            else:
                evaluation, more = report_folders(
                    options.report,
                    *folders_and_options,
                    output=options.output,
                    title=options.title,
                    probe=probe,
                    **reading,
                )
        except DrawingError as error:  # a failed picture must not lose numbers that took long
            if main_process():
                write_outputs(error.evaluation, options)
            raise
        if main_process():
            write_outputs(evaluation, options, more)
    if main_process():
        print_evaluation(evaluation, output_console(), interval=options.interval)
    return 1 if evaluation.skipped else 0


def _kind(name: str, place: str) -> Literal["images", "labels"]:
    """What to look for in a place; this matters only for tables, which may hold both."""
    return "images" if name == "images" and is_copied(place) else "labels"


def _options(
    options: Namespace, given: Mapping[str, str], error_maps: Path | None, groups: Groups | None
) -> Options:
    """How pairs are counted; `given` are the places of the folders by name."""
    from dealias.evaluation import Options
    from dealias.metrics.functional import BandWidths

    widths = str(BandWidths.parse(options.band_widths)) if options.band_widths else ""
    return Options(
        load_class_set(options.classes),
        protocol=options.protocol,
        band_width=options.band_width,
        boundary=options.boundary,
        map_predictions=options.map_predictions,
        error_maps=error_maps,
        groups=groups,
        object_recall=_object_recall(options),
        band_widths=widths,
        resize_predictions=options.resize_predictions is not None,
        rule=PairingRule(options.prediction_pattern, options.target_pattern, options.pairs),
        origins={
            name: place if is_url(place) else str(Path(place).absolute())
            for name, place in given.items()
            if is_copied(place)
        },
    )


def _object_recall(options: Namespace) -> ObjectRecall | None:
    from dealias.metrics.functional import OBJECT_RECALL, ObjectRecall, check_object_recall

    if not options.objects:
        return None
    given = {name: options[name] for name in ObjectRecall._fields if options[name] is not None}
    recall = OBJECT_RECALL._replace(**given)
    check_object_recall(recall)
    return recall


def _shard(text: str) -> tuple[int, int]:
    index, slash, parts = text.partition("/")
    if not (slash and index.isdecimal() and parts.isdecimal()):
        raise ValueError(f"--shard: expected I/N such as 1/4, got {text!r}")
    return int(index), int(parts)
