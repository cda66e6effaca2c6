"""Random numbers that depend only on a seed and a position in the training stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What random numbers are for; each purpose has its own stream."""

    ORDER = 0
    AUGMENTATION = 1
    REPLACEMENT = 2


def stream(seed: int, purpose: Purpose, number: int) -> np.random.RandomState:
    """The stream of a purpose and a number, the same in every version of NumPy."""
    return np.random.RandomState([seed, purpose, number & 0xFFFFFFFF, number >> 32])


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """The order of samples in an epoch: a permutation of 0 .. length - 1."""
    order: NDArray[np.int64] = stream(seed, Purpose.ORDER, epoch).permutation(length)
    return order


def index_at(seed: int, position: int, length: int) -> int:
    """The sample at a position of the endless training stream.

    >>> sorted(index_at(7, position, 5) for position in range(5, 10))
    [0, 1, 2, 3, 4]
    """
    return int(epoch_order(seed, position // length, length)[position % length])


@contextlib.contextmanager
def augmentation_seed(seed: int, position: int) -> Iterator[None]:
    """Seed torch's CPU generator for the sample at a position, and restore it afterwards."""
    before = torch.get_rng_state()
    # torch.manual_seed would seed accelerators too, which get_rng_state doesn't save.
    drawn = np.random.SeedSequence([seed, Purpose.AUGMENTATION, position]).generate_state(1)
    torch.default_generator.manual_seed(int(drawn[0]))
    try:
        yield
    finally:
        torch.set_rng_state(before)
