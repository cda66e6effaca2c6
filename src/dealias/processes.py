"""Processes that share the work: those that read, and those that torchrun starts.

PyTorch is imported where it is used, so that the command line can ask :func:`main_process` without.
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

# Given a number of items, opens a context that gives a function to call after each.
Progress = Callable[[int], contextlib.AbstractContextManager[Callable[[], object]]]

_MOST_READERS = 8


class ProcessError(ValueError):
    """A reading process died."""


def open_progress(
    progress: Progress | None, total: int
) -> contextlib.AbstractContextManager[Callable[[], object]]:
    """What `progress` opens for so many items; without one, a context that shows nothing."""
    return progress(total) if progress else contextlib.nullcontext(lambda: None)


def read_in_order(
    read: Callable[[Item], T],
    items: Sequence[Item],
    workers: int,
    tick: Callable[[], object] = lambda: None,
) -> Iterator[T]:
    """Yield what a function returns for each item, in their order.

    Args:
        read: the function; what it returns is cheap to send between processes.
        items: what it is given, one at a time.
        workers: processes that call it, at most one an item; 0 for this one.
        tick: called after each item.

    Raises:
        ValueError: what `read` raises in any process, as it raises it.
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
        # Now, and not when the last traceback goes that refers to them: they may be writing.
        getattr(results, "_shutdown_workers", lambda: None)()


class _Failure:
    """An error on its way to the parent, where it is raised without the worker's traceback."""

    def __init__(self, error: ValueError) -> None:
        self.error = error


class _Items(Generic[Item]):
    """A data set to PyTorch, which asks for no more than these methods."""

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
    """Let a worker remove the file that it is writing; interrupts are the parent's to handle."""
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _exit)


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
    """What each process has, in all of them."""
    parts = [part] * processes
    if processes > 1:
        import torch.distributed as dist

        dist.all_gather_object(parts, part)
    return parts
