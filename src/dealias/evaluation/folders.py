"""Evaluate folders of label maps, in any number of processes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dealias.evaluation.digests import digest_file
from dealias.evaluation.error_maps import write_error_map
from dealias.evaluation.images import Options, evaluate_maps
from dealias.evaluation.results import Evaluation
from dealias.evaluation.shards import MOST_SHARDS, Shard
from dealias.evaluation.sources import Sources, read_sizes
from dealias.evaluation.warnings import last_class_mapping
from dealias.images import ImageError
from dealias.labels import (
    ClassSet,
    LabelFileError,
    Pair,
    Pairing,
    find_images,
    pair_folders,
    resize_nearest,
)
from dealias.metrics.functional import LabelRangeError
from dealias.processes import Progress, gather, open_progress, process_group, read_in_order
from dealias.text import FileError, printable

# Is given the name, the predicted labels, the target labels and the photograph of a pair.
Draw = Callable[[str, NDArray[np.integer], NDArray[np.integer], Path | None], Any]


class DrawingError(ValueError):
    """All images were counted, but a picture can't be drawn or written.

    Attributes:
        evaluation: what was counted.
    """

    def __init__(self, problem: str, evaluation: Evaluation) -> None:
        super().__init__(problem)
        self.evaluation = evaluation


def why_undrawn(error: Exception) -> str:
    """Return the message of a drawing error, with its type if it is not one that was foreseen."""
    foreseen = isinstance(error, (ValueError, OSError))
    return str(error) if foreseen else f"{type(error).__name__} in drawing: {error}"


class EvaluationError(ValueError):
    """The inputs can't be evaluated; the message names the files."""


def evaluate_pair(
    pair: Pair,
    options: Options,
    *,
    images: Mapping[str, Path] | None = None,
    skip_bad: bool = False,
    draw: Draw | None = None,
) -> Evaluation:
    """Read and count one pair, and draw its error map if the options say so.

    Args:
        pair: the files.
        options: how to count.
        images: photographs to draw the errors over, by the name of the pair; a pair without one is
            drawn over its target.
        skip_bad: list files that can't be used instead of raising. If the photograph can't be used,
            the error map is drawn over the target; if a label map can't, the evaluation is empty.
        draw: called with the labels that were counted; its results are added up in `drawn`.

    Returns:
        The counts. If a picture can't be drawn or written, `undrawn` says why.

    Raises:
        LabelFileError: a file can't be used, the sizes differ, or labels are out of range.
    """
    classes = options.classes
    try:
        # Digest before reading: if a file changes in between, its labels differ from its digest.
        digests = (digest_file(pair.prediction), digest_file(pair.target))
        stored, target = read_sizes(
            pair, classes, options.map_predictions, options.resize_predictions
        )
        resized = stored.shape != target.shape
        preds = resize_nearest(stored, target.shape) if resized else stored
        maps = torch.from_numpy(preds), torch.from_numpy(target)
        try:
            found = evaluate_maps(pair.name, *maps, options, digests=digests)
        except LabelRangeError as error:
            path = pair.prediction if error.argument == "preds" else pair.target
            raise LabelFileError(path, error.detail + _hint(error, classes)) from error
        found.resized_images = int(resized)
    except FileError as error:
        if not skip_bad:
            raise
        return replace(Evaluation.empty(options.settings), skipped=[str(error)])
    image = (images or {}).get(pair.name)
    try:
        if options.error_maps is not None:
            output = options.error_maps / f"{pair.name}.png"
            write = partial(write_error_map, output, *maps, classes, options.counting)
            try:
                write(image)
            except ImageError as error:
                if not skip_bad:
                    raise
                found.skipped.append(str(error))
                write(None)
        if draw is not None:
            found.drawn = draw(pair.name, preds, target, image)
    except Exception as error:  # an error in a picture must not lose the counts
        found.undrawn = why_undrawn(error)
    return found


def evaluate_pairs(
    pairs: Sequence[Pair],
    options: Options,
    *,
    images: Mapping[str, Path] | None = None,
    workers: int = 0,
    skip_bad: bool = False,
    draw: Draw | None = None,
    on_image: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Count pairs, in this process or in `workers` other processes.

    Args:
        pairs: the files.
        options: how to count.
        images: see :func:`evaluate_pair`.
        workers: number of processes; 0 for this one.
        skip_bad: list files that can't be used instead of raising.
        draw: see :func:`evaluate_pair`; called in the process that reads the pair.
        on_image: called after each pair.

    Raises:
        LabelFileError: the first file that can't be used.
        ProcessError: a process died.
    """
    total = Evaluation.empty(options.settings)
    count = partial(evaluate_pair, options=options, images=images, skip_bad=skip_bad, draw=draw)
    for found in read_in_order(count, pairs, workers, on_image):
        total.absorb(found)
    return total


def evaluate_folders(
    predictions: Path,
    targets: Path,
    options: Options,
    *,
    images: Path | None = None,
    workers: int = 0,
    shard: tuple[int, int] = (1, 1),
    skip_bad: bool = False,
    draw: Draw | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate the predictions in one folder against the targets in another.

    Under torchrun, whether or not a process group is initialised, each process counts its share.
    All processes return the whole evaluation or raise the same error.

    Args:
        predictions: folder of predicted label maps.
        targets: folder of target label maps.
        options: how to count.
        images: folder of photographs to draw the errors over.
        workers: number of reading processes; 0 to read in this one.
        shard: (i, n) for part i of n, counted from 1.
        skip_bad: list files that can't be used instead of raising; see :func:`evaluate_pair`.
        draw: see :func:`evaluate_pair`.
        progress: is given the number of pairs of this process, and opens a context that yields a
            function to call after each pair.

    Raises:
        PairingError, LabelFileError: a file or folder can't be used.
        EvaluationError: files have no partner, or no image is left to evaluate.
        GroupError: an image has no group.
        DrawingError: all images were counted, but a picture can't be drawn; the error has the
            evaluation.
    """
    paired = pair_folders(predictions, targets, options.rule)
    pairs, unpaired = _pairs_of_shard(paired, predictions, targets, shard, skip_bad)
    if options.groups is not None:
        options.groups.check([pair.name for pair in pairs])
    total = Evaluation.empty(options.settings)
    total.shards.append(Shard.of(*shard, [pair.name for pair in paired.pairs]))
    total.sources = Sources.of(
        options.classes,
        predictions,
        targets,
        images,
        map_predictions=options.map_predictions,
        resize_predictions=options.resize_predictions,
        rule=options.rule,
        found_by=paired.found_by,
        origins=options.origins,
    )
    total.skipped += [f"{printable(path)}: no partner" for path in unpaired]
    photographs, problems = _photographs(images, paired.pairs, pairs)
    if problems and not skip_bad:
        raise EvaluationError("; ".join(problems[:4]))
    total.skipped += problems

    with process_group() as (rank, processes):
        own = pairs[rank::processes]
        gather(None, processes)  # the folder of pictures must exist before any process draws
        part: Evaluation | Exception
        with open_progress(progress, len(own)) as tick:
            try:
                part = evaluate_pairs(
                    own,
                    options,
                    images=photographs,
                    workers=workers,
                    skip_bad=skip_bad,
                    draw=draw,
                    on_image=tick,
                )
            except Exception as error:  # raised below, once every process has reported
                part = error
        results = gather(part, processes)
    for result in results:
        if isinstance(result, Exception):
            raise result
        total = total.merge(result)
    if not total.images and shard[1] == 1:
        raise EvaluationError("no image left to evaluate; skipped: " + "; ".join(total.skipped[:4]))
    if total.undrawn is not None:
        raise DrawingError(total.undrawn, total)
    return total


def _pairs_of_shard(
    found: Pairing, predictions: Path, targets: Path, shard: tuple[int, int], skip_bad: bool
) -> tuple[list[Pair], list[Path]]:
    """Return the pairs of a shard; the first shard also lists the files without a partner."""
    if found.unpaired and not skip_bad:
        raise EvaluationError(_unpaired_message(found.unpaired, predictions, targets))
    index, parts = shard
    if not 1 <= index <= parts:
        raise EvaluationError(f"shard: expected I/N with 1 <= I <= N, got {index}/{parts}")
    if parts > MOST_SHARDS:
        raise EvaluationError(f"shard: expected at most {MOST_SHARDS:,} parts, got {parts:,}")
    pairs = found.pairs[index - 1 :: parts]
    if not pairs:
        raise EvaluationError(
            f"shard {index}/{parts}: expected at most {len(found.pairs)} shards, one a pair"
        )
    return pairs, found.unpaired if index == 1 else []


def _photographs(
    folder: Path | None, every: Sequence[Pair], pairs: Sequence[Pair]
) -> tuple[dict[str, Path], list[str]]:
    """Return the photographs by the name of the pair, and a message for each that is missing.

    They are looked up for `every` pair, since the names in a shard may be unique there alone.
    """
    if folder is None:
        return {}, []
    found = find_images(folder, [pair.name for pair in every])
    return found, [
        f"{printable(folder)}: no image for {printable(pair.name)}"
        for pair in pairs
        if pair.name not in found
    ]


def _hint(error: LabelRangeError, classes: ClassSet) -> str:
    if len(classes) == 2 and list(error.pixels) == [255] and not classes.label_map:
        mapping = last_class_mapping(255, classes.names)
        mapped = " and --map-predictions" if error.argument == "preds" else ""
        return f"; if 255 stands for {classes.names[1]}, add {mapping} to the class set{mapped}"
    if error.argument != "preds" or not (classes.label_map or classes.reduce_zero_label):
        return ""
    if classes.ignore_index in error.pixels:
        return f"; {classes.ignore_index} is void, which is no prediction"
    return "; --map-predictions is for predictions that store labels as the targets do"


def _unpaired_message(unpaired: Sequence[Path], predictions: Path, targets: Path) -> str:
    without = {
        targets: "targets without a prediction",
        predictions: "predictions without a target",
    }
    if predictions == targets:
        without = {targets: "files without a partner"}
    sides: dict[str, list[str]] = {}
    for path in unpaired:
        folders = [folder for folder in without if path.is_relative_to(folder)]
        inner = max(folders, key=lambda folder: len(folder.parts))  # one may be inside the other
        sides.setdefault(without[inner], []).append(printable(path))
    told = [
        f"{len(paths):,} {side}: {', '.join(paths[:4])}{', ...' if len(paths) > 4 else ''}"
        for side, paths in sides.items()
    ]
    return "; ".join(told) + "; --skip-bad leaves them out"
