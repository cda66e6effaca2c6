"""Batches from worker processes, in an order that does not depend on the workers."""

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
    """Endless batches of the positions in the training stream that belong to one process.

    Args:
        start: returns the position to continue from; called at the beginning of each pass.
        batch_size: positions per batch and process.
        rank: rank of this process.
        processes: number n of processes that share the stream. Each takes every n-th position, so
            a step of all processes covers the same positions as a step of one process with n
            times the batch size.
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


class Batches:
    """Batches of a data set, read in this process or by workers that are kept between passes.

    This wraps a DataLoader, so that Lightning does not change its order. Errors in a worker are
    raised unchanged in this process, and torch's random state does not change.

    Args:
        dataset: the items.
        workers: number of worker processes; 0 to read in this process.
        sampler: indices, for batches of one item.
        batch_sampler: lists of indices, instead of `sampler`.
        join: makes a batch from items; by default :func:`stacked`.
    """

    def __init__(
        self,
        dataset: Dataset[Item],
        *,
        workers: int,
        sampler: Sequence[int] | None = None,
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
    """A finite number of batches."""

    def __len__(self) -> int:
        return len(self.loader)


def collate(items: Sequence[Item | Exception], join: Join | None = None) -> Item | Exception:
    """Make a batch of items, by default stacked, or return the first error among them."""
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
    """Items, or their errors, to be raised without the traceback of a worker."""

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
    """Use one thread: on images of this size, more threads cost more than they save."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
