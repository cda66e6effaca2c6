"""Batches from worker processes, in an order that does not depend on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

Item = dict[str, Any]
Join = Callable[[list[Item]], Item]


class TrainingPositions(Sampler[list[int]]):
    """Positions of the training stream that one process takes, a batch at a time, without end.

    Args:
        start: gives the position to go on from, asked at the beginning of each pass.
        batch_size: positions a batch and process.
        rank: which of the processes this is.
        processes: how many share the stream: each takes every so many-th position, so a step of
            all of them takes what a step of one with as many times the batch size would.
    """

    def __init__(
        self, start: Callable[[], int], batch_size: int, *, rank: int = 0, processes: int = 1
    ) -> None:
        self.start = start
        self.batch_size = batch_size
        self.rank = rank
        self.processes = processes

    def __iter__(self) -> Iterator[list[int]]:
        position = self.start() + self.rank
        while True:
            end = position + self.processes * self.batch_size
            yield list(range(position, end, self.processes))
            position = end


class RankShare(Sampler[int]):
    """Every n-th item from the r-th on: all processes take each item once, and none twice.

    Args:
        length: number of items.
        rank: which of the processes this is.
        processes: how many there are.
    """

    def __init__(self, length: int, *, rank: int = 0, processes: int = 1) -> None:
        self.share = range(rank, length, processes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.share)

    def __len__(self) -> int:
        return len(self.share)


class Batches:
    """Batches of a data set, read here or by worker processes that are kept between passes.

    It is not a DataLoader but holds one, so that Lightning leaves its order alone; errors of a
    worker come out as they were raised; and torch's random numbers are left as they are.

    Args:
        dataset: the items.
        workers: number of processes; 0 to read here.
        sampler: indices for batches of one item; or
        batch_sampler: lists of indices.
        join: makes a batch of items; by default :func:`stacked`.
    """

    def __init__(
        self,
        dataset: Dataset[Item],
        *,
        workers: int,
        sampler: Sampler[int] | None = None,
        batch_sampler: Sampler[list[int]] | None = None,
        join: Join | None = None,
    ) -> None:
        batching: dict[str, Any] = (
            {"batch_size": 1, "sampler": sampler}
            if batch_sampler is None
            else {"batch_sampler": batch_sampler}
        )
        self.loader: DataLoader[Item] = DataLoader(
            _ErrorsAsItems(dataset),
            num_workers=workers,
            collate_fn=partial(collate, join=join),
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),
            **batching,
        )

    def __iter__(self) -> Iterator[Item]:
        for batch in self.loader:
            if isinstance(batch, Exception):
                raise batch
            yield batch


class CountedBatches(Batches):
    """Batches that come to an end."""

    def __len__(self) -> int:
        return len(self.loader)


def collate(items: Sequence[Item | Exception], join: Join | None = None) -> Item | Exception:
    """A batch of items, stacked if not joined otherwise; the first error if there is one."""
    good: list[Item] = []
    for item in items:
        if isinstance(item, Exception):
            return item
        good.append(item)
    return (join or stacked)(good)


def stacked(items: Sequence[Item]) -> Item:
    """Stack images and targets, and list the rest."""
    batch: Item = {
        "name": [item["name"] for item in items],
        "skipped": [message for item in items for message in item["skipped"]],
    }
    for key in ("image", "target"):
        if key in items[0]:
            values = [item[key] for item in items]
            batch[key] = (
                None if values[0] is None else torch.stack([v.contiguous() for v in values])
            )
    return batch


class _ErrorsAsItems(Dataset[Any]):
    """Items, or the errors that came instead, to be raised without the traceback of a worker."""

    def __init__(self, dataset: Dataset[Item]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Item | Exception:
        try:
            with _one_thread():
                return self.dataset[index]
        except ValueError as error:
            return error


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Work in one thread: on images this small, sharing the work out costs more than it saves."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
