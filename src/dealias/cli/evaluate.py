"""``dealias evaluate``."""

import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli._console import main_process, output_console, print_evaluation, progress
from dealias.evaluation import (
    Options,
    check_output,
    check_output_folder,
    evaluate_folders,
    write_counts,
    write_csv,
    write_json,
)
from dealias.labels import builtin_class_sets, find_images, load_class_set, pair_folders
from dealias.metrics.functional import Protocol

_WRITERS = {"output": write_json, "csv": write_csv, "counts": write_counts}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    sets = "|".join(builtin_class_sets())
    add = parser.add_argument
    add("--predictions", type=Path, required=True, metavar="DIR", help="predicted label maps")
    add("--targets", type=Path, required=True, metavar="DIR", help="target label maps")
    add("--classes", type=str, required=True, metavar=f"{sets}|FILE.yaml", help="class set")
    add("--protocol", type=Protocol, default="paper", help="paper, or exact without its gaps")
    add("--band-width", type=int, default=15, help="width of the boundary bands in pixels, odd")
    add("--boundary", action="store_true", help="Boundary IoU and boundary F-score as well")
    add("--workers", type=int, default=None, metavar="N", help="reading processes; 0 for none")
    add("--shard", type=str, default="1/1", metavar="I/N", help="the I-th of N parts, from 1")
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--csv", type=Path, metavar="FILE.csv", help="write the table of classes")
    add("--counts", type=Path, metavar="FILE.npz", help="write counts for dealias merge")
    add("--error-maps", type=Path, metavar="DIR", help="write a picture of the errors an image")
    add("--images", type=Path, metavar="DIR", help="photographs to draw the errors over")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("--skip-bad", action="store_true", help="leave out what can't be used; exit with 1")


def run(options: Namespace) -> int:
    """Evaluate, print and write."""
    files = {name: options[name] for name in _WRITERS if options[name] is not None}
    for path in files.values():
        check_output(path, overwrite=options.overwrite)
    if options.error_maps is not None:
        check_output_folder(options.error_maps, overwrite=options.overwrite)
    images = None
    if options.images is not None:
        pairs = pair_folders(options.predictions, options.targets).pairs
        images = find_images(options.images, [pair.name for pair in pairs])
    evaluation = evaluate_folders(
        options.predictions,
        options.targets,
        Options(
            load_class_set(options.classes),
            options.protocol,
            options.band_width,
            options.boundary,
            options.error_maps,
            images,
        ),
        workers=_workers(options.workers),
        shard=_shard(options.shard),
        skip_bad=options.skip_bad,
        progress=progress,
    )
    if main_process():
        for name, path in files.items():
            _WRITERS[name](evaluation, path)
        console = output_console()
        print_evaluation(evaluation, console)
        for message in evaluation.skipped:
            console.print(f"skipped {message}", soft_wrap=True)
    return 1 if evaluation.skipped else 0


def _workers(asked: int | None) -> int:
    if asked is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(8, max(1, (cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    if asked < 0:
        raise ValueError(f"--workers: expected 0 or more, got {asked}")
    return asked


def _shard(text: str) -> tuple[int, int]:
    index, slash, parts = text.partition("/")
    if not (slash and index.isdecimal() and parts.isdecimal()):
        raise ValueError(f"--shard: expected I/N such as 1/4, got {text!r}")
    return int(index), int(parts)
