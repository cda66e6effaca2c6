"""Processes that share the work: those that read, and those that torchrun starts."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any, TypeVar

import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")


_MOST_READERS = 8


class ProcessError(ValueError):
    """A reading process died."""


def read_in_order(items: Dataset[Any], count: int, workers: int) -> Iterator[Any]:
    """Yield the `count` items of a data set, read here or by up to `workers` processes.

    Raises:
        ProcessError: one of them died.
    """
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=min(workers, count),
        collate_fn=_as_is,
        worker_init_fn=_unwind_when_terminated,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ProcessError(f"a reading process died: {error}") from error


def _unwind_when_terminated(_worker: int) -> None:
    """Let a worker remove the file that it is writing."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(*_: object) -> None:
    raise SystemExit(143)


def _as_is(found: object) -> object:
    return found


def reading_processes(asked: int | None, *, sharing: int = 1) -> int:
    """How many processes read for this one: those asked for, by default one a core, at most 8.

    Args:
        asked: 0 for none; None for the default.
        sharing: processes that share the cores of this machine, if torchrun does not say so.

    Raises:
        ValueError: a negative number.
    """
    if asked is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        sharing = max(sharing, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        return min(_MOST_READERS, max(1, (cores or 1) // sharing))
    if asked < 0:
        raise ValueError(f"workers: expected 0 or more, got {asked}")
    return asked


def main_process() -> bool:
    """Whether this process talks and writes, of those that torchrun or Lightning started."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return True
    # Lightning's own launcher gives no RANK.
    ranks = ("RANK",) if "RANK" in os.environ else ("NODE_RANK", "LOCAL_RANK")
    return all(int(os.environ.get(rank, "0")) == 0 for rank in ranks)


@contextlib.contextmanager
def process_group() -> Iterator[tuple[int, int]]:
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


def gather(part: T, processes: int) -> list[T]:
    """What each process has, in all of them."""
    parts = [part] * processes
    if processes > 1:
        dist.all_gather_object(parts, part)
    return parts
