"""Processes that share the work: reading processes, and those that torchrun starts.

PyTorch is imported where it is used, so that the command line can call :func:`main_process` without
it.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from torch.utils.data import Dataset

T = TypeVar("T")
Item = TypeVar("Item")

# Is given a number of items, and opens a context that yields a function to call after each.
Progress = Callable[[int], contextlib.AbstractContextManager[Callable[[], object]]]

_MOST_READERS = 8


class ProcessError(ValueError):
    """A reading process died."""


def open_progress(
    progress: Progress | None, total: int
) -> contextlib.AbstractContextManager[Callable[[], object]]:
    """Open `progress` for this many items, or a context that shows nothing if it is None."""
    return progress(total) if progress else contextlib.nullcontext(lambda: None)


def read_in_order(
    read: Callable[[Item], T],
    items: Sequence[Item],
    workers: int,
    tick: Callable[[], object] = lambda: None,
) -> Iterator[T]:
    """Yield the results of a function for each item, in the order of the items.

    Args:
        read: the function; its results should be cheap to send between processes.
        items: the items it is called with, one at a time.
        workers: number of processes that call it, at most one per item; 0 to call it in this one.
        tick: called after each item.

    Raises:
        ValueError: an error that `read` raised in any process, unchanged.
        ProcessError: a process died.
    """
    from torch.utils.data import DataLoader

    loader = DataLoader(
        cast("Dataset[Any]", _Items(read, items)),
        batch_size=None,
        num_workers=min(workers, len(items)),
        collate_fn=_as_is,
        worker_init_fn=_unwind_when_terminated,
    )
    results = iter(loader)
    try:
        for result in results:
            tick()
            if isinstance(result, _Failure):
                raise result.error
            yield result
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise ProcessError(f"a reading process died: {error}") from error
    finally:
        # Stop them now, and not when the last traceback that refers to them is deleted: they may be
        # writing.
        getattr(results, "_shutdown_workers", lambda: None)()


class _Failure:
    """Carries an error to the parent, where it is raised without the worker's traceback."""

    def __init__(self, error: ValueError) -> None:
        self.error = error


class _Items(Generic[Item]):
    """A data set for PyTorch, which needs only these methods."""

    def __init__(self, read: Callable[[Item], Any], items: Sequence[Item]) -> None:
        self.read = read
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.read(self.items[index])
        except ValueError as error:
            return _Failure(error)


def _unwind_when_terminated(_worker: int) -> None:
    """Let a worker remove the file that it is writing; the parent handles interrupts."""
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _exit)


def _exit(*_: object) -> None:
    raise SystemExit(143)


def _as_is(found: object) -> object:
    return found


def reading_processes(asked: int | None, *, sharing: int = 1) -> int:
    """Return the number of reading processes: the given one, or one per core and at most 8.

    Args:
        asked: number of processes, 0 for none; None for the default.
        sharing: number of processes that share the cores of this machine, if torchrun does not
            tell.

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
    """Whether this is the process that prints and writes, under torchrun or Lightning."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return True
    # Lightning's own launcher does not set RANK.
    ranks = ("RANK",) if "RANK" in os.environ else ("NODE_RANK", "LOCAL_RANK")
    return all(int(os.environ.get(rank, "0")) == 0 for rank in ranks)


@contextlib.contextmanager
def process_group() -> Iterator[tuple[int, int]]:
    """Yield rank and number of processes of the existing group, or of the one torchrun asks for."""
    import torch.distributed as dist

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
    """Return the parts of all processes, in every process."""
    parts = [part] * processes
    if processes > 1:
        import torch.distributed as dist

        dist.all_gather_object(parts, part)
    return parts
