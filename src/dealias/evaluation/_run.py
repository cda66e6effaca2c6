"""Evaluating folders of label maps, in any number of processes."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from dealias.evaluation._error_maps import draw_errors, read_image, write_png
from dealias.evaluation._files import OutputError
from dealias.evaluation._result import Evaluation, ImageRow, Settings
from dealias.labels import (
    ClassSet,
    LabelFileError,
    Pair,
    pair_folders,
    read_label_map,
    show_path,
)
from dealias.metrics.functional import (
    HardPixelCounts,
    LabelRangeError,
    Protocol,
    boundary_f_counts,
    boundary_iou_counts,
    count_hard_pixels,
    error_map,
    error_pixels,
    scores,
)


class EvaluationError(ValueError):
    """Inputs that can't be evaluated; the message names the files."""


@dataclass(frozen=True)
class Options:
    """How pairs are counted, and what is drawn of them.

    Attributes:
        classes: what the labels mean.
        protocol: "paper" or "exact".
        band_width: in pixels.
        boundary: count Boundary IoU and the boundary F-score too.
        error_maps: folder for a PNG an image; or None.
        images: the photograph of each pair by name, to draw the errors over; or None for the
            target.
    """

    classes: ClassSet
    protocol: Protocol = "paper"
    band_width: int = 15
    boundary: bool = False
    error_maps: Path | None = None
    images: Mapping[str, Path] | None = None

    @property
    def settings(self) -> Settings:
        """What counts of these options can be added to."""
        return Settings(
            self.classes.name,
            self.classes.names,
            self.classes.ignore_index,
            self.protocol,
            self.band_width,
            self.boundary,
        )


@dataclass(frozen=True)
class _Counted:
    """The counts of one pair, in NumPy arrays: cheap to send between processes."""

    row: ImageRow
    confusion: NDArray[np.int64]
    edges: NDArray[np.int64]
    boundary: NDArray[np.int64]


def evaluate_pair(pair: Pair, options: Options) -> _Counted:
    """Read and count one pair, and draw its error map if asked to.

    Raises:
        LabelFileError: a file that can't be used, sizes that differ, labels out of range.
    """
    classes = options.classes
    prediction = read_label_map(pair.prediction, classes, "prediction")
    target = read_label_map(pair.target, classes, "target")
    if prediction.shape != target.shape:
        raise LabelFileError(
            pair.prediction,
            f"expected {target.shape[1]}x{target.shape[0]} pixels like {show_path(pair.target)}, "
            f"got {prediction.shape[1]}x{prediction.shape[0]}",
        )
    maps = torch.from_numpy(prediction), torch.from_numpy(target)
    try:
        counts = count_hard_pixels(
            *maps,
            num_classes=len(classes),
            ignore_index=classes.ignore_index,
            band_width=options.band_width,
            protocol=options.protocol,
        )
    except LabelRangeError as error:
        path = pair.prediction if error.argument == "preds" else pair.target
        raise LabelFileError(path, error.detail) from error
    boundary = torch.zeros(6, len(classes), dtype=torch.int64)
    if options.boundary:
        boundary = torch.cat(
            [
                count(*maps, num_classes=len(classes), ignore_index=classes.ignore_index)
                for count in (boundary_iou_counts, boundary_f_counts)
            ]
        )
    if options.error_maps is not None:
        errors = error_map(
            *maps,
            num_classes=len(classes),
            ignore_index=classes.ignore_index,
            band_width=options.band_width,
            protocol=options.protocol,
        ).numpy()
        image = None if options.images is None else read_image(options.images[pair.name], target)
        drawn = draw_errors(errors, target, classes, image)
        write_png(drawn, options.error_maps / f"{pair.name}.png")
    wrong = tuple(int(count) for count in error_pixels(counts.confusion).values())
    row = ImageRow(pair.name, float(scores(counts)["mIoU"]), wrong)
    return _Counted(row, counts.confusion.numpy(), counts.edges.numpy(), boundary.numpy())


def evaluate_pairs(
    pairs: Sequence[Pair],
    options: Options,
    *,
    workers: int = 0,
    skip_bad: bool = False,
    on_image: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Count pairs in this process, or in `workers` others.

    Args:
        pairs: the files.
        options: how to count.
        workers: number of processes; 0 for this one.
        skip_bad: list files that can't be used instead of raising.
        on_image: called after each pair.

    Raises:
        LabelFileError: the first file that can't be used.
    """
    total = Evaluation.empty(options.settings)
    loader = DataLoader(
        _Pairs(pairs, options),
        batch_size=None,
        num_workers=min(workers, len(pairs)),
        collate_fn=_as_is,
        worker_init_fn=_stop_with_parent,
    )
    for found in _finish(loader):
        on_image()
        if isinstance(found, LabelFileError) and skip_bad:
            total.skipped.append(str(found))
            continue
        if isinstance(found, Exception):
            raise found
        counts = torch.from_numpy(found.confusion), torch.from_numpy(found.edges)
        total.counts += HardPixelCounts(*counts)
        total.boundary += torch.from_numpy(found.boundary)
        total.images.append(found.row)
    return total


def evaluate_folders(
    predictions: Path,
    targets: Path,
    options: Options,
    *,
    workers: int = 0,
    shard: tuple[int, int] = (1, 1),
    skip_bad: bool = False,
    progress: Callable[[int], contextlib.AbstractContextManager[Callable[[], object]]]
    | None = None,
) -> Evaluation:
    """Evaluate the predictions in one folder against the targets in another.

    Under torchrun, in an initialised process group or before one, each process takes its share;
    all of them return the whole.

    Args:
        predictions: folder of predicted label maps.
        targets: folder of target label maps.
        options: how to count.
        workers: number of reading processes; 0 for this one.
        shard: (i, n) for the i-th of n parts, from 1.
        skip_bad: list what can't be used instead of raising.
        progress: given the number of pairs, opens a context that gives a function to call after
            each.

    Raises:
        PairingError, LabelFileError: what can't be used.
        EvaluationError: files without a partner, or no image left.
    """
    found = pair_folders(predictions, targets)
    if found.unpaired and not skip_bad:
        raise EvaluationError(_unpaired_message(found.unpaired, predictions))
    index, parts = shard
    if not 1 <= index <= parts:
        raise EvaluationError(f"shard: expected I/N with 1 <= I <= N, got {index}/{parts}")
    pairs = found.pairs[index - 1 :: parts]
    if not pairs:
        raise EvaluationError(
            f"shard {index}/{parts}: expected at most {len(found.pairs)} shards, one a pair"
        )
    total = Evaluation.empty(options.settings)
    if index == 1:
        total.skipped += [f"{show_path(path)}: no partner" for path in found.unpaired]
    with _process_group() as (rank, processes):
        opened = progress(len(pairs)) if progress else contextlib.nullcontext(_nothing)
        with opened as tick:
            part: Evaluation | ValueError
            try:
                part = evaluate_pairs(
                    pairs[rank::processes],
                    options,
                    workers=workers,
                    skip_bad=skip_bad,
                    on_image=tick,
                )
            except ValueError as error:
                part = error  # raised below, once every process has been heard
        parts_found = _gather(part, processes)
    whole = total
    for part in parts_found:
        if isinstance(part, ValueError):
            raise part
        whole = whole.merge(part)
    if not whole.images:
        raise EvaluationError("no image left to evaluate; skipped: " + "; ".join(whole.skipped[:4]))
    return whole


_Loaded = _Counted | LabelFileError | OutputError


class _Pairs(Dataset[_Loaded]):
    def __init__(self, pairs: Sequence[Pair], options: Options) -> None:
        self.pairs = pairs
        self.options = options

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> _Loaded:
        try:
            return evaluate_pair(self.pairs[index], self.options)
        except (LabelFileError, OutputError) as error:
            return error  # raised in the parent, without the worker's traceback


def _stop_with_parent(_worker: int) -> None:
    """End this worker soon after its parent is gone, however that ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _as_is(found: object) -> object:
    return found


def _finish(loader: "DataLoader[_Loaded]") -> Iterator[_Loaded]:
    """All that a loader yields; a worker that died is an EvaluationError."""
    try:
        yield from loader
    except RuntimeError as error:
        raise EvaluationError(f"a reading process died: {error}") from error


def _nothing() -> None:
    pass


@contextlib.contextmanager
def _process_group() -> Iterator[tuple[int, int]]:
    """Rank and number of processes, of the group there is or of the one torchrun asks for."""
    if dist.is_available() and dist.is_initialized():
        yield dist.get_rank(), dist.get_world_size()
    elif dist.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
        try:
            yield dist.get_rank(), dist.get_world_size()
        finally:
            dist.destroy_process_group()
    else:
        yield 0, 1


def _gather(part: Evaluation | ValueError, processes: int) -> list[Evaluation | ValueError]:
    parts: list[Evaluation | ValueError] = [part] * processes
    if processes > 1:
        dist.all_gather_object(parts, part)
    return parts


def _unpaired_message(unpaired: Sequence[Path], predictions: Path) -> str:
    sides: dict[str, list[str]] = {}
    for path in unpaired:
        predicted = path.is_relative_to(predictions)
        side = "predictions without a target" if predicted else "targets without a prediction"
        sides.setdefault(side, []).append(show_path(path))
    told = [
        f"{len(paths):,} {side}: {', '.join(paths[:4])}{', ...' if len(paths) > 4 else ''}"
        for side, paths in sides.items()
    ]
    return "; ".join(told) + "; --skip-bad leaves them out"
