"""Items for evaluation and the endless stream of training items, with or without bad files.

All random numbers in training depend only on a seed and a position in the stream.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from dealias.data.batches import Item
from dealias.data.reading import SampleError
from dealias.text import FileError

_REPLACEMENTS = 20


class SkippingDataset(Dataset[Item]):
    """Items that are read one by one, for evaluation; subclasses define how.

    Without `skip_bad`, an item that can't be read raises an error that names the file. With
    `skip_bad`, :meth:`missing` returns the item instead, and its "skipped" lists the message.
    """

    skip_bad: bool

    def __len__(self) -> int:
        """Number of items."""
        raise NotImplementedError

    def read(self, index: int) -> Item:
        """Read an item.

        Raises:
            FileError: a file can't be used.
        """
        raise NotImplementedError

    def missing(self, index: int) -> Item:
        """The item to return in place of one that could not be read."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Item:
        try:
            return self.read(index)
        except FileError as error:
            if not self.skip_bad:
                raise
            return self.missing(index) | {"skipped": [str(error)]}


class TrainingStream(Dataset[Item]):
    """The endless stream of training items: each depends only on the seed and its position.

    Every len(dataset) positions use each item once, in a new order. If the data set has
    `skip_bad`, an item that can't be read is replaced by another one, drawn from the seed and the
    position, and the message is listed in "skipped".

    Args:
        dataset: the items. Their random numbers must come from torch's CPU generator.
        seed: seed of the order and of the random numbers.
    """

    def __init__(self, dataset: SkippingDataset, *, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Item:
        index = index_at(self.seed, position, len(self))
        others = stream(self.seed, Purpose.REPLACEMENT, position)
        skipped: list[str] = []
        while True:
            try:
                with augmentation_seed(self.seed, position):
                    return self.dataset.read(index) | {"skipped": skipped}
            except FileError as error:
                if not self.dataset.skip_bad:
                    raise
                skipped.append(str(error))
                if len(skipped) > _REPLACEMENTS:
                    count = f"{len(skipped)} samples in a row can't be used"
                    raise SampleError(error.path, f"{count}, the last for: {error}") from error
            index = int(others.randint(len(self)))


class Purpose(IntEnum):
    """What random numbers are used for; each purpose has its own stream."""

    ORDER = 0
    AUGMENTATION = 1
    REPLACEMENT = 2


def stream(seed: int, purpose: Purpose, number: int) -> np.random.RandomState:
    """The random stream of a purpose and a number, the same in every version of NumPy."""
    return np.random.RandomState([seed, purpose, number & 0xFFFFFFFF, number >> 32])


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """The order of samples in an epoch: a permutation of 0 .. length - 1."""
    order: NDArray[np.int64] = stream(seed, Purpose.ORDER, epoch).permutation(length)
    return order


def index_at(seed: int, position: int, length: int) -> int:
    """The index of the sample at a position of the endless training stream.

    >>> sorted(index_at(7, position, 5) for position in range(5, 10))
    [0, 1, 2, 3, 4]
    """
    return int(epoch_order(seed, position // length, length)[position % length])


@contextlib.contextmanager
def augmentation_seed(seed: int, position: int) -> Iterator[None]:
    """Seed the generators for the sample at a position, and restore them afterwards.

    These are torch's CPU generator, NumPy's and Python's: your own transforms may use any of them.
    """
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    # torch.manual_seed would seed accelerators too, which get_rng_state doesn't save.
    drawn = np.random.SeedSequence([seed, Purpose.AUGMENTATION, position]).generate_state(1)
    number = int(drawn[0])
    torch.default_generator.manual_seed(number)
    np.random.seed(number)
    random.seed(number)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
